"""Referrals stand still for an agency that she shut out: it sees nothing new, does nothing, and cannot tell why."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from services.referral import api, handlers
from services.referral.api import lists
from services.referral.context import Context
from services.referral.store import feed
from tests.support.clocks import NOON, StillClock
from tests.support.sorting import RECIPIENT, SENDER, STRANGER, answered, ended, made, sealed, sent, shut_out, take


@pytest.fixture
def grant() -> str:
    return str(uuid4())


@pytest.fixture
def referral(context: Context, grant: str) -> str:
    """A referral that its recipient has accepted, an hour before anything else happens."""
    event = sealed(grant=grant)
    take(context, event)
    take(context, answered("accepted", event.key))
    return event.key


def history(context: Context, referral: str, agency: str) -> list[str]:
    view = handlers.read_referral(context, agency, referral)
    assert view.state == view.steps[-1].state
    return [step.state for step in view.steps]


def test_shut_out_sender_sees_the_referral_as_it_was(
    context: Context, clock: StillClock, grant: str, referral: str
) -> None:
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    for kind in ("started", "completed"):
        take(context, answered(kind, referral))
    assert history(context, referral, SENDER) == ["requested", "accepted"]
    assert history(context, referral, RECIPIENT) == ["requested", "accepted", "started", "completed"]


def test_shut_out_sender_does_not_see_a_later_opening(
    context: Context, clock: StillClock, grant: str, referral: str
) -> None:
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    data = {"opening": str(uuid4()), "referral": referral, "grant": grant, "agency": RECIPIENT}
    event = made("disclosure.made.v1", "consent", {**data, "categories": ["summary"], "outcome": "delivered"}, referral)
    with context.database.transaction() as connection:
        handlers.note_disclosure(connection, replace(event, time=clock.now()))
    assert handlers.read_referral(context, SENDER, referral).opened_at is None
    assert handlers.read_referral(context, RECIPIENT, referral).opened_at == NOON + timedelta(hours=1)


def test_shut_out_sender_does_not_see_a_withdrawal(
    context: Context, clock: StillClock, grant: str, referral: str
) -> None:
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    take(context, ended(grant))
    assert history(context, referral, SENDER) == ["requested", "accepted"]
    assert history(context, referral, RECIPIENT)[-1] == "withdrawn"


@pytest.mark.parametrize("by", [SENDER, RECIPIENT])
def test_act_of_a_shut_out_side_is_refused_and_changes_nothing(
    context: Context, grant: str, referral: str, by: str
) -> None:
    """The reason is one that a late answer gets, so that it tells nothing about her."""
    take(context, shut_out(grant, by))
    take(context, answered("cancelled" if by == SENDER else "started", referral, by))
    told, data = sent(context)[-1]
    assert (told, data["agency"], data["reason"]) == ("event.refused.v1", by, "not_possible_now")
    other = RECIPIENT if by == SENDER else SENDER
    assert history(context, referral, other) == ["requested", "accepted"]


def test_shut_out_recipient_has_nothing_in_its_inbox(context: Context, grant: str, referral: str) -> None:
    take(context, shut_out(grant, RECIPIENT))
    assert handlers.read_inbox(context, RECIPIENT) == []
    take(context, shut_out(grant, RECIPIENT, is_out=False))
    assert [row.id for row in handlers.read_inbox(context, RECIPIENT)] == [referral]


def test_agency_that_is_let_in_again_sees_everything(
    context: Context, clock: StillClock, grant: str, referral: str
) -> None:
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    take(context, answered("started", referral))
    take(context, shut_out(grant, is_out=False))
    assert history(context, referral, SENDER) == ["requested", "accepted", "started"]
    take(context, answered("completed", referral))
    assert history(context, referral, SENDER)[-1] == "completed"


def test_shut_out_twice_keeps_the_first_time(context: Context, clock: StillClock, grant: str, referral: str) -> None:
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    take(context, answered("started", referral))
    take(context, shut_out(grant))
    assert history(context, referral, SENDER) == ["requested", "accepted"]


def test_referral_that_arrives_after_the_event_stands_still(context: Context, clock: StillClock, grant: str) -> None:
    """Topics have no order among each other: the referral was posted before she shut the sender out."""
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    event = sealed(grant=grant)
    take(context, event)
    take(context, answered("accepted", event.key))
    assert history(context, event.key, SENDER) == ["requested"]


def test_only_the_named_agency_and_grant_stand_still(
    context: Context, clock: StillClock, grant: str, referral: str
) -> None:
    other = sealed(grant=str(uuid4()))
    take(context, other)
    take(context, shut_out(grant, STRANGER))
    take(context, shut_out(str(uuid4())))
    clock.move(timedelta(hours=1))
    take(context, answered("started", referral))
    take(context, answered("accepted", other.key))
    assert history(context, referral, SENDER)[-1] == "started"
    assert history(context, other.key, SENDER)[-1] == "accepted"


def test_shut_out_sender_still_sees_the_wait_it_saw(context: Context, clock: StillClock, grant: str) -> None:
    """Otherwise the very next look would tell it that she has shut it out."""
    event = sealed(grant=grant)
    take(context, event)
    take(context, answered("waitlisted", event.key))
    before = handlers.read_referral(context, SENDER, event.key)
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    take(context, made("referral.waitlisted.v1", RECIPIENT, {"referral": event.key, "wait": "over_90_days"}, event.key))
    after = handlers.read_referral(context, SENDER, event.key)
    assert (before.wait, after.wait) == ("days_8_30", "days_8_30")


def test_shut_out_sender_still_sees_the_outcome_it_saw(context: Context, grant: str, referral: str) -> None:
    for kind in ("started", "completed"):
        take(context, answered(kind, referral))
    before = handlers.read_referral(context, SENDER, referral)
    take(context, shut_out(grant))
    after = handlers.read_referral(context, SENDER, referral)
    assert (before.outcome, after.outcome) == ("needs_met", "needs_met")


@pytest.mark.parametrize("move", ["started", "held"])
def test_shut_out_sender_sees_no_promise_kept(
    context: Context, clock: StillClock, grant: str, referral: str, move: str
) -> None:
    """Whether a promise is late follows from what the agency sees, and not from what has happened since."""
    clock.move(timedelta(days=60))
    take(context, shut_out(grant))
    before = late(context, referral, SENDER)
    clock.move(timedelta(hours=1))
    take(context, answered(move, referral))
    assert (before, late(context, referral, SENDER)) == ((True, True), (True, True))


def test_shut_out_sender_sees_no_list_restated(context: Context, clock: StillClock, grant: str) -> None:
    event = sealed(grant=grant)
    take(context, event)
    take(context, answered("waitlisted", event.key))
    clock.move(timedelta(days=60))
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    take(context, answered("waitlisted", event.key))
    assert late(context, event.key, SENDER) == (True, True)


def late(context: Context, referral: str, agency: str) -> tuple[bool, bool]:
    """Return whether a referral is overdue to its sender, by itself and in its list."""
    one = api.referral(context, agency, referral).overdue
    listed = lists.referrals(context, agency, lists.ListQuery(role="sender", state=None, cursor=None)).items
    return one, next(item.overdue for item in listed if item.referral == referral)


@pytest.mark.parametrize("before", [True, False])
def test_shut_out_sender_sees_nothing_of_an_erasure(
    context: Context, clock: StillClock, grant: str, referral: str, *, before: bool
) -> None:
    """Neither its course since then nor that she is gone, also if the grant had ended before."""
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    take(context, answered("started", referral))
    if before:
        take(context, ended(grant))
    with context.database.reading() as connection:
        told = feed.last_number(connection, SENDER)
    take(context, ended(grant, "erased"))
    assert history(context, referral, SENDER) == ["requested", "accepted"]
    with context.database.reading() as connection:
        assert feed.last_number(connection, SENDER) == told
