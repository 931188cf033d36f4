"""Pages for grants: choose, read back, confirm, receipt; revoke one, pause and resume all, and link codes."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from services.common.errors import not_found
from services.common.roster import Agency
from services.consent.handlers.accounts import links, preferences
from services.consent.handlers.disclosures import sent
from services.consent.handlers.grants import drafts, grants, notes, pending
from services.consent.handlers.grants.grants import Answer, Chosen, Wish
from services.consent.handlers.rights import export
from services.consent.pages.grant_form import (
    DAYS,
    KIND,
    Choices,
    FilledForm,
    GrantForm,
    chosen_agency,
    faults,
    her_note,
    only_this,
    read_texts,
    request_id,
    shared,
    until,
)
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
from services.consent.pages.texts import labelled_parts
from services.consent.policy import privacy_notice

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)


@routes.get("/yes")
def choose(page: SessionPage, request: Annotated[str, Query(max_length=36)] = "") -> Response:
    """Show the privacy notice and the form of a new grant, with nothing chosen."""
    return _choose(page, GrantForm(request=request), [])


@routes.post("/yes/change")
def change(page: FormPage, wish: FilledForm) -> Response:
    """Show the form again as she filled it in."""
    return _choose(page, wish, [])


@routes.post("/yes/check")
def read_back(page: FormPage, wish: FilledForm) -> Response:
    """Check the form and read it back in a sentence before anything happens."""
    choices = _choices(page, wish)
    reviewers, agency = _reviewers(page, choices, wish), chosen_agency(choices, wish)
    if wrong := faults(page.context, choices, wish, reviewers):
        return _choose(page, wish, wrong)
    reviewer = next((known.name for known in reviewers or () if known.id == wish.look), None)
    end, going = until(page.context.clock.now(), wish.days), shared(choices, wish)
    [stopped] = export.kept_back(page.context, page.subject, [Wish(wish.agency, wish.purpose, going)])
    shown: dict[str, Any] = {"wish": wish, "agency": agency, "looks": reviewer, "until": end, "words": her_note(wish)}
    shown |= {"going": going, "empty": sorted(set(wish.category) - set(going)), "only": only_this(choices, wish)}
    shown["texts"] = labelled_parts(read_texts(choices, wish), page.language)
    return page.show("read_back.html", **shown, stopped=stopped)


@routes.post("/yes")
def give(page: PinPage, wish: FilledForm) -> Response:
    """Give the grant, or answer the consent request with yes; then show the receipt."""
    request, note, reviewer = request_id(wish), her_note(wish), wish.look or None
    made: UUID | None = None
    if request is None:
        going = shared(_choices(page, wish), wish)
        made = grants.give_grant(
            page.context, page.subject, Wish(wish.agency, wish.purpose, going, wish.days, reviewer, note)
        )
    else:
        answer = _said_yes(page, request, wish)
        with unless_done(partial(_answered, page, request, accepted=True)):
            made = grants.answer_request(page.context, page.subject, request, answer)
    return page.go(f"/yes/{made}" if made else "")


def _said_yes(page: PageContext, request: UUID, wish: GrantForm) -> Answer:
    """Return her yes to a request as the form says it; what it binds to is what its page has shown."""
    drafts_now = drafts.show(page.context, [request]).get(request, {})
    choices = Choices([], [], wish.category, drafts=drafts_now)
    chosen = Chosen(shared(choices, wish), her_note(wish))
    bound = None if wish.only != KIND else False
    return Answer(True, wish.days, wish.look or None, chosen, only_this=bound, agency=wish.agency)


@routes.get("/yes/{grant}")
def receipt(page: SessionPage, grant: UUID) -> Response:
    """Show the receipt of a grant, or the grant that waits for a second look."""
    row = _grant(page, grant)
    if row is None:
        return _waits(page, grant)
    shown, sent_here = privacy_notice(row.language, row.notice_version), sent.readable(page.context, page.subject)
    note = notes.show(page.context, page.subject, grant)
    return page.show(
        "receipt.html",
        grant=row,
        name=_name(page, row.agency),
        notice=shown.text.splitlines(),
        words=note,
        was_sent=grant in sent_here,
    )


@routes.get("/sent/{grant}")
def what_was_sent(page: SessionPage, grant: UUID, before: UUID | None = None) -> Response:
    """Show what was sent about her under a grant, word for word, while it lives."""
    found = sent.read(page.context, page.subject, grant, before)
    names = preferences.names(page.context, {found.grant.agency, *(one.sender for one in found.sent)})
    told = [(one, None if one.parts is None else labelled_parts(one.parts, page.language)) for one in found.sent]
    return page.show("sent.html", grant=found.grant, told=told, names=names, following=found.following)


@routes.post("/requests/{request_id}/no")
def not_now(page: FormPage, request_id: UUID) -> Response:
    """Answer a consent request with "not now". Nothing else changes."""
    with unless_done(lambda: _answered(page, request_id, accepted=False)):
        grants.answer_request(page.context, page.subject, request_id, Answer(accept=False))
    return page.go()


@routes.post("/stop/{grant}")
def stop(page: FormPage, grant: UUID) -> Response:
    """Revoke one grant, or withdraw one that waits for a second look."""
    with unless_done(
        lambda: grant in {row.id for row, _why in pending.waits_of(page.context, page.subject, past=True)}
    ):
        grants.revoke_grant(page.context, page.subject, grant)
    return page.go(f"/stopped/{grant}" if _grant(page, grant) else "")


@routes.get("/stopped/{grant}")
def stopped(page: SessionPage, grant: UUID) -> Response:
    """Show what the revocation has done, and what it cannot do."""
    row = _grant(page, grant)
    if row is None or row.ended_at is None:
        raise not_found()
    return page.show("stopped.html", grant=row, name=_name(page, row.agency))


@routes.post("/pause")
def pause(page: FormPage) -> Response:
    """Pause all grants."""
    grants.pause(page.context, page.subject)
    return page.go()


@routes.post("/resume")
def resume(page: PinPage) -> Response:
    """End the pause."""
    grants.resume(page.context, page.subject)
    return page.go()


@routes.post("/link")
def link(page: PinNowPage) -> Response:
    """Make a link code to tell one agency; only this answer shows it."""
    return page.show("link.html", made=links.make_link_code(page.context, page.subject))


def _choose(page: PageContext, wish: GrantForm, wrong: list[str]) -> Response:
    choices, facts = _choices(page, wish), privacy_notice(page.language).text.splitlines()
    shown = {"wish": wish, "wrong": wrong, "choices": choices, "facts": facts, "days": DAYS}
    shown |= {
        "lookers": _reviewers(page, choices, wish),
        "why": page.context.duty_rules.second_look_why[page.language],
    }
    shown |= {"texts": labelled_parts(choices.drafts, page.language), "only": only_this(choices, wish)}
    asked_by = _name(page, choices.asked_by) if choices.asked_by else None
    return page.show("yes.html", 400 if wrong else 200, **shown, asked_by=asked_by)


def _reviewers(page: PageContext, choices: Choices, wish: GrantForm) -> Sequence[Agency] | None:
    """Return the agencies that may take the second look which the chosen grant needs; None if it needs none."""
    agency = chosen_agency(choices, wish)
    return pending.second_look_choices(page.context, page.subject, agency, wish.category) if agency else None


def _choices(page: PageContext, wish: GrantForm) -> Choices:
    seen = export.overview(page.context, page.subject)
    if not wish.request:
        return Choices(seen["agencies"], sorted(page.context.policy.purposes), sorted(page.context.policy.categories))
    row = next((row for row in seen["requests"] if str(row.id) == wish.request), None)
    if row is None:
        raise not_found()
    agencies = [agency for agency in seen["agencies"] if agency.id in row.choices]
    texts = drafts.show(page.context, [row.id]).get(row.id, {})
    return Choices(agencies, [row.purpose], row.categories, row.asked_by, texts)


def _answered(page: PageContext, request: UUID, *, accepted: bool) -> bool:
    """Tell whether she has already answered a consent request in this way."""
    asked = export.overview(page.context, page.subject, past=True)["requests"]
    return any(row.id == request and row.accepted is accepted for row in asked)


def _grant(page: PageContext, grant: UUID) -> Any:
    """Return one of her grants, None if it is not hers."""
    return next((row for row in export.overview(page.context, page.subject)["grants"] if row.id == grant), None)


def _waits(page: PageContext, name: UUID) -> Response:
    """Show a grant that waits for a second look; raise 404 if none with this id waits."""
    for row, why in pending.waits_of(page.context, page.subject):
        if row.id == name:
            names = preferences.names(page.context, [row.agency, row.second_look_by])
            return page.show("waits.html", wait=row, why=why, names=names)
    raise not_found()


def _name(page: PageContext, agency: str) -> str | None:
    return preferences.names(page.context, [agency]).get(agency)
