"""Pages for a survivor's data: ledger, corrections, erasure, statistics and safe contact."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import Response

import schemas
from services.consent.handlers.accounts import preferences
from services.consent.handlers.disclosures import sent
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import contacts, corrections, erasure, export, statistics
from services.consent.pages.ledger_text import agencies_in, sentence, unread
from services.consent.pages.page_context import (
    HOME,
    FormPage,
    PageContext,
    PageRoute,
    PinNowPage,
    PinPage,
    SessionPage,
)

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
INTENDED = "opening.intended"
OUTCOMES = {f"opening.{code.code}" for code in schemas.codes("opening_outcomes")}
CHANNELS = [code.code for code in schemas.codes("contact_methods")]
Short = Annotated[str, Form(max_length=32)]
Long = Annotated[str, Form(max_length=200)]


@routes.get("/past")
def past(page: SessionPage, before: int | None = None) -> Response:
    """Show a page of her ledger, newest first; the first page also shows the notices about her."""
    entries, following = export.ledger_page(page.context, page.subject, before)
    notices_sent = poll.told_about(page.context, page.subject) if before is None else []
    names = preferences.names(page.context, [one.agency for one in notices_sent])
    told = _told(page, entries)
    shown: dict[str, Any] = {"told": told, "following": following, "notices": notices_sent, "names": names}
    shown["readable"] = {str(grant) for grant in sent.readable(page.context, page.subject)}
    return page.show("past.html", **shown, late=poll.is_overdue)


@routes.get("/mine")
def mine(page: SessionPage) -> Response:
    """Show the page with the export, corrections and erasure."""
    return _mine(page)


def _mine(page: PageContext, *, wrong: bool = False) -> Response:
    seen = export.overview(page.context, page.subject)
    asked = corrections.asked_by(page.context, page.subject)
    names = preferences.names(page.context, {row.agency for row in [*seen["grants"], *asked]})
    shown = {"grants": seen["grants"], "asked": asked, "names": names, "age": seen["age_band"]}
    return page.show("mine.html", 400 if wrong else 200, **shown, wrong=wrong)


@routes.post("/right")
def put_right(page: FormPage, what: Annotated[str, Form(max_length=80)] = "") -> Response:
    """Ask an agency to correct something. `what` is a grant's id and a category, separated by a colon."""
    grant, _, category = what.partition(":")
    try:
        corrections.ask_to_correct(page.context, page.subject, UUID(grant), category)
    except ValueError:
        return _mine(page, wrong=True)
    return page.go("/mine")


@routes.get("/delete")
def before_deleting(page: SessionPage) -> Response:
    """Show the page that confirms the erasure."""
    return page.show("delete.html", wrong=False)


@routes.post("/delete")
def delete(page: PinNowPage, sure: Short = "") -> Response:
    """Erase everything. This cannot be undone."""
    if not sure:
        return page.show("delete.html", 400, wrong=True)
    erasure.erase(page.context, page.subject)
    # Without a session the page has no menu: her pages no longer exist.
    response = replace(page, session=None).show("deleted.html")
    page.auth.show_out(response)
    return response


@routes.get("/counted")
def counted(page: SessionPage) -> Response:
    """Show whether she is counted in statistics. She is not, unless she says yes."""
    return page.show("counted.html", on=export.overview(page.context, page.subject)["statistics"])


@routes.post("/counted/yes")
def count_me(page: PinPage) -> Response:
    """Switch statistics on for her."""
    statistics.set_statistics(page.context, page.subject, on=True)
    return page.go("/counted")


@routes.post("/counted/no")
def do_not_count_me(page: FormPage) -> Response:
    """Switch statistics off for her: as if she had never been counted."""
    statistics.set_statistics(page.context, page.subject, on=False)
    return page.go("/counted")


@routes.get("/reach")
def reach(page: SessionPage) -> Response:
    """Show how she may be reached: not at all, unless she names a way."""
    return _reach(page, {})


@routes.post("/reach")
def may_reach(
    page: PinPage, channel: Short = "", address: Long = "", window: Long = "", wording: Long = ""
) -> Response:
    """Save how she may be reached."""
    wish = {"channel": channel, "address": address, "window": window, "wording": wording}
    if channel not in CHANNELS:
        return _reach(page, wish, wrong=True)
    contacts.save(page.context, page.subject, wish)
    return page.go("/reach")


@routes.post("/reach/still")
def still_safe(page: PinPage) -> Response:
    """Confirm that the contact is still safe."""
    contacts.confirm(page.context, page.subject)
    return page.go("/reach")


@routes.post("/reach/none")
def reach_no_more(page: FormPage) -> Response:
    """Forget how she may be reached."""
    contacts.forget(page.context, page.subject)
    return page.go("/reach")


def _reach(page: PageContext, wish: Mapping[str, str], *, wrong: bool = False) -> Response:
    contact = contacts.read(page.context, page.subject)
    shown = {"contact": contact, "channels": CHANNELS, "wish": wish}
    return page.show("reach.html", 400 if wrong else 200, **shown, wrong=wrong)


def _told(page: PageContext, entries: Sequence[Any]) -> list[tuple[Any, str]]:
    """Return each entry with its sentence; entries that need no sentence are left out."""
    named = {row.agency for row in entries}.union(*(agencies_in(row.detail) for row in entries))
    names = preferences.names(page.context, [name for name in named if name])
    # Nobody can open an entry without its salt any more.
    sentences = [
        sentence(row, names, page.language) if row.salt else unread(row.kind, page.language) for row in entries
    ]
    # An intent says no more than its outcome, which stands above it.
    done = {row.detail.get("opening") for row in entries if row.kind in OUTCOMES} - {None}
    again = [row.kind == INTENDED and row.detail.get("opening") in done for row in entries]
    return [(row, told) for row, told, said in zip(entries, sentences, again, strict=True) if told and not said]
