"""Runs the server: socket, signals, graceful shutdown."""

import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from voxtrait.errors import OptionError, WorkerError, require

if TYPE_CHECKING:
    from fastapi import FastAPI

    from voxtrait.web.state import AppState

MESSAGE: Final = 2**19  # maximum bytes of a WebSocket message: 1 s at 96 kHz has 384,000
BACKLOG: Final = 512  # connections that the system queues while the server is busy


def require_extra() -> None:
    """Check that the packages of the extra ``[web]`` are installed.

    Raises:
        MissingExtraError: if one of them is missing.
    """
    require("the server", "web", "fastapi", "uvicorn", "python_multipart", "prometheus_client", "websockets", "jinja2")


def serve(app: "FastAPI", host: str, port: int, *, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight have ``grace_s`` of the settings to finish.

    Args:
        app: made by :func:`voxtrait.web.create_app`.
        host: address to bind to.
        port: port to bind to; 0: any free port.
        ready: called with the URL once the server accepts requests.

    Raises:
        MissingExtraError: if the extra ``[web]`` is not installed.
        OptionError: if the server cannot bind to the address, for example because the port is in use.
        WorkerError: if no worker can start.
    """
    require_extra()
    import uvicorn

    from voxtrait.web.memory import return_freed
    from voxtrait.web.protocol import Protocol

    return_freed()
    state: AppState = app.state.server
    with contextlib.closing(listen(host, port, state.settings.timeout_s)) as listener:
        url = address(host, listener.getsockname()[1])

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                log = logging.getLogger("uvicorn.error")
                log.disabled = True  # otherwise it prints the traceback of the exception raised below
                try:
                    await super().startup(sockets)
                finally:
                    log.disabled = False
                if self.started:
                    ready(url)

            async def shutdown(self, sockets: Any = None) -> None:
                await state.live.end()
                await super().shutdown(sockets)

        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            http=Protocol,
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
            with contextlib.suppress(SystemExit):  # newer versions raise it if the start failed
                server.run(sockets=[listener])
        finally:
            state.clear()  # after a second Ctrl-C uvicorn skips the shutdown of the application
            for kind, handler in before.items():
                signal.signal(kind, handler)
    if not server.started:
        raise state.failure or WorkerError("the server could not start")


def listen(host: str, port: int, timeout_s: float) -> socket.socket:
    """Open the server socket.

    Args:
        host: address to bind to.
        port: port to bind to; 0: any free port.
        timeout_s: seconds after which the kernel ends a connection whose client does not receive what was sent. Only
            Linux supports this. Otherwise such a connection would remain as long as its client.

    Raises:
        OptionError: if the address cannot be bound.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections inherit it
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * timeout_s))
            listener.bind(where)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            message = f"port {port} is in use. Choose another with --port, or 0 for any free port."
        else:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"cannot bind to {address(host, port)}: {reason}. Choose another --host or --port."
        raise OptionError(message) from None
    return listener


def address(host: str, port: int) -> str:
    """Return the URL of a server.

    Examples:
        >>> address("::1", 8000), address("127.0.0.1", 80)
        ('http://[::1]:8000/', 'http://127.0.0.1:80/')
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
