"""The topics of pages: recommendations, regions, families of needs and tables; and what a publication shows of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import schemas
from services.reporting.pages import charts, pivots
from services.reporting.pages.catalogue import Holdings, Releases, history, latest
from services.reporting.pages.charts import Chart
from services.reporting.pages.data_source import Release
from services.reporting.pages.labels import Labels
from services.reporting.pages.pivots import Column, Grid
from services.reporting.pages.published_table import HIDDEN, Table

RECOMMENDATION, REGION, FAMILY, TABLE = "recommendation", "region", "family", "table"
PLAN = 1
"""The plan that names pages before any publication names its own plan."""


@dataclass(frozen=True, slots=True)
class Section:
    """A grid beside its chart. `part` is the part of the table that it shows; `highest` the rows that stand out."""

    table: str
    part: tuple[str, str] | None
    grid: Grid
    chart: Chart
    charted: Column
    highest: tuple[tuple[str, str], ...]
    trend: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """The sections of one indicator, or of none in particular."""

    indicator: Mapping[str, Any] | None
    sections: tuple[Section, ...]


def kind(subject: str, plan: int = PLAN) -> str | None:
    """Return what sort of topic a name is, or None if no page is about it."""
    return _kinds(plan).get(subject)


def subjects(sort: str, plan: int) -> list[str]:
    """Return all topics of a sort, in order."""
    return [name for name, found in _kinds(plan).items() if found == sort]


def tables(release: Release, subject: str) -> list[Mapping[str, Any]]:
    """Return the tables of a publication that speak of a topic, as its plan describes them."""
    sort = kind(subject, release.plan)
    held = [table for table in schemas.plan(release.plan)["tables"] if table["id"] in release.tables]
    if sort == RECOMMENDATION:
        ratios = schemas.plan(release.plan)["ratios"]
        named = {name for ratio in ratios if ratio["indicator"].startswith(f"{subject}.") for name in ratio["tables"]}
        return [table for table in held if table["id"] in named]
    if sort == REGION:
        return [table for table in held if subject in table["cells"].get("region", ["canada"])]
    if sort == FAMILY:
        return [table for table in held if subject in table["cells"]["family"]]
    return [table for table in held if sort == TABLE and table["id"] == subject]


def newest(releases: Releases, subject: str) -> Release | None:
    """Return the newest publication that has something to show of a topic."""
    return latest([release for release in releases if tables(release, subject)])


def catalogue(recommendation: str) -> list[Mapping[str, Any]]:
    """Return the indicators of a recommendation."""
    return [found for found in schemas.indicators() if found["id"].partition(".")[0] == recommendation]


def blocks(holdings: Holdings, releases: Releases, release: Release, subject: str, labels: Labels) -> list[Block]:
    """Return everything that a publication shows of a topic."""
    about = _About(holdings, releases, release, labels)
    sort = kind(subject, release.plan)
    if sort == RECOMMENDATION:
        return [Block(found, tuple(about.indicator(found["id"], subject))) for found in catalogue(subject)]
    only = {sort: subject} if sort in {REGION, FAMILY} else {}
    found = [section for table in tables(release, subject) for section in about.table(str(table["id"]), only)]
    return [Block(None, tuple(found))]


@dataclass(frozen=True, slots=True)
class _About:
    holdings: Holdings
    releases: Releases
    release: Release
    labels: Labels

    def indicator(self, name: str, subject: str) -> Iterator[Section]:
        """Yield the shares of an indicator, table by table, and those of the whole country through time."""
        for table in tables(self.release, subject):
            found = self.holdings.table(self.release, str(table["id"]))
            if name in found.indicators():
                yield self._section(found.id, pivots.shares(found, name))
                if _national(found):
                    yield from self._trend(found.id, lambda held: pivots.shares(held, name))

    def table(self, name: str, only: Mapping[str, str]) -> Iterator[Section]:
        """Yield the sections of a table, or of its part with one code only."""
        table = self.holdings.table(self.release, name)
        only = {dimension: code for dimension, code in only.items() if dimension in table.dimensions}
        for part in [{}] if only else pivots.parts(table):
            yield self._section(name, pivots.counts(table, {**part, **only}), next(iter(part.items()), None))
        if _national(table):
            yield from self._trend(name, lambda held: _main(pivots.counts(held, only)))

    def _trend(self, name: str, grid_of: Any) -> Iterator[Section]:
        found = [
            (each.period, grid_of(self.holdings.table(each, name)))
            for each in history(self.releases, self.release)
            if name in each.tables
        ]
        if len(found) > 1:
            yield self._section(name, pivots.through_time(found), trend=True)

    def _section(self, name: str, grid: Grid, part: tuple[str, str] | None = None, *, trend: bool = False) -> Section:
        main = _main(grid)
        chart = charts.draw(main, self.labels)
        return Section(name, part, grid, chart, main.columns[-1], _highest(main), trend)


def _main(grid: Grid) -> Grid:
    """Return the part of a grid that is drawn: its first share if it has counts and shares, otherwise all of it."""
    mixed = len({column.kind for column in grid.columns}) > 1
    return pivots.column(grid, grid.shares[0]) if mixed else grid


def _national(table: Table) -> bool:
    return not {"region", "stage"} & set(table.dimensions)


def _highest(grid: Grid) -> tuple[tuple[str, str], ...]:
    """Return the rows with the highest value shown, if one column is compared and some values differ."""
    if len(grid.columns) > 1 or grid.rows[0][0] == "period":
        return ()
    shown = {row: charts.size(value) for row, (value,) in zip(grid.rows, grid.cells, strict=True) if value != HIDDEN}
    sizes = {size for size in shown.values() if size is not None}
    if len(sizes) < 2:
        return ()
    found = tuple(row for row, size in shown.items() if size == max(sizes))
    return found if len(found) <= 3 else ()


@cache
def _kinds(plan: int) -> Mapping[str, str]:
    across = "X"
    dimensions = schemas.plan(plan)["dimensions"]
    return {
        **{name: RECOMMENDATION for name in schemas.recommendations() if name != across},
        **dict.fromkeys(dimensions["region"]["within"], REGION),
        **{code: FAMILY for code in dimensions["family"]["within"] if code != "any"},
        **{table["id"]: TABLE for table in schemas.plan(plan)["tables"]},
    }
