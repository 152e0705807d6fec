"""The error codes of refused requests, each with its status and meaning, for responses and OpenAPI."""

from typing import Any, Final, NamedTuple


class Kind(NamedTuple):
    """The status and the meaning of an error code."""

    status: int
    meaning: str


KINDS: Final = {
    "malformed": Kind(400, "the form in the body cannot be read"),
    "token": Kind(401, "the token is missing or wrong"),
    "cross_origin": Kind(403, "the request comes from another site's page"),
    "not_found": Kind(404, "nothing found at this address"),
    "method": Kind(405, "the address requires another method"),
    "upload_timeout": Kind(408, "the upload took too long"),
    "too_large": Kind(413, "the upload exceeds the size limit of the server"),
    "not_audio": Kind(415, "the upload is not audio in a supported format"),
    "not_a_form": Kind(415, "the body is not a multipart form, or has a Content-Encoding"),
    "wrong_host": Kind(421, "the host name is not allowed"),
    "no_file": Kind(422, "the form has no file in the field 'file'"),
    "unusable": Kind(422, "the audio is empty, damaged, or cannot be decoded"),
    "too_long": Kind(422, "the audio exceeds the duration limit of the server"),
    "too_big": Kind(422, "decoding needs more memory than a worker has"),
    "too_slow": Kind(422, "processing made no progress within the time limit"),
    "decoder_crashed": Kind(422, "the decoder crashed on this file"),
    "internal": Kind(500, "internal server error"),
    "unsupported": Kind(501, "the model of this server does not support this"),
    "busy": Kind(503, "the queue is full: try again after Retry-After seconds"),
    "interrupted": Kind(503, "the worker was killed, or the disk is full: try again"),
}


class RequestError(Exception):
    """An error response to a request.

    Args:
        code: one of :data:`KINDS`.
        message: what was received, what was expected, what to do.
        retry_s: seconds until the client may try again; for ``busy`` and ``interrupted``.

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
    """The client disconnected before the response."""
