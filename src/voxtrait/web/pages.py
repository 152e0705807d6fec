"""Routes of the web page, its files, its example clips and the model card."""

import asyncio
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from voxtrait.bundle import Bundle
from voxtrait.web.card import card
from voxtrait.web.errors import RequestError
from voxtrait.web.examples import NAMES, example

FOLDER: Final = Path(__file__).parent / "page"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}
"""Media types by file name extension. Files of other types are not served."""


def make_pages(bundle: Bundle) -> APIRouter:
    """Make the routes.

    Args:
        bundle: the active bundle, for the model card.
    """
    router = APIRouter(include_in_schema=False)
    files = {file.name: file for file in FOLDER.iterdir() if file.suffix in TYPES}
    text = card(bundle)

    async def index(request: Request) -> Response:
        return _file(request, files, "index.html")

    async def static(request: Request) -> Response:
        return _file(request, files, request.path_params["name"])

    async def model_card(request: Request) -> Response:
        return HTMLResponse(text, headers={"Cache-Control": "no-cache"})

    async def example_clip(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in NAMES:
            raise _not_found(request)
        content = await asyncio.to_thread(example, name)
        return Response(content, media_type="audio/wav", headers={"Cache-Control": "no-cache"})

    routes = {"/": index, "/static/{name}": static, "/examples/{name}.wav": example_clip, "/model-card": model_card}
    for path, endpoint in routes.items():
        router.add_api_route(path, endpoint, methods=["GET", "HEAD"], response_class=Response)
    return router


def _not_found(request: Request) -> RequestError:
    """Return the error for an address without a page."""
    return RequestError("not_found", f"nothing found at {request.url.path}")


def _file(request: Request, files: dict[str, Path], name: str) -> Response:
    """Return a file that existed when the server started, or status 304 if the browser already has it."""
    file = files.get(name)
    if file is None or not file.is_file():
        raise _not_found(request)
    found = FileResponse(
        file, media_type=TYPES[file.suffix], headers={"Cache-Control": "no-cache"}, stat_result=file.stat()
    )
    if found.headers["etag"] in [
        one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")
    ]:
        kept = {key: found.headers[key] for key in ("etag", "cache-control")}
        return Response(status_code=304, headers=kept)
    return found
