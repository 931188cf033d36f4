"""Sums over many cells at once, in whole numbers: whether a point belongs to a system, and how large it makes each group."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.auditor.system import Group, Numbers, Row


class Forms:
    """Groups as linear forms."""

    def __init__(self, groups: Sequence[Group]) -> None:
        signs = [sign for group in groups for sign in (1, *(-1 for _ in group.inner))]
        self._sums = _Sums([group.columns for group in groups], signs)

    def at(self, point: Numbers) -> Numbers:
        """Return how many people each group has at a point."""
        return self._sums.at(point)

    def together(self, weights: NDArray[np.generic], width: int) -> NDArray[np.float64]:
        """Return the weighted sum of the groups, as one form over `width` columns."""
        each = self._sums.signs * np.repeat(weights.astype(float), self._sums.lengths)
        return np.bincount(self._sums.columns, weights=each, minlength=width).astype(float)


class Sheet:
    """The bounds and rows of a system, to check points against."""

    def __init__(self, lower: Numbers, upper: Numbers, rows: Sequence[Row]) -> None:
        self._lower, self._upper = lower, upper
        self._sums = _Sums([row.columns for row in rows], [sign for row in rows for sign in row.signs])
        self._low = np.array([row.low for row in rows], dtype=np.int64)
        self._high = np.array([row.high for row in rows], dtype=np.int64)

    def holds(self, point: Numbers) -> bool:
        """Return whether a whole point belongs to the system."""
        if (point < self._lower).any() or (point > self._upper).any():
            return False
        sums = self._sums.at(point)
        return not ((sums < self._low).any() or (sums > self._high).any())

    def whole(self, point: NDArray[np.float64]) -> Numbers | None:
        """Return the nearest whole point if it belongs to the system, else None."""
        near: Numbers = np.rint(point).astype(np.int64)
        return near if self.holds(near) else None


class _Sums:
    """Signed sums over lists of columns."""

    def __init__(self, lists: Sequence[Sequence[int]], signs: Sequence[int]) -> None:
        self.columns = np.array([column for columns in lists for column in columns], dtype=np.int64)
        self.signs = np.array(signs, dtype=np.int64)
        self.lengths = np.array([len(columns) for columns in lists], dtype=np.int64)
        self._starts = np.cumsum([0, *self.lengths])[:-1].astype(np.int64)

    def at(self, point: Numbers) -> Numbers:
        if not len(self._starts):
            return np.zeros(0, dtype=np.int64)
        sums: Numbers = np.add.reduceat(point[self.columns] * self.signs, self._starts)
        return sums
