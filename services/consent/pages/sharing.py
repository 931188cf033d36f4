"""Saying yes and taking back: choose, read back, confirm, keep the receipt; and stop one thing or everything."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from services.common.errors import not_found
from services.common.roster import Agency
from services.consent.handlers.accounts import links, preferences
from services.consent.handlers.grants import grants, notes, pending
from services.consent.handlers.grants.grants import Answer, Chosen, Wish
from services.consent.handlers.rights import export
from services.consent.pages.grant_form import (
    DAYS,
    Choices,
    TheWish,
    WishForm,
    chosen_agency,
    faults,
    her_note,
    request_id,
    until,
)
from services.consent.pages.page_context import HOME, Her, HerHand, HerPin, PageRoute, Visit, unless_done
from services.consent.policy import privacy_notice

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)


@routes.get("/yes")
def choose(visit: Her, request: Annotated[str, Query(max_length=36)] = "") -> Response:
    """The facts, and every choice still open."""
    return _choose(visit, WishForm(request=request), [])


@routes.post("/yes/change")
def change(visit: HerHand, wish: TheWish) -> Response:
    """Back from the reading to the choices, as she left them."""
    return _choose(visit, wish, [])


@routes.post("/yes/check")
def read_back(visit: HerHand, wish: TheWish) -> Response:
    """What she chose, in a sentence, before anything happens."""
    choices = _choices(visit, wish)
    lookers, agency = _lookers(visit, choices, wish), chosen_agency(choices, wish)
    if wrong := faults(visit.context, choices, wish, lookers):
        return _choose(visit, wish, wrong)
    looks = next((known.name for known in lookers or () if known.id == wish.look), None)
    end = until(visit.context.clock.now(), wish.days)
    [stopped] = grants.kept_back(visit.context, visit.subject, [Wish(wish.agency, wish.purpose, wish.category)])
    shown: dict[str, Any] = {"wish": wish, "agency": agency, "looks": looks, "until": end, "words": her_note(wish)}
    return visit.show("read_back.html", **shown, stopped=stopped)


@routes.post("/yes")
def give(visit: HerPin, wish: TheWish) -> Response:
    """Do it; then the receipt."""
    request, hers, looks = request_id(wish), her_note(wish), wish.look or None
    made: UUID | None = None
    if request is None:
        asked = Wish(wish.agency, wish.purpose, wish.category, wish.days, looks, hers)
        made = grants.give_grant(visit.context, visit.subject, asked)
    else:
        answer = Answer(True, wish.days, looks, Chosen(wish.category, hers))
        with unless_done(partial(_answered, visit, request, accepted=True)):
            made = grants.answer_request(visit.context, visit.subject, request, answer)
    return visit.go(f"/yes/{made}" if made else "")


@routes.get("/yes/{grant}")
def receipt(visit: Her, grant: UUID) -> Response:
    """What she said yes to, to read and to print."""
    row = _grant(visit, grant)
    if row is None:
        return _waits(visit, grant)
    shown = privacy_notice(row.language, row.notice_version)
    hers = notes.show(visit.context, visit.subject, grant)
    return visit.show(
        "receipt.html", grant=row, name=_name(visit, row.agency), notice=shown.text.splitlines(), words=hers
    )


@routes.post("/requests/{request_id}/no")
def not_now(visit: HerHand, request_id: UUID) -> Response:
    """Not now. Nothing changes."""
    with unless_done(lambda: _answered(visit, request_id, accepted=False)):
        grants.answer_request(visit.context, visit.subject, request_id, Answer(accept=False))
    return visit.go()


@routes.post("/stop/{grant}")
def stop(visit: HerHand, grant: UUID) -> Response:
    """Take one thing back."""
    with unless_done(
        lambda: grant in {row.id for row, _why in pending.waits_of(visit.context, visit.subject, past=True)}
    ):
        grants.revoke_grant(visit.context, visit.subject, grant)
    return visit.go(f"/stopped/{grant}" if _grant(visit, grant) else "")


@routes.get("/stopped/{grant}")
def stopped(visit: Her, grant: UUID) -> Response:
    """What taking back has done, and what it cannot do."""
    row = _grant(visit, grant)
    if row is None or row.ended_at is None:
        raise not_found()
    return visit.show("stopped.html", grant=row, name=_name(visit, row.agency))


@routes.post("/pause")
def pause(visit: HerHand) -> Response:
    """Stop everything."""
    grants.pause(visit.context, visit.subject)
    return visit.go()


@routes.post("/resume")
def resume(visit: HerPin) -> Response:
    """Let what she allowed work again."""
    grants.resume(visit.context, visit.subject)
    return visit.go()


@routes.post("/link")
def link(visit: HerPin) -> Response:
    """A code to tell one agency, on this answer only."""
    return visit.show("link.html", made=links.make_link_code(visit.context, visit.subject))


def _choose(visit: Visit, wish: WishForm, wrong: list[str]) -> Response:
    choices, facts = _choices(visit, wish), privacy_notice(visit.language).text.splitlines()
    shown = {"wish": wish, "wrong": wrong, "choices": choices, "facts": facts, "days": DAYS}
    shown |= {
        "lookers": _lookers(visit, choices, wish),
        "why": visit.context.duty_rules.second_look_why[visit.language],
    }
    asked_by = _name(visit, choices.asked_by) if choices.asked_by else None
    return visit.show("yes.html", 400 if wrong else 200, **shown, asked_by=asked_by)


def _lookers(visit: Visit, choices: Choices, wish: WishForm) -> Sequence[Agency] | None:
    """Between whom she chooses where somebody looks at it with her first."""
    agency = chosen_agency(choices, wish)
    return pending.second_look_choices(visit.context, visit.subject, agency, wish.category) if agency else None


def _choices(visit: Visit, wish: WishForm) -> Choices:
    seen = export.overview(visit.context, visit.subject)
    if not wish.request:
        return Choices(seen["agencies"], sorted(visit.context.policy.purposes), sorted(visit.context.policy.categories))
    row = next((row for row in seen["requests"] if str(row.id) == wish.request), None)
    if row is None:
        raise not_found()
    agencies = [agency for agency in seen["agencies"] if agency.id == row.agency]
    return Choices(agencies, [row.purpose], row.categories, row.asked_by)


def _answered(visit: Visit, request: UUID, *, accepted: bool) -> bool:
    """Whether she has answered that request so before."""
    asked = export.overview(visit.context, visit.subject, past=True)["requests"]
    return any(row.id == request and row.accepted is accepted for row in asked)


def _grant(visit: Visit, grant: UUID) -> Any:
    """One of her grants, None if it is not among them."""
    return next((row for row in export.overview(visit.context, visit.subject)["grants"] if row.id == grant), None)


def _waits(visit: Visit, name: UUID) -> Response:
    """What waits until somebody has looked at it with her."""
    for row, why in pending.waits_of(visit.context, visit.subject):
        if row.id == name:
            names = preferences.names(visit.context, [row.agency, row.second_look_by])
            return visit.show("waits.html", wait=row, why=why, names=names)
    raise not_found()


def _name(visit: Visit, agency: str) -> str | None:
    return preferences.names(visit.context, [agency]).get(agency)
