"""Static files of the pages: one style, two scripts, one icon. Each is listed here, so that no path leads elsewhere."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from services.common.errors import not_found
from services.consent.pages.page_context import HOME

routes = APIRouter(prefix=HOME, include_in_schema=False)
TYPES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "key.js": "text/javascript; charset=utf-8",
    "page.svg": "image/svg+xml",
}


@routes.get("/files/{name}")
def give(name: str) -> Response:
    """Send one file. Browsers keep it for ten minutes, the idle time of a session, to save data on a slow connection."""
    if name not in TYPES:
        raise not_found()
    return Response(_read(name), media_type=TYPES[name], headers={"cache-control": "private, max-age=600"})


@cache
def _read(name: str) -> bytes:
    return files("services.consent.pages").joinpath("static", name).read_bytes()
