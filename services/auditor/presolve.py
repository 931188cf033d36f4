"""Makes a system small before it is attacked: derives bounds, drops idle rows, and splits it into independent parts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.auditor.published import Doubt
from services.auditor.system import Group, Numbers, Row, System


@dataclass(frozen=True, slots=True)
class Part:
    """A system that shares nothing with any other, its columns numbered from 0; `columns` gives their original numbers."""

    columns: tuple[int, ...]
    lower: Numbers
    upper: Numbers
    rows: tuple[Row, ...]
    groups: tuple[Group, ...]


def settle(system: System) -> System:
    """Return the system with every bound that follows row by row, without rows that say nothing beside the bounds."""
    lower, upper = system.lower.copy(), system.upper.copy()
    rows = tuple(_tighten(system.rows, lower, upper, system.moved))
    return replace(system, lower=lower, upper=upper, rows=rows, moved=frozenset())


def parts(system: System, wanted: Sequence[Group]) -> tuple[list[Part], list[Group]]:
    """Return the parts of a settled system in which the wanted groups must be attacked, and the groups seen to be large."""
    low, high = system.lower.tolist(), system.upper.tolist()
    disjoint: dict[int, list[Row]] = defaultdict(list)
    for row in system.rows:
        if row.low == 0 and len(row.columns) > 2:
            disjoint[row.columns[0]].append(row)
    large = [group for group in wanted if _surely(group, low, high, disjoint) >= group.floor]
    seen = set(map(id, large))
    left = [group for group in wanted if id(group) not in seen]
    return list(_split(system.lower, system.upper, system.rows, left)), large


def _tighten(rows: Sequence[Row], lower: Numbers, upper: Numbers, moved: frozenset[int] | None) -> list[Row]:
    """Draw every conclusion that one row allows by itself, until nothing follows; return the rows that still say something.

    If only some columns have `moved` since nothing followed, only rows that touch them are checked.
    """
    touching: dict[int, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        for column in row.columns:
            touching[column].append(at)
    first = range(len(rows)) if moved is None else (at for column in moved for at in touching[column])
    queue = dict.fromkeys(first)
    low, high = lower.tolist(), upper.tolist()
    while queue:
        at = next(iter(queue))
        del queue[at]
        for column in _conclude(rows[at], low, high):
            queue.update(dict.fromkeys(touching[column]))
    lower[:], upper[:] = low, high
    return [row for row in rows if not _idle(row, low, high)]


def _conclude(row: Row, low: list[int], high: list[int]) -> Iterator[int]:
    """Tighten the bounds of a row's columns; return the columns whose bounds changed."""
    least, most = _reach(row, low, high)
    for column, sign in zip(row.columns, row.signs, strict=True):
        was = low[column], high[column]
        own_least, own_most = (low[column], high[column]) if sign > 0 else (-high[column], -low[column])
        room_low, room_high = row.low - (most - own_most), row.high - (least - own_least)
        if sign < 0:
            room_low, room_high = -room_high, -room_low
        low[column], high[column] = max(was[0], room_low), min(was[1], room_high)
        if low[column] > high[column]:
            raise Doubt("What is published contradicts itself.")
        if (low[column], high[column]) != was:
            least, most = _reach(row, low, high)
            yield column


def _reach(row: Row, low: list[int], high: list[int]) -> tuple[int, int]:
    least = most = 0
    for column, sign in zip(row.columns, row.signs, strict=True):
        least += low[column] if sign > 0 else -high[column]
        most += high[column] if sign > 0 else -low[column]
    return least, most


def _idle(row: Row, low: list[int], high: list[int]) -> bool:
    least, most = _reach(row, low, high)
    return row.low <= least and most <= row.high


def _surely(group: Group, low: Sequence[int], high: Sequence[int], disjoint: Mapping[int, list[Row]]) -> int:
    """Return a lower bound on a group's size, from bounds alone: the rest, or other parts that share nobody with it."""
    found = low[group.outer] - sum(high[inner] for inner in group.inner)
    for row in disjoint.get(group.outer, ()):
        parts_ = set(row.columns[1:])
        if parts_.issuperset(group.inner):
            found = max(found, sum(low[column] for column in parts_.difference(group.inner)))
    return found


class _Union:
    """Union-find over connected columns. A column with one possible value connects nothing."""

    def __init__(self, lower: Numbers, upper: Numbers) -> None:
        self._parent = list(range(len(lower)))
        self._free = (lower < upper).tolist()

    def home(self, columns: Sequence[int]) -> int:
        """Return the one column that stands for all columns connected with these."""
        column = next((column for column in columns if self._free[column]), columns[0])
        while self._parent[column] != column:
            self._parent[column] = self._parent[self._parent[column]]
            column = self._parent[column]
        return column

    def join(self, columns: Sequence[int]) -> None:
        """Connect these columns."""
        home = self.home(columns)
        for column in columns:
            if self._free[column]:
                self._parent[self.home((column,))] = home


def _split(lower: Numbers, upper: Numbers, rows: Sequence[Row], groups: Sequence[Group]) -> Iterator[Part]:
    union = _Union(lower, upper)
    for columns in (*(row.columns for row in rows), *(group.columns for group in groups)):
        union.join(columns)
    homes: dict[int, tuple[list[Row], list[Group]]] = defaultdict(lambda: ([], []))
    for row in rows:
        homes[union.home(row.columns)][0].append(row)
    for group in groups:
        homes[union.home(group.columns)][1].append(group)
    for own_rows, own_groups in homes.values():
        # A part without a group is checked as well: it might contradict itself.
        yield _part(lower, upper, own_rows, own_groups)


def _part(lower: Numbers, upper: Numbers, rows: Sequence[Row], groups: Sequence[Group]) -> Part:
    used = {column for row in rows for column in row.columns}
    used |= {column for group in groups for column in group.columns}
    columns = tuple(sorted(used))
    new = {column: at for at, column in enumerate(columns)}
    chosen = np.array(columns, dtype=np.int64)
    return Part(
        columns=columns,
        lower=lower[chosen],
        upper=upper[chosen],
        rows=tuple(Row(tuple(new[c] for c in row.columns), row.signs, row.low, row.high) for row in rows),
        groups=tuple(
            replace(group, outer=new[group.outer], inner=tuple(new[inner] for inner in group.inner)) for group in groups
        ),
    )
