"""Responses as JSON lines, sent while a worker processes the upload."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from fastapi import Response
from pydantic import TypeAdapter

from voxtrait.web.answers import Line
from voxtrait.web.errors import GoneError, RequestError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

TYPE: Final = "application/x-ndjson"
_HERE: Final = "#/paths/~1v1~1timeline/post/responses/200/content/application~1x-ndjson/schema/$defs/{model}"
LINES: Final[dict[str, Any]] = {
    TYPE: {"schema": {"description": "The schema of each line."} | TypeAdapter(Line).json_schema(ref_template=_HERE)}
}
"""The description of the lines of a timeline in OpenAPI."""

Each = Callable[[Any], Awaitable[None]]

_log = logging.getLogger("voxtrait.web")


def wanted(request: "Request") -> bool:
    """Return whether the client requests JSON lines."""
    return TYPE in request.headers.get("accept", "").lower()


class Lines(Response):
    """A response of JSON lines, one for each part of the result. Errors before the first line are normal responses.

    Args:
        work: called with a function that sends one line, or takes ``None`` as a sign of progress.
        patience_s: seconds within which the client must receive a line.
    """

    media_type = TYPE

    def __init__(self, work: Callable[[Each], Awaitable[Any]], patience_s: float) -> None:
        super().__init__()
        self._work = work
        self._patience_s = patience_s

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Run the work and send its lines."""
        record = scope["record"]
        begun = False

        async def each(line: Any) -> None:
            nonlocal begun
            if line is None:
                return
            if not begun:
                # the second one keeps nginx from buffering the lines
                headers = [(b"content-type", TYPE.encode()), (b"x-accel-buffering", b"no")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                begun = True
            body = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            try:
                async with asyncio.timeout(self._patience_s):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            except (TimeoutError, OSError):
                raise GoneError from None

        try:
            await self._work(each)
        except GoneError:
            record.is_gone = True
            if not begun:
                raise
            return
        except Exception as error:
            if not begun:
                raise
            problem = error
            if not isinstance(problem, RequestError):
                problem = RequestError("internal", "internal server error: see this X-Request-Id in the server's log")
                _log.error("internal server error", exc_info=error, extra={"id": record.id})
            record.code = problem.code
            try:
                await each({"type": "error", **problem.body})
            except GoneError:
                record.is_gone = True
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
