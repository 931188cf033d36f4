"""Tells both sides of a referral that a promise is late, again and again; nothing closes by itself."""

from sqlalchemy import Connection

from services.referral import events, store
from services.referral.context import Context
from services.referral.domain import State, clock_of
from services.referral.handlers import feed

AT_ONCE = 200


def tell_overdue(context: Context) -> int:
    """Tell of every promise that is late by now and was not told so far; return how many were."""
    told = 0
    while True:
        with context.database.transaction() as connection:
            rows = store.due(connection, context.clock.now(), AT_ONCE)
            for row in rows:
                _tell(context, connection, row)
        told += len(rows)
        if len(rows) < AT_ONCE:
            return told


def _tell(context: Context, connection: Connection, row: store.AnyRow) -> None:
    """Tell of one late promise, once for the greatest reminder that has come: others were missed while nothing ran."""
    now = context.clock.now()
    clock = clock_of(State(row.state), row.changed_at, row.requested_at, row.urgency, row.need)
    times = clock.late(now) if clock else 0
    if clock is None or times <= row.told_late:
        store.change_referral(connection, row.id, due_at=clock.next_due(row.told_late) if clock else None)
        return
    store.change_referral(connection, row.id, told_late=times, due_at=clock.next_due(times))
    context.outbox.add(connection, [events.overdue(context.clock, row, clock.about, times)], now)
    still = store.still_for(connection, row.grant_id)
    feed.tell(context, connection, {row.sender, row.recipient} - still, feed.OVERDUE, row.id, clock.about)
