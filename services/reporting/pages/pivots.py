"""Arranges published values in rows and columns as people read them; it selects values and never changes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.reporting.pages.published_table import HIDDEN, Table, Value

COUNT, SHARE = "count", "share"
Header = tuple[str, str]
"""A dimension and one of its codes."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of counts or of shares, for one code of one dimension."""

    kind: str
    head: Header


@dataclass(frozen=True, slots=True)
class Grid:
    """Values with the headers of their rows and columns."""

    rows: tuple[Header, ...]
    columns: tuple[Column, ...]
    cells: tuple[tuple[Value, ...], ...]

    @property
    def shares(self) -> list[int]:
        """Return the positions of the columns with shares."""
        return [place for place, column in enumerate(self.columns) if column.kind == SHARE]


def counts(table: Table, only: Mapping[str, str] | None = None) -> Grid:
    """Return the cells of a table, or those with some codes only: one dimension downwards, the last one across.

    If only one row would remain, a list of regions goes downwards instead.
    """
    only = only or {}
    lists = {name: [only[name]] if name in only else table.codes(name) for name in table.dimensions}
    *others, last = table.dimensions
    if not others:
        down, across, rest = last, None, {}
    else:
        down = next((name for name in others if len(lists[name]) > 1), others[0])
        across, rest = last, {name: lists[name][0] for name in others if name != down}
    if across == "region" and len(lists[down]) == 1:
        down, across = across, down
    heads = [(down, code) for code in lists[down]]
    columns = [Column(COUNT, (across, code)) for code in lists[across]] if across else [Column(COUNT, ("", COUNT))]
    rows = [[table.cells[_key(table, rest, row, column.head)] for column in columns] for row in heads]
    return _with_shares(table, rest, Grid(tuple(heads), tuple(columns), tuple(map(tuple, rows))))


def shares(table: Table, indicator: str) -> Grid:
    """Return one indicator's shares in a table: needs downwards, and across the other dimension of its cells, if any."""
    found = [ratio for ratio in table.ratios if ratio.indicator == indicator]
    names = list(found[0].cell)
    codes = {name: list(dict.fromkeys(ratio.cell[name] for ratio in found)) for name in names}
    values = {tuple(ratio.cell[name] for name in names): ratio.percent for ratio in found}
    if len(names) == 1:
        rows = tuple((names[0], code) for code in codes[names[0]])
        return Grid(rows, (Column(SHARE, ("indicator", indicator)),), tuple((values[(code,)],) for _, code in rows))
    first, second = names
    if len(codes[first]) == 1:
        column = Column(SHARE, (first, codes[first][0]))
        rows = tuple((second, code) for code in codes[second])
        return Grid(rows, (column,), tuple((values[column.head[1], code],) for _, code in rows))
    return Grid(
        tuple((first, code) for code in codes[first]),
        tuple(Column(SHARE, (second, code)) for code in codes[second]),
        tuple(tuple(values[one, other] for other in codes[second]) for one in codes[first]),
    )


def parts(table: Table) -> list[Mapping[str, str]]:
    """Return the parts in which a table with three dimensions is shown, one after the other; other tables are one part."""
    if len(table.dimensions) < 3:
        return [{}]
    middle = table.dimensions[1]
    return [{middle: code} for code in table.codes(middle)]


def through_time(found: Sequence[tuple[str, Grid]]) -> Grid:
    """Return one grid for several periods: a row for each period if there is one row, otherwise a column for each."""
    periods = [("period", period) for period, _ in found]
    newest = found[-1][1]
    if len(newest.rows) == 1:
        return Grid(tuple(periods), newest.columns, tuple(grid.cells[0] for _, grid in found))
    columns = tuple(Column(newest.columns[0].kind, period) for period in periods)
    by_row = [{row: cells[0] for row, cells in zip(grid.rows, grid.cells, strict=True)} for _, grid in found]
    return Grid(newest.rows, columns, tuple(tuple(cells.get(row, HIDDEN) for cells in by_row) for row in newest.rows))


def column(grid: Grid, place: int) -> Grid:
    """Return one column of a grid alone."""
    return Grid(grid.rows, (grid.columns[place],), tuple((row[place],) for row in grid.cells))


def _with_shares(table: Table, rest: Mapping[str, str], grid: Grid) -> Grid:
    for indicator in table.indicators():
        found = [table.share(indicator, {**rest, name: code}) for name, code in grid.rows]
        if None not in found:
            columns = (*grid.columns, Column(SHARE, ("indicator", indicator)))
            cells = [(*row, value) for row, value in zip(grid.cells, found, strict=True) if value is not None]
            grid = Grid(grid.rows, columns, tuple(cells))
    return grid


def _key(table: Table, rest: Mapping[str, str], *heads: Header) -> tuple[str, ...]:
    known = {**rest, **dict(heads)}
    return tuple(known[name] for name in table.dimensions)
