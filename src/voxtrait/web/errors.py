"""The errors of refused requests: one status and one code each, the same in responses, OpenAPI and documentation."""

from typing import Any, Final, NamedTuple


class Kind(NamedTuple):
    """A reason to refuse."""

    status: int
    meaning: str


KINDS: Final = {
    "malformed": Kind(400, "the form in the body cannot be read"),
    "token": Kind(401, "the token is missing or wrong"),
    "cross_origin": Kind(403, "the request comes from another site's page"),
    "not_found": Kind(404, "there is nothing under this address"),
    "method": Kind(405, "the address is there, and takes another method"),
    "upload_timeout": Kind(408, "the upload was not over in time"),
    "too_large": Kind(413, "the upload has more bytes than the server takes"),
    "not_audio": Kind(415, "the upload is no sound of a known kind"),
    "not_a_form": Kind(415, "the body is no multipart form, or is compressed as a whole"),
    "wrong_host": Kind(421, "the server does not answer to this name"),
    "no_file": Kind(422, "the form has no field called file with a file in it"),
    "unusable": Kind(422, "the sound is empty, damaged, or cannot be decoded"),
    "too_long": Kind(422, "the sound has more seconds than the server takes"),
    "too_big": Kind(422, "decoding takes more memory than a worker has"),
    "too_slow": Kind(422, "the work made no progress for longer than the server allows"),
    "decoder_crashed": Kind(422, "the decoder crashed on this file"),
    "internal": Kind(500, "a fault of the server"),
    "unsupported": Kind(501, "the model of this server cannot do this"),
    "busy": Kind(503, "the queue is full: try again after Retry-After seconds"),
    "interrupted": Kind(503, "the worker was killed, or the server is short of memory or disk: try again"),
}


class RequestError(Exception):
    """A request that is refused.

    Args:
        code: one of :data:`KINDS`.
        message: what was received, what was expected, what to do.
        retry_s: when to try again, in seconds; for ``busy`` and ``interrupted``.

    Examples:
        >>> RequestError("too_long", "3601 s").status
        422
    """

    def __init__(self, code: str, message: str, *, retry_s: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.status = KINDS[code].status
        self.message = message
        self.headers: dict[str, str] = {}
        if self.status == 503:
            self.headers["Retry-After"] = str(max(1, retry_s))
        if self.status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"

    @property
    def body(self) -> dict[str, Any]:
        """The body of the response, as JSON-ready values."""
        return {"error": {"code": self.code, "message": self.message}}


class GoneError(Exception):
    """The client disconnected before its response."""
