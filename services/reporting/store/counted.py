"""What is counted of survivors: the journal, the one cell in which each group counts, and the sums of each cell."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Executable,
    Select,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    select,
    tuple_,
    union_all,
)

from services.common import staging
from services.common.database import Columns, insert_new, one_of
from services.common.staging import anew, merge, put, stage
from services.reporting.counting import Group, Place, Seen, Thread
from services.reporting.models import cell, contribution, journal, rebuilding, roster, withdrawn

LOCK = "fireweed:reporting:fold"
AT_ONCE = 10_000
# The sum of keys is kept in two halves of so many bits.
HALF = 32
MASK = (1 << HALF) - 1

NEW_THREADS = stage(journal)
NEW_PLACES = stage(contribution, Column("low", BigInteger), Column("high", BigInteger))
NEW_SUMS = stage(cell)


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
    """Until the transaction ends nobody else folds, withdraws or rebuilds."""
    staging.alone(connection, LOCK)


def keep_threads(connection: Connection, found: Mapping[Thread, Seen]) -> None:
    """Add to the journal, but nothing of those who withdrew; what is known of a thread joins what was."""
    put(connection, NEW_THREADS, [thread + seen for thread, seen in found.items()])
    connection.execute(_without_withdrawn(NEW_THREADS))
    merge(connection, journal, _threads, _join_seen)


def place(connection: Connection, found: Mapping[Group, tuple[Place, int]]) -> None:
    """Let groups count in these places, unless they withdrew or count in a better one; each comes with its contributor key.

    What leaves a cell and what enters one is added up for each cell first.
    """
    rows = [(*group, *where, key & MASK, key >> HALF) for group, (where, key) in found.items()]
    put(connection, NEW_PLACES, rows)
    connection.execute(_without_withdrawn(NEW_PLACES))
    connection.execute(_no_better)
    merge(connection, cell, _changes, _add_sum)
    merge(connection, contribution, _places, _replace_place)


def places_of(connection: Connection, pseudonyms: Sequence[str]) -> dict[Group, Place]:
    """Where all groups of these survivors count now."""
    query = select(contribution).where(_are(connection, contribution, pseudonyms))
    return {Group(*row[:3]): Place(*row[3:]) for row in connection.execute(query)}


def add_to_cells(connection: Connection, sums: Mapping[Cell, Sum]) -> None:
    """Add to cells, or with negative numbers take out again."""
    put(connection, NEW_SUMS, [base + added for base, added in sums.items()])
    merge(connection, cell, _sums, _add_sum)


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
    return one_of(connection, table.c.statistics, pseudonyms)


def _ordered() -> Select[Any]:
    return select(journal).order_by(*journal.primary_key)


def _join_seen(old: Columns, new: Columns) -> dict[str, Any]:
    lesser = {name: case((new[name] < old[name], new[name]), else_=old[name]) for name in Seen._fields[:2]}
    return {**lesser, "at_work": case((new.at_work > old.at_work, new.at_work), else_=old.at_work)}


def _replace_place(_old: Columns, new: Columns) -> dict[str, Any]:
    return {name: new[name] for name in Place._fields}


def _add_sum(old: Columns, new: Columns) -> dict[str, Any]:
    return {name: old[name] + new[name] for name in Sum._fields}


@cache
def _without_withdrawn(new: Table) -> Executable:
    return delete(new).where(anew(), new.c.statistics.in_(select(withdrawn.c.statistics)))


def _same_group() -> ColumnElement[bool]:
    return and_(*(contribution.c[name] == NEW_PLACES.c[name] for name in Group._fields))


def _only_better() -> Executable:
    """Take out of the new places those of groups that count in such a place or a better one."""
    there, new = (tuple_(*[table.c[name] for name in Place._fields]) for table in (contribution, NEW_PLACES))
    return delete(NEW_PLACES).where(anew(), exists().where(_same_group(), there >= new))


def _entering_and_leaving() -> Select[Any]:
    """What changes in each cell when the new places are entered and those that the same groups have are left."""
    new, codes = NEW_PLACES.c, Cell._fields
    entering = select(*[new[name] for name in codes], literal(1).label("persons"), new.low, new.high)
    left = [*[contribution.c[name] for name in codes], literal(-1), -new.low, -new.high]
    both = union_all(entering, select(*left).join_from(NEW_PLACES, contribution, _same_group())).subquery()
    cells = [both.c[name] for name in codes]
    return select(*cells, *[func.sum(both.c[name]) for name in Sum._fields]).group_by(*cells)


# Statements that every batch runs are put together once.
_threads, _sums = select(NEW_THREADS), select(NEW_SUMS)
_places = select(*[NEW_PLACES.c[column.name] for column in contribution.columns])
_no_better, _changes = _only_better(), _entering_and_leaving()
