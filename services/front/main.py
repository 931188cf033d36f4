"""Builds the application that answers at the top of a hub's address: front page, page for developers, robots.txt, icon."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from jinja2 import Environment

from services.common.errors import not_found
from services.common.http.app import create_app
from services.common.http.i18n import LANGUAGES, catalogue, environment, preferred

PACKAGE = "services.front"
PREFIXES = (
    "/",
    "/developers",
    "/favicon.ico",
    "/front.css",
    "/icon.svg",
    "/robots.txt",
    *(f"/{one}" for one in LANGUAGES),
)
"""Paths of the hub's address that this application answers, each with everything below it except `/`."""
# No crawler has any business here: her pages must not be found by searching for them, and reports have links of their own.
ROBOTS = "User-agent: *\nDisallow: /\n"
DOCUMENTS = ("consent", "intake", "referral", "reporting")

routes = APIRouter(include_in_schema=False)


def build() -> FastAPI:
    """Build the application; it needs no settings, no database and no keys."""
    return create_app("Fireweed front page", "The ways in.", [routes], public=True)


@routes.get("/")
def front_page(request: Request) -> Response:
    """Show the ways in, in the language that the browser prefers."""
    page = _page("front.html", preferred(*request.headers.getlist("accept-language")))
    page.headers["vary"] = "Accept-Language"
    return page


@routes.get("/robots.txt")
def robots() -> Response:
    """Tell crawlers to read nothing."""
    return PlainTextResponse(ROBOTS)


@routes.get("/icon.svg")
@routes.get("/favicon.ico")
def icon() -> Response:
    """Return the icon, also where browsers look for one by themselves."""
    return Response(_static("icon.svg"), media_type="image/svg+xml")


@routes.get("/front.css")
def style() -> Response:
    """Return the style sheet of these pages."""
    return Response(_static("front.css"), media_type="text/css; charset=utf-8")


@routes.get("/developers")
def developers(request: Request) -> Response:
    """Redirect to the page for developers in the language that the browser prefers."""
    return RedirectResponse(f"/developers/{preferred(*request.headers.getlist('accept-language'))}", 307)


@routes.get("/developers/openapi/{name}.json")
def openapi_document(name: str) -> Response:
    """Return the OpenAPI document of one service; 404 for any other name."""
    if name not in DOCUMENTS:
        raise not_found()
    return Response(_openapi(name), media_type="application/json")


@routes.get("/developers/{language}")
def developers_page(language: str) -> Response:
    """Show where a partner's developer begins; 404 for a language that the hub does not speak."""
    return _page("developers.html", language, documents=DOCUMENTS)


@routes.get("/{language}")
def front_page_in(language: str) -> Response:
    """Show the ways in, in one language; 404 for a language that the hub does not speak."""
    return _page("front.html", language)


def _page(template: str, language: str, **values: object) -> Response:
    if language not in LANGUAGES:
        raise not_found()
    return HTMLResponse(_templates(language).get_template(template).render(**values))


@cache
def _templates(language: str) -> Environment:
    return environment(PACKAGE, language, catalogue(PACKAGE, language))


@cache
def _static(name: str) -> bytes:
    return files(PACKAGE).joinpath("static", name).read_bytes()


@cache
def _openapi(name: str) -> bytes:
    return files("schemas").joinpath("openapi", f"{name}.json").read_bytes()
