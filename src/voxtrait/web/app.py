"""Builds the ASGI application: middleware, routes and shared state.

::

    RequestLog ─ AccessControl ─ FastAPI ─┬─ routes ─ uploads ─► UploadFolder ─ Pool ─► workers, each with a Recognizer
                                          ├─ live ───► one thread per session
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
    "Estimates how a voice presents: gender and age, each with its uncertainty. Uploads are not stored. A prediction "
    "describes a voice in a recording; it is not a statement about a person. Live estimates are at the WebSocket "
    "`/v1/live`, which OpenAPI cannot describe: see docs/how-to/web.md."
)


def create_app(
    which: "Recognizer | str | os.PathLike[str] | None" = None, settings: Settings | None = None
) -> "FastAPI":
    """Build the application for an ASGI server with one process; voxtrait starts its own worker processes.

    Args:
        which: a recognizer, or the folder or name of a bundle; ``None``: the default bundle.
        settings: limits, host names and token; workers start with the server.

    Raises:
        BundleError: if the bundle does not exist or cannot be loaded.
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
        telemetry={"tracing": False, "metrics": False, "logs": False},  # no telemetry
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
    """Return the response to a request that the framework refuses, such as an unknown address."""
    code = next((code for code, kind in KINDS.items() if kind.status == error.status_code), "malformed")
    problem = RequestError(code, f"{request.method} {request.url.path}: {KINDS[code].meaning}; see /openapi.json")
    problem.status = error.status_code
    problem.headers |= dict(error.headers or {})
    return _error_response(request, problem)


async def _handle_gone(request: "Request", error: Exception) -> Any:
    from starlette.responses import Response

    return Response(status_code=499)  # the client has disconnected and does not receive it
