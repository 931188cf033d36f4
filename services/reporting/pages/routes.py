"""Routes of the public pages: each publication at its permanent addresses, and live facts about services."""

from functools import cache
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.common.errors import Problem, not_found
from services.common.http.app import is_page
from services.common.http.i18n import LANGUAGES, preferred
from services.reporting.pages import page_topics, render
from services.reporting.pages.catalogue import find, latest
from services.reporting.pages.render import HOME
from services.reporting.pages.responses import HTML, PAGE_SECONDS, HoldingsDep, frozen

QUALITY = "quality"
FILES = {"report.css": "text/css; charset=utf-8", "report.svg": "image/svg+xml"}
routes = APIRouter(prefix=HOME, include_in_schema=False)


async def _language(language: str) -> str:
    if language not in LANGUAGES:
        raise not_found()
    return language


Language = Annotated[str, Depends(_language)]


@routes.get("")
@routes.get("/")
def start(request: Request) -> Response:
    """Redirect to the overview in the language that the browser prefers."""
    return RedirectResponse(f"{HOME}/{preferred(*request.headers.getlist('accept-language'))}/", 307)


@routes.get("/files/{name}")
def file(request: Request, name: str) -> Response:
    """Return the style sheet or the icon."""
    if name not in FILES:
        raise not_found()
    return frozen(request, _read(name), FILES[name])


@routes.get("/{language}")
@routes.get("/{language}/")
def overview(holdings: HoldingsDep, language: Language) -> Response:
    """Return the overview: what there is to read, and what services can take now."""
    return HTMLResponse(holdings.make_live(render.overview, holdings.live(), holdings.releases(), language))


@routes.get("/{language}/r/{publication}")
def about_publication(holdings: HoldingsDep, request: Request, language: Language, publication: str) -> Response:
    """Return the contents of one publication."""
    releases = holdings.releases()
    release = find(releases, publication)
    return frozen(request, holdings.make(render.contents, releases, release, language), HTML, PAGE_SECONDS)


@routes.get("/{language}/r/{publication}/{subject}")
def about_subject(
    holdings: HoldingsDep, request: Request, language: Language, publication: str, subject: str
) -> Response:
    """Return one publication's page on a recommendation, a region, a family of needs, a table, or its own quality."""
    releases = holdings.releases()
    release = find(releases, publication)
    if subject == QUALITY:
        return frozen(request, holdings.make(render.quality, releases, release, language), HTML, PAGE_SECONDS)
    if not page_topics.tables(release, subject):
        raise not_found()
    return frozen(request, holdings.make(render.subject_page, releases, release, language, subject), HTML, PAGE_SECONDS)


@routes.get("/{language}/method")
def method(holdings: HoldingsDep, language: Language) -> Response:
    """Return the page on method: what is hidden and why, and how people are counted."""
    return HTMLResponse(holdings.make(render.method, language))


@routes.get("/{language}/archive")
def archive(holdings: HoldingsDep, language: Language) -> Response:
    """Return the page that lists every publication."""
    return HTMLResponse(holdings.make(render.archive, holdings.releases(), language))


@routes.get("/{language}/{subject}")
def newest(holdings: HoldingsDep, language: Language, subject: str) -> Response:
    """Redirect to the newest publication that has something on a topic; say so if there is none yet."""
    releases = holdings.releases()
    if subject == QUALITY:
        found, sort = latest(releases), QUALITY
    else:
        found, sort = page_topics.newest(releases, subject), page_topics.kind(subject) or ""
    if not sort:
        raise not_found()
    if found:
        return RedirectResponse(f"{HOME}/{language}/r/{found.id}/{subject}", 307)
    return HTMLResponse(holdings.make(render.none_yet, language, subject, sort))


def show_trouble(request: Request, problem: Problem) -> Response | None:
    """Return the same error page for every missing address below the pages; None for addresses elsewhere."""
    if not is_page(request.url.path, HOME):
        return None
    named = request.url.path.removeprefix(HOME).split("/")[1:2]
    language = named[0] if named and named[0] in LANGUAGES else preferred(*request.headers.getlist("accept-language"))
    return HTMLResponse(render.trouble(language, problem.status), problem.status)


@cache
def _read(name: str) -> bytes:
    return files("services.reporting.pages").joinpath("static", name).read_bytes()
