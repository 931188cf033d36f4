"""Pushes notices to the agencies that asked for it, with growing pauses between tries, until they acknowledge."""

import threading
from collections import defaultdict
from datetime import timedelta
from typing import Any

from services.common.clock import monotonic
from services.common.database.advisory_locks import sole
from services.common.errors import invalid
from services.common.http.outgoing import Unreachable
from services.common.worker import Loop
from services.consent.context import Context
from services.consent.handlers.notices.poll import ERRORS, acknowledge
from services.consent.security_event_tokens import as_set
from services.consent.store import notices

PUSH_SECONDS, STANDBY_SECONDS = 0.5, 1.0
# An agency that has taken longer for its notices gets no more in this round.
SLOW_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)


def set_place(context: Context, agency: str, url: str) -> None:
    """Push an agency's notices to this URL from now on; it may still poll. Raises 400."""
    if fault := context.pusher.fault(url):
        raise invalid(fault)
    with context.database.transaction() as connection:
        notices.set_push_place(connection, agency, url)


def forget_place(context: Context, agency: str) -> None:
    """Stop pushing to an agency."""
    with context.database.transaction() as connection:
        notices.forget_push_place(connection, agency)


def push_due(context: Context, limit: int = 100) -> int:
    """Push waiting notices and return how many arrived; an unreachable or slow agency delays no other."""
    with context.database.reading() as connection:
        due = notices.to_push(connection, context.clock.now(), limit)
    arrived, done_with, taken = 0, set[str](), defaultdict[str, float](float)
    for row in due:
        if row.agency in done_with:
            continue
        error, away, began = None, False, monotonic()
        try:
            error = context.pusher.send(row.url, as_set(context.signer, row))
        except Unreachable:
            away = True
        taken[row.agency] += monotonic() - began
        if away or taken[row.agency] > SLOW_SECONDS:
            done_with.add(row.agency)
        if away or error is not None:
            _try_again(context, row, error, away=away)
        else:
            with context.database.transaction() as connection:
                acknowledge(connection, row.agency, [row.id], context.clock.now())
            arrived += 1
    return arrived


def _try_again(context: Context, row: Any, error: str | None, *, away: bool) -> None:
    after = context.clock.now() + min(FIRST_PAUSE * 2 ** min(row.push_tries, 16), LONGEST_PAUSE)
    with context.database.transaction() as connection:
        notices.push_again(connection, row.id, after)
        if away:
            # Its other notices would not arrive either, and each try would take seconds.
            notices.leave_alone(connection, row.agency, after)
        if error in ERRORS:
            notices.keep_error(connection, row.agency, row.id, error)


def loop(context: Context) -> Loop:
    """Return the loop that pushes; in a second process it stands by until the first is gone."""

    def run(stopping: threading.Event) -> None:
        with sole(context.database, "push:consent") as alone:
            while not stopping.is_set():
                if not alone():
                    stopping.wait(STANDBY_SECONDS)
                    return
                push_due(context)
                stopping.wait(PUSH_SECONDS)

    return run
