"""Reporting's public pages: live facts about services; person counts stay hidden until there is a publication."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

import schemas
from services.common.errors import not_found
from services.reporting import handlers
from services.reporting.room import Room

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Room for help, now",
        "lead": "What services say they can take, by region and need. These are facts about services, never about people.",
        "region": "Region",
        "need": "Need",
        "unit": "Unit",
        "available": "Free",
        "total": "In all",
        "programs": "Programmes",
        "as_of": "Oldest statement (UTC)",
        "empty": "No service has told us yet what it can take.",
        "people_title": "How many people asked for help",
        "people": "Hidden. Numbers about people appear only in a checked publication, so that nobody can be found in them."
        " There is none yet.",
        "other": "Français",
    },
    "fr": {
        "title": "De la place pour aider, maintenant",
        "lead": "Ce que les services disent pouvoir offrir, par région et par besoin. Ce sont des faits sur les services,"
        " jamais sur les personnes.",
        "region": "Région",
        "need": "Besoin",
        "unit": "Unité",
        "available": "Libre",
        "total": "En tout",
        "programs": "Programmes",
        "as_of": "Plus ancienne déclaration (UTC)",
        "empty": "Aucun service ne nous a encore dit ce qu’il peut offrir.",
        "people_title": "Combien de personnes ont demandé de l’aide",
        "people": "Masqué. Les nombres de personnes ne paraissent que dans une publication vérifiée, pour que personne ne"
        " puisse y être reconnu. Il n’y en a pas encore.",
        "other": "English",
    },
}
_templates = Environment(
    loader=PackageLoader("services.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


routes = APIRouter(prefix="/reporting", tags=["public"])


async def _room(request: Request) -> Room:
    room: Room = request.app.state.room
    return room


TheRoom = Annotated[Room, Depends(_room)]


@routes.get("", include_in_schema=False)
@routes.get("/", include_in_schema=False)
def start() -> Response:
    """Begin in English."""
    return RedirectResponse("/reporting/en/", 307)


@routes.get("/{language}", include_in_schema=False)
@routes.get("/{language}/", response_class=HTMLResponse)
def overview(room: TheRoom, language: str) -> HTMLResponse:
    """Live capacity by region and need, in English (`en`) or French (`fr`)."""
    if language not in TEXTS:
        raise not_found()
    rows = [_row(item, language) for item in handlers.live_capacity(room.database)]
    other = "fr" if language == "en" else "en"
    page = _templates.get_template("overview.html")
    return HTMLResponse(
        page.render(text=TEXTS[language], language=language, other=other, rows=rows, now=room.clock.now())
    )


@routes.get("/v1/capacity")
def capacity(room: TheRoom) -> dict[str, Any]:
    """Live capacity by region and need, as JSON."""
    names = ("region", "need", "unit", "available", "total", "programs", "as_of")
    return {
        "capacity": [{name: getattr(item, name) for name in names} for item in handlers.live_capacity(room.database)]
    }


def _row(item: Any, language: str) -> dict[str, object]:
    return {
        "region": schemas.label("regions", item.region, language),
        "need": schemas.label("needs", item.need, language),
        "unit": schemas.label("units", item.unit, language),
        "available": item.available,
        "total": item.total,
        "programs": item.programs,
        "as_of": item.as_of.strftime("%Y-%m-%d %H:%M"),
    }
