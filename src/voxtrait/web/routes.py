"""REST routes: predictions, pictures and timelines of uploads, and information about the server."""

import asyncio
import contextlib
import importlib.metadata
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer

from voxtrait.bundle import Bundle, describe, load, shipped
from voxtrait.web.answers import (
    UPLOAD,
    HealthAnswer,
    LimitsAnswer,
    ModelAnswer,
    PredictionAnswer,
    ShownAnswer,
    TimelineAnswer,
)
from voxtrait.web.answers import refusals as refused
from voxtrait.web.errors import GoneError, RequestError
from voxtrait.web.lines import LINES, Each, Lines, wanted
from voxtrait.web.state import AppState
from voxtrait.web.uploads import receive
from voxtrait.web.work import Outcome, Task

UPLOAD_CODES: Final = (
    "malformed",
    "upload_timeout",
    "too_large",
    "not_audio",
    "not_a_form",
    "no_file",
    "unusable",
    "too_long",
    "too_big",
    "too_slow",
    "decoder_crashed",
    "busy",
    "interrupted",
)


def make_router(state: AppState) -> APIRouter:
    """Make the routes of a server.

    Args:
        state: shared by all routes.
    """
    router = APIRouter()
    # only for the description in OpenAPI: AccessControl has already checked the token
    needed: list[Any] = [Depends(HTTPBearer(auto_error=False))] if state.settings.token is not None else []
    models = [describe_model(bundle, state.bundle) for bundle in _bundles(state.bundle)]

    @router.post(
        "/v1/predict",
        tags=["voices"],
        summary="Predict gender and age",
        responses={200: {"model": PredictionAnswer}, **refused(*UPLOAD_CODES)},
        openapi_extra=UPLOAD,
        dependencies=needed,
        response_class=JSONResponse,
    )
    async def predict(request: Request) -> Response:
        """Predict the gender and age that the voice in a clip presents. `no_speech` and `too_short` have status 200."""
        return JSONResponse(await _work(state, request, "predict"))

    @router.post(
        "/v1/show",
        tags=["voices"],
        summary="Waveform and spectrogram",
        responses={200: {"model": ShownAnswer}, **refused(*UPLOAD_CODES)},
        openapi_extra=UPLOAD,
        dependencies=needed,
        response_class=JSONResponse,
    )
    async def show(request: Request) -> Response:
        """Draw waveform and spectrogram of a clip, or of the first minute of a longer recording."""
        return JSONResponse(await _work(state, request, "show"))

    @router.post(
        "/v1/timeline",
        tags=["voices"],
        summary="Find who speaks when",
        responses={200: {"model": TimelineAnswer, "content": LINES}, **refused(*UPLOAD_CODES, "unsupported")},
        openapi_extra=UPLOAD,
        dependencies=needed,
        response_class=JSONResponse,
    )
    async def timeline(request: Request) -> Response:
        """Find who speaks when in a recording, with gender and age of each speaker.

        With `Accept: application/x-ndjson` the response is JSON lines, sent during processing: `piece` for each 30
        seconds, `course` if there is one voice, `timeline`, and `formats`. An error after the first line is sent as
        the last line, of type `error`.
        """
        if state.bundle.head is None:
            raise RequestError(
                "unsupported",
                f"{state.bundle.title} does not support timelines: start the server with --model voxtrait-base",
            )
        if wanted(request):
            return Lines(lambda each: _work(state, request, "lines", each), state.settings.timeout_s)
        return JSONResponse(await _work(state, request, "timeline"))

    @router.get(
        "/v1/models",
        tags=["server"],
        responses={200: {"model": list[ModelAnswer]}, **refused()},
        dependencies=needed,
    )
    async def list_models() -> Response:
        """List the installed bundles, the active one first."""
        return JSONResponse(models)

    @router.get(
        "/v1/limits",
        tags=["server"],
        responses={200: {"model": LimitsAnswer}, **refused()},
        dependencies=needed,
    )
    async def limits() -> Response:
        """Return the limits of the server."""
        settings = state.settings
        return JSONResponse(
            {
                "max_upload_bytes": settings.max_upload_bytes,
                "max_seconds": settings.max_seconds,
                "timeout_s": settings.timeout_s,
                "auth": settings.token is not None,
            }
        )

    @router.get(
        "/healthz",
        tags=["server"],
        responses={200: {"model": HealthAnswer}, 503: {"model": HealthAnswer}, 421: refused()[421]},
    )
    async def healthz() -> Response:
        """Return whether at least one worker is running, and start workers in place of idle ones that ended.

        Requires no token.
        """
        alive = state.pool.alive
        state.pool.replace_dead()  # if the system killed all of them, 503 would keep requests away, and so for ever
        version = importlib.metadata.version("voxtrait")
        health = {"status": "ok" if alive else "down", "workers": alive, "version": version}
        return JSONResponse(health, 200 if alive else 503)

    @router.get(
        "/metrics",
        tags=["server"],
        responses={
            200: {"content": {"text/plain": {}}, "description": "Metrics in the Prometheus text format."},
            **refused(),
        },
        response_class=Response,
        dependencies=needed,
    )
    async def metrics() -> Response:
        """Return metrics in the Prometheus text format."""
        return Response(state.metrics.text(state.pool), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.websocket("/v1/live")
    async def live(websocket: WebSocket) -> None:
        await state.live.serve(websocket)

    return router


def describe_model(bundle: Bundle, active: Bundle) -> dict[str, Any]:
    """Return the values that ``/v1/models`` reports for a bundle."""
    described = describe(bundle)
    first = {
        "name": described["name"],
        "version": described["version"],
        "title": bundle.title,
        "active": bundle.folder == active.folder,
        "unsure": list(bundle.calibration["gender"]["unsure"]) if "gender" in bundle.outputs else None,
    }
    return first | described


def _bundles(active: Bundle) -> list[Bundle]:
    return [active, *(load(folder) for folder in shipped() if folder.resolve() != active.folder.resolve())]


async def _work(state: AppState, request: Request, kind: str, each: Each | None = None) -> Any:
    """Receive an upload, process it on a worker and return the result; ``each`` is called with each part of it."""
    record = request.scope["record"]
    with state.place():
        async with receive(request, state.uploads, state.settings) as upload:
            record.bytes = upload.file.size
            outcome = await _unless_gone(request, state.pool.ask(Task(kind, upload.file.place, upload.name), each))
    record.audio_s = outcome.seconds
    if outcome.trace:
        state.log.error("unexpected error in a decoder", extra={"id": record.id, "trace": outcome.trace})
    if outcome.code is not None:
        raise RequestError(outcome.code, outcome.message)
    return outcome.value


async def _unless_gone(request: Request, pending: Any) -> Outcome:
    """Wait for the worker; leave the queue if the client disconnects."""
    work: asyncio.Task[Outcome] = asyncio.ensure_future(pending)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise GoneError
        return work.result()
    finally:
        for task in (work, gone):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
