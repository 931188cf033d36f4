"""What she can print: a new revoke card, and a letter that says who supports her and nothing of why."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response

from services.common.errors import Problem
from services.consent.handlers.accounts import preferences
from services.consent.handlers.rights import letters
from services.consent.pages.page_context import HOME, Her, HerHand, HerPin, PageRoute, Visit, unless_done

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)


@routes.get("/paper")
def paper(visit: Her) -> Response:
    """What can be printed, and the letters that are out."""
    return _paper(visit)


@routes.post("/paper/card")
def new_card(visit: HerPin) -> Response:
    """A new card, on this answer only."""
    return visit.show("print_card.html", code=letters.new_card(visit.context, visit.subject))


@routes.post("/paper/letter")
def write_letter(visit: HerPin, agency: Annotated[str, Form(max_length=64)] = "") -> Response:
    """A letter, on this answer only."""
    try:
        made = letters.write_letter(visit.context, visit.subject, agency)
    except Problem as problem:
        if problem.status != 400:
            raise
        return _paper(visit, wrong=True)
    return visit.show("print_letter.html", letter=made)


@routes.post("/paper/letter/{letter}/end")
def end_letter(visit: HerHand, letter: UUID) -> Response:
    """Make a letter worthless."""
    with unless_done(lambda: letter in {row.id for row in letters.letters_of(visit.context, visit.subject)}):
        letters.end_letter(visit.context, visit.subject, letter)
    return visit.go("/paper")


def _paper(visit: Visit, *, wrong: bool = False) -> Response:
    written = letters.letters_of(visit.context, visit.subject)
    names = preferences.names(visit.context, [row.agency for row in written])
    shown = {"letters": written, "names": names, "supporters": letters.supporters(visit.context, visit.subject)}
    return visit.show("paper.html", 400 if wrong else 200, **shown, now=visit.context.clock.now(), wrong=wrong)
