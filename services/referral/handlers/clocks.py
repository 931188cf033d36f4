"""Runs the promises of referrals, and tells both sides that one is late, again and again; nothing closes by itself."""

from datetime import datetime

from sqlalchemy import Connection

from services.referral import events, store
from services.referral.context import Context
from services.referral.domain import Clock, State, clock_of, is_overdue
from services.referral.handlers import feed

AT_ONCE = 200
TOLD = {"answer": "told_answer", "start": "told_start", "restate": "told_word", "hold": "told_word"}
"""By promise, the column that counts how often it was told to be late."""


def begin(connection: Connection, row: store.AnyRow, state: State, now: datetime) -> dict[str, object]:
    """Return the columns of the promise that runs in a state which a referral enters now.

    The promise to start runs from the first yes, and that to answer from the request: neither a hold nor a start taken back
    begins it anew, nor are its reminders sent twice.
    """
    since = now
    if state is State.ACCEPTED:
        since = next((step.at for step in store.steps_of(connection, row.id) if step.state == state), now)
    clock = clock_of(state, since, row.requested_at, row.urgency, row.need)
    if clock is None:
        return {"promise_since": None, "due_at": None}
    told = 0 if TOLD[clock.about] == "told_word" else getattr(row, TOLD[clock.about])
    return {"promise_since": clock.since, "due_at": clock.next_due(told), TOLD[clock.about]: told}


def tell_overdue(context: Context) -> int:
    """Tell of every promise that is late by now and was not told so far; return how many were."""
    told = 0
    while True:
        with context.database.transaction() as connection:
            rows = store.due(connection, context.clock.now(), AT_ONCE)
            for row in rows:
                told += _tell(context, connection, row)
        if len(rows) < AT_ONCE:
            return told


def is_late(row: store.AnyRow, seen: str, now: datetime) -> bool:
    """Return whether the running promise is late, for a side that sees the referral in the state `seen`."""
    if seen != row.state:
        return is_overdue(State(seen), row.answer_by, now)
    clock = _running(row)
    return clock is not None and now > clock.due(1)


def _running(row: store.AnyRow) -> Clock | None:
    since = row.promise_since or row.changed_at
    return clock_of(State(row.state), since, row.requested_at, row.urgency, row.need)


def _tell(context: Context, connection: Connection, row: store.AnyRow) -> bool:
    """Tell of a late promise, once for the greatest reminder that has come; return whether it was told."""
    now, clock = context.clock.now(), _running(row)
    if clock is None:
        store.change_referral(connection, row.id, due_at=None)
        return False
    column = TOLD[clock.about]
    told, times = getattr(row, column), clock.late(now)
    if times <= told:
        store.change_referral(connection, row.id, due_at=clock.next_due(told))
        return False
    store.change_referral(connection, row.id, **{column: times, "due_at": clock.next_due(times)})
    context.outbox.add(connection, [events.overdue(context.clock, row, clock.about, times)], now)
    still = store.still_for(connection, row.grant_id)
    feed.tell(context, connection, {row.sender, row.recipient} - still, feed.OVERDUE, row.id, clock.about)
    return True
