"""Queries of survivors' counts: the journal, the one cell in which each group counts, and the sums of each cell."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Select,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from services.common.database import advisory_locks
from services.common.database.bulk_merge import Step, always, do, empty, merge, put, stage
from services.common.database.inserts import Columns, Rows, insert_new
from services.common.database.list_parameters import listed, one_of
from services.reporting.domain import Group, Place, Seen, Thread
from services.reporting.models import cell, contribution, departure, journal, rebuilding, roster, withdrawn

LOCK = "fireweed:reporting:fold"
AT_ONCE = 10_000
# The sum of keys is kept in two halves of so many bits.
HALF = 32
MASK = (1 << HALF) - 1
_LEFT_QUARTERS = select(journal.c.quarter).where(one_of(journal.c.statistics, "pseudonyms")).distinct()
_PLACES = select(contribution).where(one_of(contribution.c.statistics, "pseudonyms"))
LEFT = (contribution.c.result, contribution.c.region, contribution.c.stage)

KEY = (Column("low", BigInteger), Column("high", BigInteger))
NEW_THREADS = stage("new_thread", journal)
NEW_PLACES = stage("new_place", contribution, *KEY)
NEW_SUMS = stage("new_sum", cell)
# Places to enter, each with the result, region and stage of the place that its group leaves, if any.
MOVES = stage("move", contribution, *KEY, *[Column(f"left_{code.name}", code.type) for code in LEFT])


class Cell(NamedTuple):
    """One base cell: codes, and the result as an index."""

    quarter: str
    family: str
    region: str
    stage: str
    result: int


class Sum(NamedTuple):
    """How many contribute to a cell, and the sum of their keys in two halves."""

    persons: int
    low: int
    high: int


def lock_counts(connection: Connection) -> None:
    """Lock the counts until the transaction ends: nobody else folds, withdraws or rebuilds meanwhile."""
    advisory_locks.lock_until_commit(connection, LOCK)


def rows_of_threads(found: Mapping[Thread, Seen]) -> Rows:
    """Return threads as rows, sorted: rows that lie near each other are found sooner."""
    return Rows.of(sorted(thread + seen for thread, seen in found.items()))


def rows_of_places(found: Mapping[Group, tuple[Place, int]]) -> Rows:
    """Return places of groups, each with its contributor key, as sorted rows."""
    return Rows.of(sorted((*group, *where, key & MASK, key >> HALF) for group, (where, key) in found.items()))


def keep(connection: Connection, threads: Rows, places: Rows) -> None:
    """Add threads to the journal, except those of survivors who withdrew; merge facts of threads that are known.

    Then let groups count in these places, unless they count in a better one.
    """
    empty(connection, NEW_THREADS, NEW_PLACES, MOVES)
    put(connection, NEW_THREADS, threads)
    put(connection, NEW_PLACES, places)
    do(connection, *_keep, *_place)


def place(connection: Connection, places: Rows) -> None:
    """Let groups that are in the journal count in these places, unless they withdrew or count in a better one."""
    empty(connection, NEW_PLACES, MOVES)
    put(connection, NEW_PLACES, places)
    do(connection, *_place)


def places_of(connection: Connection, pseudonyms: Sequence[str]) -> dict[Group, Place]:
    """Return where all groups of these survivors count now."""
    found = connection.execute(_PLACES, {"pseudonyms": listed(pseudonyms)})
    return {Group(*row[:3]): Place(*row[3:]) for row in found}


def add_to_cells(connection: Connection, sums: Mapping[Cell, Sum]) -> None:
    """Add to cells; negative numbers subtract."""
    empty(connection, NEW_SUMS)
    put(connection, NEW_SUMS, Rows.of([base + added for base, added in sums.items()]))
    do(connection, _sum_up)


def forget(connection: Connection, pseudonyms: Sequence[str]) -> None:
    """Remove withdrawn survivors from the journal and from all places, and keep them out from now on."""
    insert_new(connection, withdrawn, [{"statistics": name} for name in pseudonyms])
    left = connection.scalars(_LEFT_QUARTERS, {"pseudonyms": listed(pseudonyms)}).all()
    insert_new(connection, departure, [{"quarter": quarter, "times": 0} for quarter in left])
    again = update(departure).where(departure.c.quarter.in_(left)).values(times=departure.c.times + 1)
    connection.execute(again)
    for table in (journal, contribution):
        theirs = one_of(table.c.statistics, "pseudonyms")
        connection.execute(delete(table).where(theirs), {"pseudonyms": listed(pseudonyms)})


def departures(connection: Connection, quarters: Sequence[str]) -> dict[str, int]:
    """Return how often somebody was removed from each of these quarters."""
    query = select(departure).where(departure.c.quarter.in_(quarters))
    return {row.quarter: row.times for row in connection.execute(query)}


def sums(connection: Connection, quarter: str) -> dict[Cell, Sum]:
    """Return every cell of a quarter in which somebody counts."""
    query = select(cell).where(cell.c.quarter == quarter, cell.c.persons != 0)
    return {Cell(*row[:5]): Sum(*row[5:]) for row in connection.execute(query)}


def journal_size(connection: Connection, quarters: Sequence[str] = ()) -> int:
    """Return how many threads the journal holds, in some quarters or in all."""
    query = select(func.count()).select_from(journal)
    return connection.scalar(query.where(journal.c.quarter.in_(quarters)) if quarters else query) or 0


def anybody(connection: Connection, until: str) -> bool:
    """Return whether the journal holds anything of a quarter or of those before it."""
    return bool(connection.scalar(select(exists().where(journal.c.quarter <= until))))


def quarters(connection: Connection) -> list[str]:
    """Return the quarters in which somebody counts, in order."""
    query = select(cell.c.quarter).where(cell.c.persons != 0).distinct().order_by(cell.c.quarter)
    return list(connection.scalars(query))


def read_quarters(connection: Connection, quarters: Sequence[str]) -> Iterator[tuple[Thread, Seen]]:
    """Yield the journal of some quarters, all threads of one survivor together, holding only a few rows in memory.

    PostgreSQL does this with a cursor, which lives in a transaction only: give it a `snapshot`, not a `reading`.
    """
    query = _ordered().where(journal.c.quarter.in_(quarters))
    for row in connection.execute(query.execution_options(yield_per=AT_ONCE)):
        yield Thread(*row[:8]), Seen(*row[8:])


def agencies_of(connection: Connection, sector: str) -> frozenset[str]:
    """Return the agencies of one sector."""
    return frozenset(connection.scalars(select(roster.table.c.id).where(roster.table.c.sector == sector)))


def begin_rebuild(connection: Connection) -> None:
    """Begin a rebuild: empty the tables that are made from the journal."""
    for table in (contribution, cell, rebuilding):
        connection.execute(delete(table))
    connection.execute(rebuilding.insert(), {"id": 1, "after": "", "done": 0})


def rebuilt(connection: Connection) -> int | None:
    """Return how many threads a rebuild has read so far, or None if none is under way."""
    return connection.scalar(select(rebuilding.c.done))


def next_threads(connection: Connection, size: int) -> list[tuple[Thread, Seen]]:
    """Return the threads that a rebuild reads next, and record within this transaction that it has; empty at the end."""
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


def _ordered() -> Select[Any]:
    return select(journal).order_by(*journal.primary_key)


def _join_seen(old: Columns, new: Columns) -> dict[str, Any]:
    lesser = {name: case((new[name] < old[name], new[name]), else_=old[name]) for name in Seen._fields[:2]}
    return {**lesser, "at_work": case((new.at_work > old.at_work, new.at_work), else_=old.at_work)}


def _replace_place(_old: Columns, new: Columns) -> dict[str, Any]:
    return {name: new[name] for name in Place._fields}


def _add_sum(old: Columns, new: Columns) -> dict[str, Any]:
    return {name: old[name] + new[name] for name in Sum._fields}


def _without_withdrawn(new: Table) -> Step:
    return always(delete(new).where(new.c.statistics.in_(select(withdrawn.c.statistics))))


def _moves() -> Step:
    """Return who enters which place and leaves which; without those who withdrew or stand in an equal or better place."""
    there, new = (tuple_(*[table.c[name] for name in Place._fields]) for table in (contribution, NEW_PLACES))
    same = and_(*(contribution.c[name] == NEW_PLACES.c[name] for name in Group._fields))
    gone = exists().where(withdrawn.c.statistics == NEW_PLACES.c.statistics)
    found = select(NEW_PLACES, *LEFT).join_from(NEW_PLACES, contribution, same, isouter=True)
    found = found.where(or_(contribution.c.statistics.is_(None), there < new), ~gone)
    return always(insert(MOVES).from_select(list(MOVES.c), found))


def _entering_and_leaving() -> Select[Any]:
    """Return the change in each cell, added up for each before any is changed."""
    new, codes = MOVES.c, Cell._fields
    entering = select(*[new[name] for name in codes], literal(1).label("persons"), new.low, new.high)
    left = [new[f"left_{name}"] if f"left_{name}" in new else new[name] for name in codes]
    leaving = select(*left, literal(-1), -new.low, -new.high).where(new.left_result.is_not(None))
    both = union_all(entering, leaving).subquery()
    cells = [both.c[name] for name in codes]
    return select(*cells, *[func.sum(both.c[name]) for name in Sum._fields]).group_by(*cells)


# Statements that every batch runs are built once.
_keep = (_without_withdrawn(NEW_THREADS), merge(journal, select(NEW_THREADS), _join_seen))
_place = (
    _moves(),
    merge(cell, _entering_and_leaving(), _add_sum),
    merge(contribution, select(*[MOVES.c[column.name] for column in contribution.columns]), _replace_place),
)
_sum_up = merge(cell, select(NEW_SUMS), _add_sum)
