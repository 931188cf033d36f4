"""Lists of an agency's own referrals and its inbox: by side and state, and no page skips what commits late."""

from collections.abc import Sequence
from datetime import timedelta
from threading import Event as Flag
from threading import Thread
from uuid import uuid4

import pytest

from services.referral import handlers
from services.referral.context import Context
from services.referral.domain import State
from services.referral.handlers import lists
from tests.support.clocks import StillClock
from tests.support.sorting import RECIPIENT, SENDER, STRANGER, answered, ended, sealed, shut_out, take


def begun(context: Context, **changed: str) -> str:
    event = sealed(**changed)
    take(context, event)
    return event.key


def listed(context: Context, agency: str, role: str, state: State | None = None) -> Sequence[str]:
    return [row.id for row in lists.read_list(context, agency, role, state, 0)]


def test_each_side_lists_its_own_referrals_by_role(context: Context) -> None:
    names = [begun(context), begun(context, to=STRANGER)]
    assert listed(context, SENDER, "sender") == names
    assert [listed(context, agency, "recipient") for agency in (RECIPIENT, STRANGER)] == [names[:1], names[1:]]
    assert listed(context, SENDER, "recipient") == listed(context, RECIPIENT, "sender") == []


def test_state_selects_by_the_present_state(context: Context) -> None:
    first, second = begun(context), begun(context)
    take(context, answered("accepted", second))
    assert listed(context, SENDER, "sender", State.REQUESTED) == [first]
    assert listed(context, SENDER, "sender", State.ACCEPTED) == [second]


def test_ended_referral_stays_in_the_list(context: Context) -> None:
    grant = str(uuid4())
    name = begun(context, grant=grant)
    take(context, ended(grant))
    assert listed(context, SENDER, "sender", State.WITHDRAWN) == [name]


@pytest.mark.parametrize("state", [None, *State])
def test_shut_out_side_lists_the_state_it_saw_last(context: Context, clock: StillClock, state: State | None) -> None:
    grant = str(uuid4())
    name = begun(context, grant=grant)
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    take(context, answered("accepted", name))
    rows = lists.read_list(context, SENDER, "sender", state, 0)
    assert [(row.id, row.seen_state) for row in rows] == ([(name, "requested")] if state in {None, "requested"} else [])
    seen = lists.read_list(context, RECIPIENT, "recipient", state, 0)
    assert [row.seen_state for row in seen] == (["accepted"] if state in {None, "accepted"} else [])


def test_referral_that_came_after_shutting_out_is_requested(context: Context, clock: StillClock) -> None:
    grant = str(uuid4())
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    name = begun(context, grant=grant)
    take(context, answered("accepted", name))
    assert listed(context, SENDER, "sender", State.REQUESTED) == [name]


def test_pages_of_a_list_have_no_gap_and_no_repeat(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "PAGE", 3)
    grant = str(uuid4())
    names = [begun(context, **({"grant": grant} if number % 3 == 0 else {})) for number in range(8)]
    take(context, shut_out(grant))
    seen, place = list[str](), 0
    while page := lists.read_list(context, SENDER, "sender", None, place):
        assert len(page) <= 3
        seen += [row.id for row in page]
        place = page[-1].place
    assert seen == names


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_referral_that_commits_late_is_not_skipped(context: Context) -> None:
    """One transaction adds a referral and stays open while a later one commits: its referral comes last in both lists."""
    added, finish = Flag(), Flag()
    slow = sealed()

    def work() -> None:
        with context.database.transaction() as connection:
            handlers.open_referral(context, connection, slow)
            added.set()
            assert finish.wait(20)

    thread = Thread(target=work)
    thread.start()
    assert added.wait(20)
    quick = begun(context)
    [row] = lists.read_list(context, SENDER, "sender", None, 0)
    [item] = handlers.read_inbox(context, RECIPIENT)
    assert (row.id, item.id) == (quick, quick)
    finish.set()
    thread.join()
    assert [later.id for later in lists.read_list(context, SENDER, "sender", None, row.place)] == [slow.key]
    assert [later.id for later in handlers.read_inbox(context, RECIPIENT, item.place)] == [slow.key]
