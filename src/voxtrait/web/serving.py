"""The run of a server: its socket, its process and its signals."""

import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from voxtrait.errors import OptionError, WorkerError, require

if TYPE_CHECKING:
    from fastapi import FastAPI

    from voxtrait.web.state import AppState

MESSAGE: Final = 2**19  # bytes of a WebSocket's message: a second at 96 kHz has 384,000
BACKLOG: Final = 512  # connections that the system keeps while the server is busy


def require_extra() -> None:
    """Check that the packages of the extra ``[web]`` are installed.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    require("the server", "web", "fastapi", "uvicorn", "python_multipart", "prometheus_client", "websockets")


def serve(app: "FastAPI", host: str, port: int, *, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are finished, within the settings' ``grace_s``.

    Args:
        app: as :func:`voxtrait.web.create_app` makes it.
        host: the address to listen at.
        port: 0: any free one.
        ready: is called with the URL once the server accepts requests.

    Raises:
        MissingExtraError: if the extra ``[web]`` is not installed.
        OptionError: if the server cannot listen at the address, for example because another server does.
        WorkerError: if no worker can start.
    """
    require_extra()
    import uvicorn

    state: AppState = app.state.server
    with contextlib.closing(listen(host, port)) as listener:
        url = address(host, listener.getsockname()[1])

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                log = logging.getLogger("uvicorn.error")
                log.disabled = True  # it would print a traceback of the exception that is raised below
                try:
                    await super().startup(sockets)
                finally:
                    log.disabled = False
                if self.started:
                    ready(url)

        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            http="h11",
            ws="websockets-sansio",
            ws_max_size=MESSAGE,
            ws_per_message_deflate=False,
            lifespan="on",
            backlog=BACKLOG,
            timeout_graceful_shutdown=round(state.settings.grace_s),
        )
        server = Server(config)
        # after its shutdown uvicorn raises the stop signal again: ignore it, because a requested stop is not a failure
        before = {kind: signal.signal(kind, lambda *_: None) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            with contextlib.suppress(SystemExit):  # which newer versions raise if the start failed
                server.run(sockets=[listener])
        finally:
            state.clear()  # after a second Ctrl-C uvicorn skips the shutdown of the application
            for kind, handler in before.items():
                signal.signal(kind, handler)
    if not server.started:
        raise state.failure or WorkerError("the server could not start")


def listen(host: str, port: int) -> socket.socket:
    """Open the socket.

    Raises:
        OptionError: if that is not possible.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OptionError(f"cannot listen at {address(host, port)}: {reason}; --port 0 takes a free one") from None
    return listener


def address(host: str, port: int) -> str:
    """Return the URL of a server.

    Examples:
        >>> address("::1", 8000), address("127.0.0.1", 80)
        ('http://[::1]:8000/', 'http://127.0.0.1:80/')
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
