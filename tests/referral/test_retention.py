"""What has ended is deleted after its time, whole; what lasts, and what began since, stays."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.common.retention import KEPT
from services.referral.context import Context
from services.referral.handlers import feed, lists, retention
from services.referral.models import envelope, feed_entry, grant_seen, metadata, referral, standstill, step
from tests.referral.test_erasure import rows
from tests.support.clocks import StillClock
from tests.support.sorting import RECIPIENT, SENDER, answered, ended, sealed, shut_out, take

MOMENT = timedelta(seconds=1)
PLUMBING = {"inbox", "outbox"}


def begun(context: Context, grant: str) -> str:
    event = sealed(grant=grant)
    take(context, event)
    return event.key


@pytest.mark.parametrize("end", ["declined", "cancelled", "revoked", "completed", "failed"])
def test_ended_referral_goes_after_its_time(context: Context, clock: StillClock, end: str) -> None:
    grant = str(uuid4())
    name = begun(context, grant)
    for state in {"completed": ["accepted", "started"], "failed": ["accepted"]}.get(end, []):
        take(context, answered(state, name))
    take(
        context, ended(grant) if end == "revoked" else answered(end, name, SENDER if end == "cancelled" else RECIPIENT)
    )

    clock.move(KEPT - MOMENT)
    assert retention.delete_old(context) == 0
    assert [row.id for row in rows(context, referral)] == [name]
    clock.move(2 * MOMENT)
    assert retention.delete_old(context) == 1
    assert [rows(context, table) for table in (referral, envelope, step, feed_entry)] == [[], [], [], []]
    assert lists.read_list(context, SENDER, "sender", None, 0) == []


def test_no_table_still_tells_of_a_deleted_referral(context: Context, clock: StillClock) -> None:
    grant = str(uuid4())
    name = begun(context, grant)
    take(context, shut_out(grant, SENDER))
    take(context, ended(grant))
    clock.move(KEPT + MOMENT)
    retention.delete_old(context)
    told = [
        (table.name, row)
        for table in metadata.sorted_tables
        for row in rows(context, table)
        if table.name not in PLUMBING and {name, grant} & {str(value) for value in row}
    ]
    assert told == []


def test_referral_that_goes_on_stays_with_its_grant(context: Context, clock: StillClock) -> None:
    grant = str(uuid4())
    name = begun(context, grant)
    take(context, answered("accepted", name))
    take(context, answered("started", name))
    take(context, shut_out(grant, SENDER))
    clock.move(KEPT * 2)
    assert retention.delete_old(context) == 0
    assert [row.id for row in rows(context, referral)] == [name]
    assert [row.state for row in rows(context, step)] == ["requested", "accepted", "started"]
    assert rows(context, standstill)


def test_feed_goes_on_after_its_old_entries_are_deleted(context: Context, clock: StillClock) -> None:
    begun(context, str(uuid4()))
    before = feed.read_feed(context, RECIPIENT, 0).next
    clock.move(KEPT + MOMENT)
    retention.delete_old(context)
    assert feed.read_feed(context, RECIPIENT, before).entries == []
    begun(context, str(uuid4()))
    [entry] = feed.read_feed(context, RECIPIENT, before).entries
    assert entry.number == before + 1
    assert [one.number for one in feed.read_feed(context, RECIPIENT, 0).entries] == [before + 1]


def test_grant_that_ended_before_its_referral_is_kept_long_enough(context: Context, clock: StillClock) -> None:
    grant = str(uuid4())
    take(context, ended(grant))
    clock.move(KEPT - MOMENT)
    retention.delete_old(context)
    begun(context, grant)
    assert [row.state for row in rows(context, referral)] == ["withdrawn"]
    assert rows(context, grant_seen)
