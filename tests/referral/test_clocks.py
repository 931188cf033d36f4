"""A late promise is told to both sides at once, twice and four times its time, and nothing closes by itself."""

from datetime import datetime, timedelta

import pytest

from services.referral import handlers
from services.referral.context import Context
from services.referral.domain import State
from services.referral.handlers import clocks, feed
from tests.support.clocks import NOON, StillClock
from tests.support.sorting import RECIPIENT, SENDER, answered, ended, made, sealed, sent, shut_out, take


def told(context: Context) -> list[tuple[str, int]]:
    """Return which promises were told to be late, and for which time."""
    return [(data["clock"], data["times"]) for kind, data in sent(context) if kind == "referral.overdue.v1"]


def run_at(context: Context, clock: StillClock, moment: datetime) -> int:
    clock.move(moment - clock.now())
    return clocks.tell_overdue(context)


def test_missing_answer_is_told_three_times_and_stays_open(context: Context, clock: StillClock) -> None:
    event = sealed()
    take(context, event)
    for hours, number in ((23, 0), (24, 1), (25, 0), (48, 1), (95, 0), (96, 1), (1000, 0)):
        assert run_at(context, clock, NOON + timedelta(hours=hours)) == number
    assert told(context) == [("answer", 1), ("answer", 2), ("answer", 4)]
    assert handlers.read_referral(context, SENDER, event.key).state == State.REQUESTED
    for agency in (SENDER, RECIPIENT):
        entries = [entry for entry in feed.read_feed(context, agency, 0).entries if entry.type == feed.OVERDUE]
        assert [(entry.subject, entry.state) for entry in entries] == [(event.key, "answer")] * 3


def test_promise_runs_from_the_time_intake_took_it(context: Context, clock: StillClock) -> None:
    clock.move(timedelta(hours=30))
    take(context, sealed())
    assert clocks.tell_overdue(context) == 1
    assert told(context) == [("answer", 1)]


def test_worker_that_was_away_tells_only_the_latest(context: Context, clock: StillClock) -> None:
    take(context, sealed())
    assert run_at(context, clock, NOON + timedelta(days=30)) == 1
    assert told(context) == [("answer", 4)]
    assert run_at(context, clock, NOON + timedelta(days=90)) == 0


@pytest.mark.parametrize(("kind", "about", "hours"), [("accepted", "start", 72), ("waitlisted", "restate", 14 * 24)])
def test_each_answer_starts_its_own_promise(
    context: Context, clock: StillClock, kind: str, about: str, hours: int
) -> None:
    event = sealed()
    take(context, event)
    clock.move(timedelta(hours=2))
    take(context, answered(kind, event.key))
    begun = clock.now()
    assert run_at(context, clock, begun + timedelta(hours=hours, seconds=-1)) == 0
    assert run_at(context, clock, begun + timedelta(hours=hours)) == 1
    assert told(context) == [(about, 1)]


def test_restated_list_begins_a_new_promise(context: Context, clock: StillClock) -> None:
    event = sealed()
    take(context, event)
    take(context, answered("waitlisted", event.key))
    clock.move(timedelta(days=13))
    again = made("referral.waitlisted.v1", RECIPIENT, {"referral": event.key, "wait": "over_90_days"}, event.key)
    take(context, again)
    assert run_at(context, clock, NOON + timedelta(days=20)) == 0
    view = handlers.read_referral(context, SENDER, event.key)
    assert (view.state, view.wait) == ("waitlisted", "over_90_days")
    assert run_at(context, clock, NOON + timedelta(days=27)) == 1


@pytest.mark.parametrize("kind", ["declined", "cancelled"])
def test_nothing_is_late_while_no_promise_runs(context: Context, clock: StillClock, kind: str) -> None:
    event = sealed()
    take(context, event)
    take(context, answered(kind, event.key, SENDER if kind == "cancelled" else RECIPIENT))
    assert run_at(context, clock, NOON + timedelta(days=400)) == 0


def test_shut_out_side_is_not_told(context: Context, clock: StillClock) -> None:
    event = sealed()
    take(context, event)
    take(context, shut_out(event.data["grant"]))
    assert run_at(context, clock, NOON + timedelta(hours=24)) == 1
    kinds = {
        agency: [entry.type for entry in feed.read_feed(context, agency, 0).entries] for agency in (SENDER, RECIPIENT)
    }
    assert feed.OVERDUE not in kinds[SENDER]
    assert feed.OVERDUE in kinds[RECIPIENT]


@pytest.mark.parametrize(
    ("kinds", "reason", "state", "has_envelope"),
    [
        ([], "expired", "withdrawn", False),
        (["waitlisted"], "expired", "withdrawn", False),
        (["held"], "expired", "withdrawn", False),
        (["accepted"], "expired", "accepted", False),
        (["accepted", "started"], "expired", "started", False),
        (["accepted", "held"], "expired", "on_hold", False),
        (["accepted"], "revoked", "withdrawn", False),
        (["accepted", "started"], "erased", "withdrawn", False),
        (["accepted"], "restored", "withdrawn", False),
    ],
)
def test_expiry_closes_envelopes_and_leaves_help_going(
    context: Context, kinds: list[str], reason: str, state: str, has_envelope: bool
) -> None:
    event = sealed()
    take(context, event)
    for kind in kinds:
        take(context, answered(kind, event.key))
    grant = event.data["grant"]
    ending = {"grant": grant, "agency": RECIPIENT, "reason": reason, "epoch": 5}
    take(context, made("grant.ended.v1", "consent", ending, grant))
    assert handlers.read_referral(context, RECIPIENT, event.key).state == state
    assert bool(handlers.read_inbox(context, RECIPIENT)) is has_envelope
    if state in {"accepted", "started"}:
        take(context, answered("started" if state == "accepted" else "completed", event.key))
        assert handlers.read_referral(context, SENDER, event.key).state == {"accepted": "started"}.get(
            state, "completed"
        )


def test_hold_is_told_when_no_word_comes(context: Context, clock: StillClock) -> None:
    event = sealed()
    take(context, event)
    take(context, answered("held", event.key))
    assert run_at(context, clock, NOON + timedelta(days=14)) == 1
    assert told(context) == [("hold", 1)]


def test_start_taken_back_does_not_renew_its_promise(context: Context, clock: StillClock) -> None:
    event = sealed()
    take(context, event)
    take(context, answered("accepted", event.key))
    for _ in range(3):
        clock.move(timedelta(hours=23))
        take(context, answered("started", event.key))
        take(context, answered("accepted", event.key))
    assert run_at(context, clock, NOON + timedelta(hours=72)) == 1
    assert told(context) == [("start", 1)]


def test_hold_repeats_no_reminder(context: Context, clock: StillClock) -> None:
    event = sealed()
    take(context, event)
    assert run_at(context, clock, NOON + timedelta(hours=24)) == 1
    take(context, answered("held", event.key))
    take(context, answered("resumed", event.key))
    assert run_at(context, clock, NOON + timedelta(hours=25)) == 0
    assert told(context) == [("answer", 1)]


def test_old_time_in_an_answer_takes_no_start_back(context: Context, clock: StillClock) -> None:
    event = sealed()
    take(context, event)
    for kind in ("accepted", "started"):
        take(context, answered(kind, event.key))
    clock.move(timedelta(days=3))
    take(context, answered("accepted", event.key))
    assert handlers.read_referral(context, SENDER, event.key).state == "started"
    assert sent(context)[-1][1]["reason"] == "not_possible_now"


def test_hold_counts_as_no_answer(context: Context, clock: StillClock) -> None:
    event = sealed()
    take(context, event)
    take(context, answered("held", event.key))
    assert "answered" not in sent(context)[-1][1]
    clock.move(timedelta(days=2))
    take(context, answered("accepted", event.key))
    assert sent(context)[-1][1]["answered"] == "days_1_3"


def test_expiry_of_what_goes_on_is_told_to_both_sides(context: Context) -> None:
    event = sealed()
    take(context, event)
    take(context, answered("accepted", event.key))
    before = {agency: len(feed.read_feed(context, agency, 0).entries) for agency in (SENDER, RECIPIENT)}
    take(context, ended(event.data["grant"], "expired"))
    for agency, number in before.items():
        assert len(feed.read_feed(context, agency, 0).entries) == number + 1
