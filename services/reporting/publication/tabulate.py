"""Builds the true tables of a period by reading the journal once, survivor by survivor; no survivor is kept in memory."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from typing import Any

from sqlalchemy import Connection

from services.common.fiscal_periods import quarters_of
from services.reporting.context import Context
from services.reporting.contributor_keys import Contributors
from services.reporting.cube import Rows, Shape, Survivor, shapes, survivor
from services.reporting.domain import best_places
from services.reporting.publication.true_counts import Count, TrueTable
from services.reporting.store import counts
from services.reporting.store.counts import HALF, Cell

Progress = Callable[[int, int], None]
MODULUS = 1 << 64


class CountsDiffer(Exception):
    """The folded counts differ from the journal; nothing may be built before `fireweed publication rebuild`."""


@dataclass(slots=True)
class GrowingCell:
    """One cell while it is being counted."""

    persons: int = 0
    contributors: int = 0
    by_agency: Counter[str] = field(default_factory=Counter)
    by_both: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, contributor: int, agencies: Iterable[str]) -> None:
        """Count one more contributor."""
        self.persons += 1
        self.contributors = (self.contributors + contributor) % MODULUS
        known = sorted(agencies)
        self.by_agency.update(known)
        self.by_both.update(combinations(known, 2))

    def count(self) -> Count:
        """Return the finished cell."""
        largest = max(self.by_agency.values(), default=0)
        known = dict(self.by_agency), dict(self.by_both)
        return Count(self.persons, len(self.by_agency), self.persons - largest, self.contributors, *known)


def true_tables(context: Context, plan: Mapping[str, Any], period: str, progress: Progress) -> list[TrueTable]:
    """Return every table that the plan has for a period (`2026-Q1`, `2026`); raise `CountsDiffer` if the fold is wrong."""
    tables = [(shape, {key: GrowingCell() for key in shape.cells}) for shape in shapes(plan, period)]
    books: defaultdict[Cell, GrowingCell] = defaultdict(GrowingCell)
    with context.database.snapshot() as connection:
        police = counts.agencies_of(connection, "police")
        total = counts.journal_size(connection, quarters_of(period))
        done = 0
        for statistics, rows in _survivors(connection, period):
            key = context.contributors(statistics, period)
            _enter(tables, survivor(rows, period, key, police), key)
            _recount(books, rows, context.contributors)
            done += len(rows)
            progress(done, total)
        _compare(connection, books, period)
    return [TrueTable(shape.id, period, _counts(cells)) for shape, cells in tables]


def _survivors(connection: Connection, period: str) -> Iterable[tuple[str, Rows]]:
    rows = counts.read_quarters(connection, quarters_of(period))
    return ((statistics, list(own)) for statistics, own in groupby(rows, key=lambda row: row[0].statistics))


def _enter(tables: Sequence[tuple[Shape, Mapping[tuple[str, ...], GrowingCell]]], who: Survivor, key: int) -> None:
    for shape, cells in tables:
        for cell, agencies in shape.of(who).items():
            cells[cell].add(key, agencies)


def _counts(cells: Mapping[tuple[str, ...], GrowingCell]) -> dict[tuple[str, ...], Count]:
    return {key: tally.count() for key, tally in cells.items()}


def _recount(books: defaultdict[Cell, GrowingCell], rows: Rows, keys: Contributors) -> None:
    """Add a survivor to the counts that the fold should have made."""
    for group, place in best_places(rows, keys).items():
        cell = Cell(group.quarter, group.family, place.region, place.stage, place.result)
        books[cell].add(keys(group.statistics, group.quarter), ())


def _compare(connection: Connection, books: Mapping[Cell, GrowingCell], period: str) -> None:
    for quarter in quarters_of(period):
        folded = counts.sums(connection, quarter)
        read = {cell: tally for cell, tally in books.items() if cell.quarter == quarter}
        told = {cell: (sum_.persons, ((sum_.high << HALF) + sum_.low) % MODULUS) for cell, sum_ in folded.items()}
        if told != {cell: (tally.persons, tally.contributors) for cell, tally in read.items()}:
            raise CountsDiffer(f"{quarter}: run `fireweed publication rebuild`")
