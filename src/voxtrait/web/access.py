"""Access control: tokens, allowed hosts, and security headers.

- ``Host`` must be one of the server's own names. Otherwise another site could point its own name at this machine and
  read the responses (DNS rebinding).
- Pages of other sites may send only requests that change nothing. All others must come from the server's own page.
- If a token is set, everything but the page needs it.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from voxtrait.web.errors import RequestError
from voxtrait.web.settings import LOOPBACK_NAMES, Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SUBPROTOCOL: Final = "voxtrait"
LINGER_S: Final = 20.0  # seconds for which the server still reads the body of a refused request
TOKEN_PREFIX: Final = "token."
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; media-src 'self' blob:; worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_log = logging.getLogger("voxtrait.web")


class AccessControl:
    """Middleware that refuses requests and adds security headers.

    Args:
        app: the protected application.
        settings: host names and token.
    """

    def __init__(self, app: "ASGIApp", settings: Settings) -> None:
        self.app = app
        self._settings = settings

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request to the application, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        begun = body_read = False
        status = 200

        async def tracked_receive() -> "Message":
            nonlocal body_read
            message = await receive()
            body_read = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def send_with_headers(message: "Message") -> None:
            nonlocal begun, status
            begun = True
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                extra = dict(HEADERS)
                if scope["path"].startswith("/v1/"):
                    extra["Cache-Control"] = "no-store"
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in extra.items() if n.lower().encode() not in present),
                ]
            elif (
                message["type"] == "http.response.body"
                and status >= 400
                and not message.get("more_body")
                and not body_read
            ):
                await send({**message, "more_body": True})
                # if the connection were closed while the client still sends, the client would lose the response
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LINGER_S):
                        while not body_read:
                            await tracked_receive()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        problem = check(scope, self._settings)
        if problem is None:
            try:
                await self.app(scope, tracked_receive if scope["type"] == "http" else receive, send_with_headers)
                return
            except Exception as error:
                problem = RequestError("internal", "internal server error: see this X-Request-Id in the server's log")
                scope["record"].code = problem.code
                _log.error("internal server error", exc_info=error, extra={"id": scope["record"].id})
                if begun or scope["type"] == "websocket":
                    raise
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": problem.code})
        else:
            from starlette.responses import JSONResponse

            scope["record"].code = problem.code
            await JSONResponse(problem.body, problem.status, problem.headers)(scope, tracked_receive, send_with_headers)


def check(scope: "Scope", settings: Settings) -> RequestError | None:
    """Return the reason to refuse a request, or ``None``."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", "")
    if not allowed(host, settings):
        return RequestError(
            "wrong_host",
            f"host name {name_of(host)!r} is not allowed: start the server with --allow-host {name_of(host)}",
        )
    origin = headers.get("origin")
    read_only = scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS")
    if origin is not None and not read_only and urlsplit(origin).netloc.lower() != host.lower():
        return RequestError(
            "cross_origin", f"the request comes from a page at {origin}, expected the server's own page"
        )
    if settings.token is not None and (scope["path"].startswith("/v1/") or scope["path"] == "/metrics"):
        given = _subprotocol(headers) if scope["type"] == "websocket" else _bearer(headers)
        if not hmac.compare_digest(given.encode(), settings.token.encode()):
            return RequestError("token", "missing or wrong token: send the header 'Authorization: Bearer TOKEN'")
    return None


def allowed(host: str, settings: Settings) -> bool:
    """Return whether a ``Host`` is one of the server's names.

    Examples:
        >>> allowed("localhost:8000", Settings()), allowed("[::1]", Settings()), allowed("example.org", Settings())
        (True, True, False)
        >>> allowed("example.org", Settings(hosts=frozenset({"example.org"}))), allowed("10.0.0.1", Settings())
        (True, False)
        >>> allowed("10.0.0.1:80", Settings(local=False)), allowed("example.org", Settings(local=False))
        (True, False)
    """
    name = name_of(host)
    if name in LOOPBACK_NAMES or name in settings.hosts:
        return True
    if settings.local:
        return False
    try:  # an address, unlike a name, cannot be pointed at another machine
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def name_of(host: str) -> str:
    """Remove the port, and the brackets of an address, from a ``Host``.

    Examples:
        >>> name_of("[::1]:8000"), name_of("Example.org:443"), name_of("127.0.0.1")
        ('::1', 'example.org', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _bearer(headers: dict[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _subprotocol(headers: dict[str, str]) -> str:
    offered = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",")]
    return next((part.removeprefix(TOKEN_PREFIX) for part in offered if part.startswith(TOKEN_PREFIX)), "")
