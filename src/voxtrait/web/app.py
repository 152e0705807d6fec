"""The application: the state of a server, and its routes.

::

    RequestLog ─ AccessControl ─ FastAPI ─┬─ routes ─ uploads ─► UploadFolder ─ Pool ─► workers, each with a Recognizer
     (what)        (who)                  ├─ live ───► a thread a voice
                                          └─ pages ──► the page, its files, the model card
"""

import contextlib
import importlib.metadata
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from voxtrait.errors import MissingExtraError
from voxtrait.recognize import Recognizer, load
from voxtrait.web.errors import KINDS, GoneError, RequestError
from voxtrait.web.settings import Settings
from voxtrait.web.state import AppState

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

ABOUT: Final = (
    "Tells the gender and the age a voice presents as. Nothing that is sent is stored. An answer is about a voice in a "
    "recording, with its error beside it; it is never a statement about a person. A live conversation is at the "
    "WebSocket `/v1/live`, which OpenAPI cannot describe: see docs/how-to/web.md."
)


def create_app(
    which: "Recognizer | str | os.PathLike[str] | None" = None, settings: Settings | None = None
) -> "FastAPI":
    """Make the application, for any ASGI server with one process: its own workers do the work.

    Args:
        which: a recogniser, or the folder or name of a bundle; ``None`` for the shipped one.
        settings: limits and names; workers start when the server does.

    Raises:
        BundleError: if there is no such bundle.
        MissingExtraError: if the extra ``[web]`` is not installed.

    Examples:
        >>> app = create_app("voxtrait-base", Settings(workers=1))
        >>> sorted(path for path in app.openapi()["paths"] if path.startswith("/v1/"))
        ['/v1/limits', '/v1/models', '/v1/predict', '/v1/show', '/v1/timeline']
    """
    try:
        import python_multipart  # noqa: F401
        from fastapi import FastAPI
        from starlette.exceptions import HTTPException

        from voxtrait.web.access import AccessControl
        from voxtrait.web.pages import make_pages
        from voxtrait.web.request_log import RequestLog
        from voxtrait.web.routes import make_router
    except ImportError:
        raise MissingExtraError("the server", "web") from None
    settings = settings or Settings()
    state = AppState(which if isinstance(which, Recognizer) else load(which), settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: "FastAPI") -> AsyncIterator[None]:
        async with state.open():
            yield

    app = FastAPI(
        title="voxtrait",
        version=importlib.metadata.version("voxtrait"),
        description=ABOUT,
        docs_url=None,  # these pages load scripts from other sites
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # nothing is sent anywhere
    )
    app.state.server = state
    app.include_router(make_router(state))
    app.include_router(make_pages(state.bundle))
    app.add_exception_handler(RequestError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(GoneError, _handle_gone)
    app.add_middleware(AccessControl, settings=settings)
    app.add_middleware(RequestLog, metrics=state.metrics, settings=settings)
    return app


def _error_response(request: "Request", problem: RequestError) -> "JSONResponse":
    from fastapi.responses import JSONResponse

    request.scope["record"].code = problem.code
    return JSONResponse(problem.body, problem.status, problem.headers)


async def _refuse(request: "Request", error: Exception) -> "JSONResponse":
    assert isinstance(error, RequestError)
    return _error_response(request, error)


async def _refuse_http(request: "Request", error: Any) -> "JSONResponse":
    """Return the response to a request that the framework itself refuses."""
    code = next((code for code, kind in KINDS.items() if kind.status == error.status_code), "malformed")
    problem = RequestError(code, f"{request.method} {request.url.path}: {KINDS[code].meaning}; see /openapi.json")
    problem.status = error.status_code
    problem.headers |= dict(error.headers or {})
    return _error_response(request, problem)


async def _handle_gone(request: "Request", error: Exception) -> Any:
    from starlette.responses import Response

    return Response(status_code=499)  # the client has disconnected, so nothing receives it
