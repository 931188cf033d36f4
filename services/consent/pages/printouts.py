"""Pages to print: a new revoke card, and a letter that names an agency that supports her, but no reason."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response

from services.common.errors import Problem
from services.consent.handlers.accounts import preferences
from services.consent.handlers.rights import letters
from services.consent.pages.page_context import (
    HOME,
    FormPage,
    PageContext,
    PageRoute,
    PinNowPage,
    PinPage,
    SessionPage,
    unless_done,
)

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)


@routes.get("/paper")
def paper(page: SessionPage) -> Response:
    """Show what can be printed, and the letters that exist."""
    return _paper(page)


@routes.post("/paper/card")
def new_card(page: PinNowPage) -> Response:
    """Make a new revoke card; only this answer shows its code, and the card that she carries works no more."""
    return page.show("print_card.html", code=letters.new_card(page.context, page.subject))


@routes.post("/paper/letter")
def write_letter(page: PinPage, agency: Annotated[str, Form(max_length=64)] = "") -> Response:
    """Make a letter; only this answer shows its code."""
    try:
        letter = letters.write_letter(page.context, page.subject, agency)
    except Problem as problem:
        if problem.status != 400:
            raise
        return _paper(page, wrong=True)
    return page.show("print_letter.html", letter=letter)


@routes.post("/paper/letter/{letter}/end")
def end_letter(page: FormPage, letter: UUID) -> Response:
    """End a letter: its code no longer works."""
    with unless_done(lambda: letter in {row.id for row in letters.letters_of(page.context, page.subject)}):
        letters.end_letter(page.context, page.subject, letter)
    return page.go("/paper")


def _paper(page: PageContext, *, wrong: bool = False) -> Response:
    written = letters.letters_of(page.context, page.subject)
    names = preferences.names(page.context, [row.agency for row in written])
    shown = {"letters": written, "names": names, "supporters": letters.supporters(page.context, page.subject)}
    return page.show("paper.html", 400 if wrong else 200, **shown, now=page.context.clock.now(), wrong=wrong)
