"""Queries on the repeats of ledger entries: the runs that have begun, and how often each entry was repeated."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from services.common.database.list_parameters import listed, one_of
from services.consent.models import ledger_entry, ledger_repeat

WINDOW = timedelta(days=1)
"""Time after the first act of a run within which a repeat is counted on it."""


def firsts(connection: Connection, runs: Iterable[str], now: datetime) -> dict[str, int]:
    """Return the position of the first entry of each run that has begun within the window."""
    wanted = sorted(set(runs))
    if not wanted:
        return {}
    run = ledger_entry.c.run
    # That it is not NULL follows from the rest; it is said because the index holds no others.
    known = (one_of(run, "runs"), run.is_not(None), ledger_entry.c.at > now - WINDOW)
    query = select(run, func.max(ledger_entry.c.position)).where(*known).group_by(run)
    return {row[0]: row[1] for row in connection.execute(query, {"runs": listed(wanted)})}


def count(connection: Connection, repeats: Counter[int], now: datetime) -> dict[int, int]:
    """Count repeats on the entries at these positions; return the powers of ten that were reached, by position."""
    if not repeats:
        return {}
    statement = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(ledger_repeat)
    more = ledger_repeat.c.times + statement.excluded.times - 1
    counting = statement.on_conflict_do_update(
        index_elements=["position"], set_={"times": more, "last_at": statement.excluded.last_at}
    )
    # In one order for all callers, so that two cannot wait for each other.
    rows = [{"position": position, "times": 1 + number, "last_at": now} for position, number in sorted(repeats.items())]
    connection.execute(counting, rows)
    counted = select(ledger_repeat.c.position, ledger_repeat.c.times).where(one_of(ledger_repeat.c.position, "places"))
    found = {row[0]: row[1] for row in connection.execute(counted, {"places": listed(repeats)})}
    reached = {position: _power(times) for position, times in found.items()}
    return {place: power for place, power in reached.items() if power > found[place] - repeats[place]}


def forget(connection: Connection, subject: UUID) -> None:
    """Remove the counts on a survivor's entries."""
    hers = select(ledger_entry.c.position).where(ledger_entry.c.subject_id == subject)
    connection.execute(delete(ledger_repeat).where(ledger_repeat.c.position.in_(hers)))


def _power(number: int) -> int:
    """Return the greatest power of ten that is not above a number."""
    return int(10 ** (len(str(number)) - 1))
