"""Multipart parser that streams the uploaded file to disk and enforces the size limit while reading."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, NamedTuple

from voxtrait.web.errors import GoneError, RequestError
from voxtrait.web.settings import Settings
from voxtrait.web.upload_folder import StoredUpload, UploadFolder

if TYPE_CHECKING:
    from starlette.requests import Request

FIELD: Final = "file"
FRAMING: Final = 65_536  # maximum bytes of a form in addition to its file
HEADERS: Final = 16_384  # maximum bytes of the headers of all fields of a form
PARTS: Final = 16  # maximum fields of a form
NAME: Final = 1024  # characters of a file name that are kept


class Upload(NamedTuple):
    """A completely received file."""

    file: StoredUpload
    name: str | None  # as the client sent it


@contextlib.asynccontextmanager
async def receive(request: "Request", uploads: UploadFolder, settings: Settings) -> AsyncIterator[Upload]:
    """Receive the file of a form; it is removed at the end of the context.

    Raises:
        RequestError: ``not_a_form``, ``too_large``, ``malformed``, ``no_file``, ``upload_timeout``, or ``interrupted``
            if the disk is full.
        GoneError: if the client disconnects.
    """
    from starlette.requests import ClientDisconnect

    boundary = _boundary(request)
    most = settings.max_upload_bytes
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most + FRAMING:
        raise _too_large(most)
    with uploads.file() as file:
        form = _Form(boundary, file, most)
        try:
            async with asyncio.timeout(settings.upload_timeout_s):
                async for chunk in request.stream():
                    form.take(chunk)
        except ClientDisconnect:
            raise GoneError from None
        except TimeoutError:
            raise RequestError(
                "upload_timeout",
                f"the upload took longer than {settings.upload_timeout_s:g} s: send it faster, or a smaller file",
            ) from None
        except OSError as error:
            raise RequestError(
                "interrupted", f"the upload could not be saved on the server: {error.strerror}", retry_s=10
            ) from None
        form.check()
        yield Upload(file, form.name)


class _Form:
    """Parses a form: counts all bytes and fields, and writes one file."""

    def __init__(self, boundary: bytes, file: StoredUpload, most: int) -> None:
        from python_multipart.multipart import MultipartParser

        self.name: str | None = None
        self._file = file
        self._most = most
        self._taken = self._parts = self._heading = 0
        self._found = self._open = self._ended = False
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._add(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._add(1, data[start:end]),
                "on_header_end": self._keep,
                "on_headers_finished": self._look,
                "on_part_data": self._write,
                "on_part_end": self._close,
                "on_end": self._end,
            },
        )

    def take(self, chunk: bytes) -> None:
        from python_multipart.exceptions import FormParserError

        self._taken += len(chunk)
        if self._taken > self._most + FRAMING:
            raise _too_large(self._most)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise RequestError("malformed", f"the form cannot be read: {error}") from None

    def check(self) -> None:
        """Check that the form and its file are complete."""
        if not self._ended:
            raise RequestError("malformed", "the form is incomplete: send it again")
        if not self._found:
            raise RequestError("no_file", f"the form has no file in the field {FIELD!r}: use curl -F {FIELD}=@clip.mp3")
        if not self._file.size:
            raise RequestError("unusable", "the file is empty (0 bytes)")

    def _begin(self) -> None:
        self._parts += 1
        self._headers.clear()
        if self._parts > PARTS:
            raise RequestError("malformed", f"the form has more than {PARTS} fields, expected one field {FIELD!r}")

    def _add(self, which: int, data: bytes) -> None:
        self._heading += len(data)
        if self._heading > HEADERS:
            raise RequestError("malformed", f"the headers in the form have more than {HEADERS:,} bytes")
        self._header[which] += data

    def _keep(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _look(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if options.get(b"name") != FIELD.encode():
            return
        if self._found:
            raise RequestError("malformed", f"the form has more than one field {FIELD!r}, expected one")
        self._found = self._open = True
        if b"filename" in options:
            self.name = options[b"filename"].decode("utf-8", "replace")[:NAME]

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._open:
            if self._file.size + end - start > self._most:
                raise _too_large(self._most)
            self._file.write(data[start:end])

    def _close(self) -> None:
        self._open = False

    def _end(self) -> None:
        self._ended = True


def _boundary(request: "Request") -> bytes:
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind.lower() != b"multipart/form-data" or not boundary:
        raise RequestError(
            "not_a_form",
            f"expected multipart/form-data with a file in the field {FIELD!r}: use curl -F {FIELD}=@clip.mp3",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError("not_a_form", "the body has a Content-Encoding, expected an uncompressed body")
    return boundary


def _too_large(most: int) -> RequestError:
    return RequestError("too_large", f"the upload exceeds the limit of {most:,} bytes: send a smaller file")
