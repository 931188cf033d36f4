"""Handlers of the referral service: the envelope goes to its recipient, both sides see one history, others see nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.common.errors import Problem
from services.referral import handlers
from services.referral.context import Context
from services.referral.domain import ANSWERS, State
from tests.support.clocks import NOON, StillClock
from tests.support.sorting import ENVELOPE, RECIPIENT, SENDER, STRANGER, answered, ended, made, sealed, sent, take


def waiting(context: Context, agency: str = RECIPIENT) -> list[str]:
    return [row.id for row in handlers.read_inbox(context, agency)]


def begun(context: Context, grant: str | None = None) -> str:
    event = sealed(grant=grant)
    take(context, event)
    return event.key


def history(context: Context, referral: str, agency: str = SENDER) -> list[str]:
    return [step.state for step in handlers.read_referral(context, agency, referral).steps]


def test_sealed_referral_waits_for_its_recipient_only(context: Context) -> None:
    """The event that announces it does not contain its envelope."""
    referral = begun(context)
    [item] = handlers.read_inbox(context, RECIPIENT)
    assert (item.id, item.sealed, item.answer_by) == (referral, ENVELOPE, NOON + timedelta(hours=24))
    assert waiting(context, SENDER) == waiting(context, STRANGER) == []
    [(event_type, data)] = sent(context)
    assert (event_type, data["state"]) == ("referral.updated.v1", "requested")
    assert ENVELOPE not in str(data)
    assert not {"grant", "envelope", "parts", "subject"} & data.keys()


def test_only_both_sides_see_a_referral_and_its_history(context: Context, clock: StillClock) -> None:
    referral = begun(context)
    for kind in ("waitlisted", "accepted", "started", "completed"):
        clock.move(timedelta(hours=30))
        take(context, answered(kind, referral))
    path = ["requested", "waitlisted", "accepted", "started", "completed"]
    assert history(context, referral, SENDER) == history(context, referral, RECIPIENT) == path
    with pytest.raises(Problem, match="404"):
        handlers.read_referral(context, STRANGER, referral)
    with pytest.raises(Problem, match="404"):
        handlers.read_referral(context, SENDER, str(uuid4()))


def test_late_referral_counts_in_the_year_it_was_taken_in(context: Context, clock: StillClock) -> None:
    # Her pseudonym is that of the year in which intake asked for it. In another year's counts she would be one person
    # more.
    last, first = datetime(2027, 3, 31, 23, 59, tzinfo=UTC), datetime(2027, 4, 1, 6, tzinfo=UTC)
    clock.move(first - NOON)
    take(context, replace(sealed(statistics="a" * 26), time=last))
    [(_, data)] = sent(context)
    assert (data["requested_on"], data["changed_on"]) == ("2027-03-31", "2027-04-01")
    [item] = handlers.read_inbox(context, RECIPIENT)
    assert (item.requested_at, item.answer_by) == (last, last + timedelta(hours=24))


def test_wait_is_told_as_a_band_when_help_starts(context: Context, clock: StillClock) -> None:
    referral = begun(context)
    take(context, answered("accepted", referral))
    clock.move(timedelta(days=2))
    take(context, answered("started", referral))
    assert [data.get("waited") for _, data in sent(context)] == [None, None, "days_1_3"]


@pytest.mark.parametrize("kind", ["declined", "cancelled"])
def test_envelope_is_deleted_when_the_referral_ends(context: Context, kind: str) -> None:
    referral = begun(context)
    take(context, answered(kind, referral, SENDER if kind == "cancelled" else RECIPIENT))
    assert waiting(context) == []
    assert history(context, referral)[-1] == kind


@pytest.mark.parametrize("event_type", sorted(ANSWERS))
@pytest.mark.parametrize("by", [SENDER, RECIPIENT, STRANGER])
def test_impossible_answer_returns_to_its_sender(context: Context, event_type: str, by: str) -> None:
    """It changes nothing."""
    referral = begun(context)
    kind = event_type.split(".")[1]
    possible = {"accepted": RECIPIENT, "declined": RECIPIENT, "waitlisted": RECIPIENT, "cancelled": SENDER}
    possible |= {"held": RECIPIENT}
    event = answered(kind, referral, by)
    take(context, event)
    told, data = sent(context)[-1]
    if possible.get(kind) == by:
        assert (told, data["state"]) == ("referral.updated.v1", {"held": "on_hold"}.get(kind, kind))
        return
    reason = (
        "unknown_referral"
        if by == STRANGER
        else "not_yours"
        if kind in possible or (kind, by) == ("resumed", SENDER)
        else "not_possible_now"
    )
    assert (told, data) == ("event.refused.v1", {"agency": by, "event": event.id, "reason": reason})
    assert history(context, referral) == ["requested"]


def test_answer_to_an_unknown_referral_is_refused(context: Context) -> None:
    """It is refused in the same way as an answer from a stranger."""
    take(context, answered("accepted", str(uuid4())))
    [(event_type, data)] = sent(context)
    assert (event_type, data["reason"]) == ("event.refused.v1", "unknown_referral")


def test_end_of_a_grant_withdraws_only_what_is_open_under_it(context: Context) -> None:
    grant = str(uuid4())
    open_one, done, other = begun(context, grant), begun(context, grant), begun(context)
    take(context, answered("declined", done))
    take(context, ended(grant))
    assert waiting(context) == [other]
    assert [history(context, referral)[-1] for referral in (open_one, done, other)] == [
        "withdrawn",
        "declined",
        "requested",
    ]


def test_referral_after_the_end_of_its_grant_never_waits(context: Context) -> None:
    grant = str(uuid4())
    take(context, ended(grant))
    referral = begun(context, grant)
    assert waiting(context) == []
    assert history(context, referral) == ["withdrawn"]
    assert sent(context)[-1][1]["state"] == State.WITHDRAWN


def test_withdrawn_referral_cannot_be_answered(context: Context) -> None:
    grant = str(uuid4())
    referral = begun(context, grant)
    take(context, ended(grant))
    take(context, answered("accepted", referral))
    assert sent(context)[-1][1]["reason"] == "not_possible_now"
    assert history(context, referral)[-1] == "withdrawn"


def test_both_sides_see_the_first_opening(context: Context) -> None:
    referral = begun(context)
    data = {"opening": str(uuid4()), "referral": referral, "grant": str(uuid4()), "agency": RECIPIENT}
    opened = made(
        "disclosure.made.v1", "consent", {**data, "categories": ["summary"], "outcome": "delivered"}, referral
    )
    for _ in range(2):
        take(context, opened)
    assert handlers.read_referral(context, SENDER, referral).opened_at == NOON


def test_refused_opening_is_not_shown_as_opened(context: Context) -> None:
    referral = begun(context)
    data = {"opening": str(uuid4()), "referral": referral, "grant": str(uuid4()), "agency": STRANGER}
    take(context, made("disclosure.made.v1", "consent", {**data, "categories": [], "outcome": "refused"}, referral))
    assert handlers.read_referral(context, SENDER, referral).opened_at is None


def test_inbox_pages_have_no_gap_and_no_repeat(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "PAGE", 3)
    ids, place = [begun(context) for _ in range(7)], 0
    seen: list[str] = []
    while page := handlers.read_inbox(context, RECIPIENT, place):
        assert len(page) <= 3
        seen += [row.id for row in page]
        place = page[-1].place
    assert seen == ids
