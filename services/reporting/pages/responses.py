"""Requests for public files, and their responses: an entity tag is the hash of the bytes, so it tells nothing beyond them."""

from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from services.reporting.pages.catalogue import Holdings

HTML = "text/html; charset=utf-8"
# A page may change after a revision; a file never changes. Neither is cached so long that it could not be withdrawn.
PAGE_SECONDS, FILE_SECONDS = 300, 3600


async def get_holdings(request: Request) -> Holdings:
    """Return all that a public route can reach."""
    holdings: Holdings = request.app.state.holdings
    return holdings


HoldingsDep = Annotated[Holdings, Depends(get_holdings)]


def frozen(request: Request, content: bytes, media: str, seconds: int = FILE_SECONDS) -> Response:
    """Return bytes that anybody may cache for a while, or 304 if the caller has them already."""
    tag = f'"{sha256(content).hexdigest()}"'
    headers = {"etag": tag, "cache-control": f"public, max-age={seconds}"}
    if {tag, "*"} & _held(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media, headers=headers)


def _held(header: str) -> set[str]:
    return {part.strip().removeprefix("W/") for part in header.split(",")}
