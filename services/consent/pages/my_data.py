"""What is hers: who looked, putting right, deleting, being counted, and how she may be reached."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response

import schemas
from services.consent.handlers.accounts import preferences
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import contacts, corrections, erasure, export, statistics
from services.consent.pages.ledger_text import sentence, unread
from services.consent.pages.page_context import HOME, Her, HerHand, HerPin, PageRoute, Visit

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
CHANNELS = [code.code for code in schemas.codes("contact_methods")]
Short = Annotated[str, Form(max_length=32)]
Long = Annotated[str, Form(max_length=200)]


@routes.get("/past")
def past(visit: Her, before: int | None = None) -> Response:
    """Who looked, and everything else that happened, newest first."""
    entries, following = export.ledger_page(visit.context, visit.subject, before)
    notices_sent = poll.told_about(visit.context, visit.subject) if before is None else []
    names = preferences.names(visit.context, [one.agency for one in notices_sent])
    told = _told(visit, entries)
    shown: dict[str, Any] = {"told": told, "following": following, "notices": notices_sent, "names": names}
    return visit.show("past.html", **shown, late=poll.is_overdue)


@routes.get("/mine")
def mine(visit: Her) -> Response:
    """Her copy, putting something right, deleting."""
    return _mine(visit)


def _mine(visit: Visit, *, wrong: bool = False) -> Response:
    seen = export.overview(visit.context, visit.subject)
    asked = corrections.asked_by(visit.context, visit.subject)
    names = preferences.names(visit.context, {row.agency for row in [*seen["grants"], *asked]})
    shown = {"grants": seen["grants"], "asked": asked, "names": names, "age": seen["age_band"]}
    return visit.show("mine.html", 400 if wrong else 200, **shown, wrong=wrong)


@routes.post("/right")
def put_right(visit: HerHand, what: Annotated[str, Form(max_length=80)] = "") -> Response:
    """Ask an agency to put one thing right. `what` is a grant and a category."""
    grant, _, category = what.partition(":")
    try:
        corrections.ask_to_correct(visit.context, visit.subject, UUID(grant), category)
    except ValueError:
        return _mine(visit, wrong=True)
    return visit.go("/mine")


@routes.get("/delete")
def before_deleting(visit: Her) -> Response:
    """The last page before the last step."""
    return visit.show("delete.html", wrong=False)


@routes.post("/delete")
def delete(visit: HerPin, sure: Short = "") -> Response:
    """Delete everything. There is no way back."""
    if not sure:
        return visit.show("delete.html", 400, wrong=True)
    erasure.erase(visit.context, visit.subject)
    # Without the list of her pages: none of them is hers any more.
    response = replace(visit, session=None).show("deleted.html")
    visit.auth.show_out(response)
    return response


@routes.get("/counted")
def counted(visit: Her) -> Response:
    """Whether she is counted. It is no unless she says yes."""
    return visit.show("counted.html", on=export.overview(visit.context, visit.subject)["statistics"])


@routes.post("/counted/yes")
def count_me(visit: HerPin) -> Response:
    """Be counted."""
    statistics.set_statistics(visit.context, visit.subject, on=True)
    return visit.go("/counted")


@routes.post("/counted/no")
def do_not_count_me(visit: HerHand) -> Response:
    """Be as if never counted."""
    statistics.set_statistics(visit.context, visit.subject, on=False)
    return visit.go("/counted")


@routes.get("/reach")
def reach(visit: Her) -> Response:
    """How she may be reached. Not at all, unless she says how."""
    return _reach(visit, {})


@routes.post("/reach")
def may_reach(
    visit: HerPin, channel: Short = "", address: Long = "", window: Long = "", wording: Long = ""
) -> Response:
    """Say how."""
    wish = {"channel": channel, "address": address, "window": window, "wording": wording}
    if channel not in CHANNELS:
        return _reach(visit, wish, wrong=True)
    contacts.save(visit.context, visit.subject, wish)
    return visit.go("/reach")


@routes.post("/reach/still")
def still_safe(visit: HerPin) -> Response:
    """It is still safe."""
    contacts.confirm(visit.context, visit.subject)
    return visit.go("/reach")


@routes.post("/reach/none")
def reach_no_more(visit: HerHand) -> Response:
    """Back to none."""
    contacts.forget(visit.context, visit.subject)
    return visit.go("/reach")


def _reach(visit: Visit, wish: Mapping[str, str], *, wrong: bool = False) -> Response:
    contact = contacts.read(visit.context, visit.subject)
    shown = {"contact": contact, "channels": CHANNELS, "wish": wish}
    return visit.show("reach.html", 400 if wrong else 200, **shown, wrong=wrong)


def _told(visit: Visit, entries: Sequence[Any]) -> list[tuple[Any, str]]:
    """Each entry with its sentence; a key's end goes without saying, since its grant's end stands beside it."""
    named = {row.agency for row in entries} | {
        row.detail.get(member) for row in entries for member in ("for", "told_to")
    }
    names = preferences.names(visit.context, [name for name in named if name])
    # A line without its salt is one that nobody can open any more.
    sentences = [
        sentence(row, names, visit.language) if row.salt else unread(row.kind, visit.language) for row in entries
    ]
    return [(row, told) for row, told in zip(entries, sentences, strict=True) if told]
