"""Her pages at `/my`: for now one, that lists what she allows and takes it back. No script, nothing from elsewhere."""

from contextlib import suppress
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

import schemas
from services.common.errors import Problem
from services.consent.api.doors import Here, TheDoor, TheRoom
from services.consent.handlers import accounts, grants, rights

_templates = Environment(
    loader=PackageLoader("services.consent"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
HERE = "/my"
routes = APIRouter(prefix=HERE, include_in_schema=False)


@routes.get("")
@routes.get("/")
def home(room: TheRoom, door: TheDoor, request: Request) -> Response:
    """What she allows now, or the way in."""
    try:
        session = door.session(request)
    except Problem:
        return _page("way_in.html", 200, wrong=False)
    seen = rights.overview(room, session.subject)
    names = {agency.id: agency.name for agency in seen["agencies"]}
    live = [row for row in seen["grants"] if row.ended_at is None]
    return _page("home.html", 200, grants=live, names=names, label=_label, paused=seen["state"] == "paused")


@routes.post("/way-in")
def way_in(room: TheRoom, door: TheDoor, request: Request, words: Annotated[str, Form(max_length=200)]) -> Response:
    """Come in with her words."""
    door.same_site(request)
    try:
        token = accounts.come_in(room, words)
    except Problem:
        return _page("way_in.html", 401, wrong=True)
    response = RedirectResponse(HERE, 303)
    door.let_in(response, token)
    return response


@routes.post("/grants/{grant}/revoke")
def revoke(room: TheRoom, session: Here, grant: UUID) -> Response:
    """Take one grant back."""
    grants.revoke_grant(room, session.subject, grant)
    return RedirectResponse(HERE, 303)


@routes.post("/pause")
def pause(room: TheRoom, session: Here) -> Response:
    """Stop everything."""
    grants.pause(room, session.subject)
    return RedirectResponse(HERE, 303)


@routes.post("/leave")
def leave(room: TheRoom, door: TheDoor, request: Request) -> Response:
    """End the session and leave nothing in the browser."""
    door.same_site(request)
    response = RedirectResponse(HERE, 303)
    with suppress(Problem):  # The session may be over already; leaving must always work.
        accounts.leave(room, door.session(request))
    door.show_out(response)
    return response


def _page(template: str, status: int, **values: object) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(template).render(**values), status)


def _label(kind: str, code: str) -> str:
    return schemas.label(kind, code, "en")
