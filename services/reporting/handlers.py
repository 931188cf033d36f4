"""Handles reporting's events: facts about services stand until a newer one comes, facts about survivors are folded."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from sqlalchemy import Connection

from services.common.instants import read_instant
from services.common.messaging.cloudevents import Event
from services.common.messaging.consumer import Act
from services.reporting.context import Context
from services.reporting.contributor_keys import Contributors
from services.reporting.domain import Group, Place, Seen, Thread, best_places, threads
from services.reporting.store import capacity, counts
from services.reporting.store.counts import HALF, MASK, Cell, Sum

Progress = Callable[[int, int], None]
# How many values one statement asks about; SQLite takes 32,766.
CHUNK = 5_000


def keep_capacity(connection: Connection, event: Event) -> None:
    """Handle `capacity.declared.v1`."""
    named = {name: event.data[name] for name in ("program", "need", "region", "unit", "total", "available")}
    as_of = read_instant(event.data["as_of"])
    assert as_of is not None  # noqa: S101 - intake lets no other in
    capacity.keep_capacity(connection, {"agency": event.source, **named, "as_of": as_of})


def fold(keys: Contributors, events: Sequence[Event]) -> Act:
    """Handle many `referral.updated.v1` and `need.counted.v1` at once; order and repeats make no difference."""
    found = threads(events)
    rows, places = counts.rows_of_threads(found), counts.rows_of_places(_best(keys, found.items()))

    def keep(connection: Connection) -> None:
        if found:
            counts.lock_counts(connection)
            counts.keep(connection, rows, places)

    return keep


def withdraw(keys: Contributors, events: Sequence[Event]) -> Act:
    """Handle `statistics.withdrawn.v1`: remove these survivors from every count, and keep them out for good."""
    names = sorted({name for event in events for name in event.data["pseudonyms"]})

    def take_out(connection: Connection) -> None:
        counts.lock_counts(connection)
        for first in range(0, len(names), CHUNK):
            some = names[first : first + CHUNK]
            counts.add_to_cells(connection, _left(keys, counts.places_of(connection, some)))
            counts.forget(connection, some)

    return take_out


def rebuild(context: Context, progress: Progress, chunk: int = CHUNK) -> int:
    """Rebuild all counts from the journal, or resume an interrupted rebuild; return the number of threads read.

    It goes chunk by chunk, each in one transaction. Events may be folded in between, since places only ever merge.
    """
    with context.database.transaction() as connection:
        counts.lock_counts(connection)
        done = counts.rebuilt(connection)
        if done is None:
            done = 0
            counts.begin_rebuild(connection)
        total = counts.journal_size(connection)
    while True:
        progress(done, max(done, total))
        with context.database.transaction() as connection:
            counts.lock_counts(connection)
            found = counts.next_threads(connection, chunk)
            counts.place(connection, counts.rows_of_places(_best(context.contributors, found)))
        if not found:
            return done
        done += len(found)


def _best(keys: Contributors, found: Iterable[tuple[Thread, Seen]]) -> dict[Group, tuple[Place, int]]:
    """Return where each group would count as far as these threads tell, and its contributor key."""
    best = best_places(found, keys)
    return {group: (place, keys(group.statistics, group.quarter)) for group, place in best.items()}


def _left(keys: Contributors, places: Mapping[Group, Place]) -> dict[Cell, Sum]:
    """Return the change in each cell when groups leave their places."""
    sums: defaultdict[Cell, list[int]] = defaultdict(lambda: [0, 0, 0])
    for group, place in places.items():
        key = keys(group.statistics, group.quarter)
        of_cell = sums[Cell(group.quarter, group.family, place.region, place.stage, place.result)]
        of_cell[0] -= 1
        of_cell[1] -= key & MASK
        of_cell[2] -= key >> HALF
    return {base: Sum(*of_cell) for base, of_cell in sums.items()}
