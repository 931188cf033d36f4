"""What is never to be: what she forbids, in plain words; it wins over every yes."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response

from services.common.errors import Problem
from services.consent.handlers.accounts import preferences
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.handlers.rights import export
from services.consent.pages.page_context import HOME, Her, HerHand, HerPin, PageRoute, Visit, unless_done

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Choice = Annotated[str, Form(max_length=64)]


@routes.get("/never")
def never(visit: Her) -> Response:
    """What she forbids now, and a form to forbid more."""
    return _show(visit)


@routes.post("/never")
def forbid(visit: HerHand, who: Choice = "", what: Choice = "") -> Response:
    """Forbid something, at once. `who` is an agency or a kind of agency, and begins with which of the two."""
    kind, _, name = who.partition(":")
    rule = Rule(
        agency=name if kind == "agency" else None, sector=name if kind == "sector" else None, category=what or None
    )
    try:
        grants.restrict(visit.context, visit.subject, rule)
    except Problem as problem:
        if problem.status != 400:
            raise
        return _show(visit, wrong=True)
    return visit.go("/never")


@routes.post("/never/{restriction}/lift")
def lift(visit: HerPin, restriction: UUID) -> Response:
    """Allow it again."""
    with unless_done(
        lambda: (
            restriction in {row.id for row in export.overview(visit.context, visit.subject, past=True)["restrictions"]}
        )
    ):
        grants.lift_restriction(visit.context, visit.subject, restriction)
    return visit.go("/never")


def _show(visit: Visit, *, wrong: bool = False) -> Response:
    seen = export.overview(visit.context, visit.subject)
    names = preferences.names(visit.context, [row.agency for row in seen["restrictions"] if row.agency])
    categories = sorted(visit.context.policy.categories)
    sectors = sorted(visit.context.policy.sectors)
    shown = {"seen": seen, "names": names, "categories": categories, "sectors": sectors}
    return visit.show("never.html", 400 if wrong else 200, **shown, wrong=wrong)
