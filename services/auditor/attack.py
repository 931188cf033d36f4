"""Attacks one system: for each group, looks for people it could not be without, and for how many it could not exceed.

A group is left alone only on proof: a whole point of the system, checked by plain arithmetic and not by the solver that
found it, at which the group is empty, and another at which it is large.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.auditor.engines import Costs, Engine
from services.auditor.presolve import Part, parts
from services.auditor.system import Group, Numbers, System

Maker = Callable[..., Engine]
NEAR = 1e-6


@dataclass(frozen=True, slots=True)
class Finding:
    """What the attacker can say of a group: that it might be `low` or `high`; `safe` if that tells nothing of few people."""

    group: Group
    low: int
    high: int
    safe: bool


def attack(system: System, make: Maker, seconds: float, progress: Callable[[int, int], None]) -> list[Finding]:
    """Everything that can be found out about the groups of a system."""
    pieces, large = parts(system)
    found = [Finding(group, group.floor, group.floor, safe=True) for group in large]
    for at, piece in enumerate(pieces):
        progress(at, len(pieces))
        found += _Attack(piece, make, seconds).findings()
    progress(len(pieces), len(pieces))
    return found


class _Attack:
    """The attack on one part."""

    def __init__(self, part: Part, make: Maker, seconds: float) -> None:
        self.part = part
        self.engine = make(part.lower, part.upper, part.rows, seconds)
        self.check = _Check(part)
        self.forms = _Forms(part.groups, len(part.columns))
        self.aim_low = np.array([group.low for group in part.groups])
        self.aim_high = np.array([group.high for group in part.groups])
        self.low = np.full(len(part.groups), np.iinfo(np.int64).max)
        self.high = np.full(len(part.groups), np.iinfo(np.int64).min)
        # How far down a group could be brought at all, where it could not be brought low enough.
        self.bottom = np.full(len(part.groups), -1)

    def findings(self) -> list[Finding]:
        self._sweep(lambda: self.low > self.aim_low, 1.0)
        for at in np.flatnonzero(self.low > self.aim_low):
            self._single(int(at), 1.0)
        large = self.bottom >= [group.floor for group in self.part.groups]
        self._sweep(lambda: (self.high < self.aim_high) & ~large, -1.0)
        for at in np.flatnonzero((self.high < self.aim_high) & ~large):
            self._single(int(at), -1.0)
        safe = ((self.low <= self.aim_low) & (self.high >= self.aim_high)) | large
        return [
            Finding(group, int(low), int(high), bool(well))
            for group, low, high, well in zip(self.part.groups, self.low, self.high, safe, strict=True)
        ]

    def _sweep(self, left: Callable[[], NDArray[np.bool_]], sign: float) -> None:
        """Push all that is left in one direction at once, as long as that settles a good many."""
        while (todo := left()).any():
            self._note(sign * self.forms.together(todo))
            settled = int(todo.sum() - left().sum())
            if settled < max(2, 0.1 * todo.sum()):
                return

    def _single(self, at: int, sign: float) -> None:
        """Push one group as far as it goes."""
        missing = self.low[at] > self.aim_low[at] if sign > 0 else self.high[at] < self.aim_high[at]
        if not missing:
            return
        costs = sign * self.forms.together(np.arange(len(self.low)) == at)
        reached = self._note(costs)
        done = self.low[at] <= self.aim_low[at] if sign > 0 else self.high[at] >= self.aim_high[at]
        if not done and sign > 0:
            self.bottom[at] = np.ceil(float(costs @ reached) - NEAR)
        aim = self.aim_low[at] if sign > 0 else -self.aim_high[at]
        if not done and float(costs @ reached) <= aim + NEAR:
            # Only a point with fractions of people goes so far, as yet.
            self._keep(self.check.whole(self.engine.least_whole(costs)))

    def _note(self, costs: Costs) -> Costs:
        point = self.engine.least(costs)
        self._keep(self.check.whole(point))
        return point

    def _keep(self, point: Numbers | None) -> None:
        if point is not None:
            values = self.forms.at(point)
            np.minimum(self.low, values, out=self.low)
            np.maximum(self.high, values, out=self.high)


class _Check:
    """Whether a point belongs to a part, in whole numbers."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.columns = np.array([column for row in part.rows for column in row.columns], dtype=np.int64)
        self.signs = np.array([sign for row in part.rows for sign in row.signs], dtype=np.int64)
        self.starts = np.cumsum([0, *(len(row.columns) for row in part.rows)])[:-1]
        self.low = np.array([row.low for row in part.rows], dtype=np.int64)
        self.high = np.array([row.high for row in part.rows], dtype=np.int64)

    def whole(self, point: Costs) -> Numbers | None:
        """The point as whole numbers if it is one of the system, else None."""
        near = np.rint(point).astype(np.int64)
        if (near < self.part.lower).any() or (near > self.part.upper).any():
            return None
        if len(self.starts):
            sums = np.add.reduceat(near[self.columns] * self.signs, self.starts)
            if (sums < self.low).any() or (sums > self.high).any():
                return None
        return near


class _Forms:
    """The groups of a part as linear forms."""

    def __init__(self, groups: Sequence[Group], columns: int) -> None:
        self.columns = np.array([column for group in groups for column in group.columns], dtype=np.int64)
        self.signs = np.array([sign for group in groups for sign in (1, *(-1 for _ in group.inner))], dtype=np.int64)
        self.lengths = np.array([len(group.columns) for group in groups])
        self.starts = np.cumsum([0, *self.lengths])[:-1]
        self.width = columns

    def at(self, point: Numbers) -> Numbers:
        """How many people each group has at a point."""
        values: Numbers = np.add.reduceat(point[self.columns] * self.signs, self.starts)
        return values

    def together(self, chosen: NDArray[np.bool_]) -> Costs:
        """The sum of the chosen groups, as one form."""
        weights = self.signs * np.repeat(chosen, self.lengths)
        return np.bincount(self.columns, weights=weights, minlength=self.width).astype(float)
