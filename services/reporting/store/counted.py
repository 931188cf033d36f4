"""What is counted of survivors: the journal, the one cell in which each group counts, and the sums of each cell."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, case, delete, func, select, tuple_

from services.common.database import Columns, among, insert_new, merge
from services.reporting.counting import Group, Place, Seen, Thread
from services.reporting.models import cell, contribution, journal, rebuilding, roster, withdrawn

LOCK = "fireweed:reporting:fold"
AT_ONCE = 10_000
# The sum of keys is kept in two halves of so many bits.
HALF = 32


class Cell(NamedTuple):
    """One base cell: codes, and the result as an index."""

    quarter: str
    family: str
    region: str
    stage: str
    result: int


class Sum(NamedTuple):
    """How many contribute to a cell, and their keys' sum in two halves."""

    persons: int
    low: int
    high: int


def alone(connection: Connection) -> None:
    """Until the transaction ends nobody else folds, withdraws or rebuilds. SQLite lets one write at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(LOCK, 0))))


def withdrawn_among(connection: Connection, pseudonyms: Sequence[str]) -> set[str]:
    """Which of these have withdrawn."""
    query = select(withdrawn.c.statistics).where(_are(connection, withdrawn, pseudonyms))
    return set(connection.scalars(query))


def keep_threads(connection: Connection, found: Mapping[Thread, Seen]) -> None:
    """Add to the journal; what is known of a thread joins what was."""
    merge(connection, journal, [thread + seen for thread, seen in found.items()], _join_seen)


def places(connection: Connection, groups: Sequence[Group]) -> dict[Group, Place]:
    """Where these groups count now."""
    query = select(contribution).where(among(connection, list(contribution.primary_key), groups))
    return {Group(*row[:3]): Place(*row[3:]) for row in connection.execute(query)}


def places_of(connection: Connection, pseudonyms: Sequence[str]) -> dict[Group, Place]:
    """Where all groups of these survivors count now."""
    query = select(contribution).where(_are(connection, contribution, pseudonyms))
    return {Group(*row[:3]): Place(*row[3:]) for row in connection.execute(query)}


def put(connection: Connection, found: Mapping[Group, Place]) -> None:
    """Let groups count in these places."""
    rows = [group + place for group, place in found.items()]
    merge(connection, contribution, rows, _replace_place)


def add_to_cells(connection: Connection, sums: Mapping[Cell, Sum]) -> None:
    """Add to cells, or with negative numbers take out again."""
    rows = [base + added for base, added in sums.items()]
    merge(connection, cell, rows, _add_sum)


def forget(connection: Connection, pseudonyms: Sequence[str]) -> None:
    """Take out of the journal and of all places whoever withdrew, and let nothing of them in any more."""
    insert_new(connection, withdrawn, [{"statistics": name} for name in pseudonyms])
    for table in (journal, contribution):
        connection.execute(delete(table).where(_are(connection, table, pseudonyms)))


def sums(connection: Connection, quarter: str) -> dict[Cell, Sum]:
    """Every cell of a quarter that somebody counts in."""
    query = select(cell).where(cell.c.quarter == quarter, cell.c.persons != 0)
    return {Cell(*row[:5]): Sum(*row[5:]) for row in connection.execute(query)}


def journal_size(connection: Connection, quarters: Sequence[str] = ()) -> int:
    """How many threads the journal holds, of some quarters or in all."""
    query = select(func.count()).select_from(journal)
    return connection.scalar(query.where(journal.c.quarter.in_(quarters)) if quarters else query) or 0


def read_quarters(connection: Connection, quarters: Sequence[str]) -> Iterator[tuple[Thread, Seen]]:
    """The journal of some quarters, all of one survivor together, without holding more than a few rows at once.

    PostgreSQL does this with a cursor, which lives in a transaction only: give it a `snapshot`, not a `reading`.
    """
    query = _ordered().where(journal.c.quarter.in_(quarters))
    for row in connection.execute(query.execution_options(yield_per=AT_ONCE)):
        yield Thread(*row[:8]), Seen(*row[8:])


def agencies_of(connection: Connection, sector: str) -> frozenset[str]:
    """The agencies that do one kind of work."""
    return frozenset(connection.scalars(select(roster.table.c.id).where(roster.table.c.sector == sector)))


def begin_rebuild(connection: Connection) -> None:
    """Empty what is made from the journal; a rebuild begins."""
    for table in (contribution, cell, rebuilding):
        connection.execute(delete(table))
    connection.execute(rebuilding.insert(), {"id": 1, "after": "", "done": 0})


def rebuilt(connection: Connection) -> int | None:
    """How many threads a rebuild has read so far; None: there is none under way."""
    return connection.scalar(select(rebuilding.c.done))


def next_threads(connection: Connection, size: int) -> list[tuple[Thread, Seen]]:
    """What a rebuild has to read next; that it has been read is remembered with this transaction. Empty: it has ended."""
    after = connection.scalar(select(rebuilding.c.after)) or ""
    query = _ordered().limit(size)
    if after:
        query = query.where(tuple_(*journal.primary_key) > tuple_(*json.loads(after)))
    found = [(Thread(*row[:8]), Seen(*row[8:])) for row in connection.execute(query)]
    if found:
        moved = {"after": json.dumps(found[-1][0]), "done": rebuilding.c.done + len(found)}
        connection.execute(rebuilding.update().values(**moved))
    else:
        connection.execute(delete(rebuilding))
    return found


def _are(connection: Connection, table: Table, pseudonyms: Sequence[str]) -> ColumnElement[bool]:
    return among(connection, [table.c.statistics], [(name,) for name in pseudonyms])


def _ordered() -> Select[Any]:
    return select(journal).order_by(*journal.primary_key)


def _join_seen(old: Columns, new: Columns) -> dict[str, Any]:
    lesser = {name: case((new[name] < old[name], new[name]), else_=old[name]) for name in Seen._fields[:2]}
    return {**lesser, "at_work": case((new.at_work > old.at_work, new.at_work), else_=old.at_work)}


def _replace_place(_old: Columns, new: Columns) -> dict[str, Any]:
    return {name: new[name] for name in Place._fields}


def _add_sum(old: Columns, new: Columns) -> dict[str, Any]:
    return {name: old[name] + new[name] for name in Sum._fields}
