"""Pages for restrictions: show, add and lift them. A restriction wins over every grant."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response

from services.common.errors import Problem
from services.consent.handlers.accounts import links, preferences
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.handlers.rights import export
from services.consent.pages.page_context import (
    HOME,
    FormPage,
    PageContext,
    PageRoute,
    PinPage,
    SessionPage,
    unless_done,
)

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Choice = Annotated[str, Form(max_length=64)]


@routes.get("/never")
def never(page: SessionPage) -> Response:
    """Show her restrictions, and a form to add one."""
    return _show(page)


@routes.post("/never")
def forbid(page: FormPage, who: Choice = "", what: Choice = "") -> Response:
    """Add a restriction. `who` is `agency:` with an id or `sector:` with a code."""
    kind, _, name = who.partition(":")
    rule = Rule(
        agency=name if kind == "agency" else None, sector=name if kind == "sector" else None, category=what or None
    )
    try:
        grants.restrict(page.context, page.subject, rule)
    except Problem as problem:
        if problem.status != 400:
            raise
        return _show(page, wrong=True)
    return page.go("/never")


@routes.post("/never/{restriction}/lift")
def lift(page: PinPage, restriction: UUID) -> Response:
    """Lift a restriction."""
    with unless_done(
        lambda: (
            restriction in {row.id for row in export.overview(page.context, page.subject, past=True)["restrictions"]}
        )
    ):
        grants.lift_restriction(page.context, page.subject, restriction)
    return page.go("/never")


@routes.post("/known/{agency}/end")
def end_link(page: FormPage, agency: str) -> Response:
    """Unlink an agency."""
    with unless_done(lambda: agency not in export.overview(page.context, page.subject)["links"]):
        links.unlink(page.context, page.subject, agency)
    return page.go("/never")


def _show(page: PageContext, *, wrong: bool = False) -> Response:
    seen = export.overview(page.context, page.subject)
    names = preferences.names(
        page.context, [*seen["links"], *(row.agency for row in seen["restrictions"] if row.agency)]
    )
    categories = sorted(page.context.policy.categories)
    sectors = sorted(page.context.policy.sectors)
    shown = {"seen": seen, "names": names, "categories": categories, "sectors": sectors}
    return page.show("never.html", 400 if wrong else 200, **shown, wrong=wrong)
