"""The belief of an attacker who weighs all tables that fit the shown ones: drawn at random, one family at a time."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

FEW = 4
MACROS = ("west", "ontario", "quebec", "atlantic", "other")
RESULTS = ("in_time", "late", "not_started")
LEAVES = tuple(product(MACROS, RESULTS))
# His prior is weak: six people more in a cell are half as likely to him.
RARER = 0.5 ** (1 / 6)
Key = tuple[str, ...]
Cells = Mapping[tuple[str, Key], int | None]


@dataclass(frozen=True, slots=True)
class Belief:
    """How likely he holds a hidden cell to be empty, or to have one to four people."""

    cell: tuple[str, Key]
    nobody: float
    few: float


def beliefs(cells: Cells, truth: Mapping[tuple[str, Key], int], step: int, draws: int) -> list[Belief]:
    """Return his beliefs about a quarter's hidden cells of one family, whose numbers are rounded to multiples of `step`."""
    walk = _Walk(cells, _leaves(truth), step)
    counts: dict[tuple[str, Key], Counter[str]] = {cell: Counter() for cell, value in cells.items() if value is None}
    for at in range(2 * draws):
        walk.move()
        # The random walk begins at the truth, and must have forgotten it.
        for cell, count in counts.items() if at >= draws else ():
            size = walk.sums[cell]
            count["nobody" if size == 0 else "few" if size <= FEW else "many"] += 1
    return [Belief(cell, count["nobody"] / draws, count["few"] / draws) for cell, count in counts.items()]


class _Walk:
    """A random walk from one table that fits to another, in proportion to their probability."""

    def __init__(self, cells: Cells, leaves: Sequence[int], step: int) -> None:
        self._cells, self._leaves, self._step = cells, list(leaves), step
        self._dice = random.Random(1)  # noqa: S311
        self._holding = [[cell for cell in cells if _holds(cell, leaf)] for leaf in LEAVES]
        self.sums = {
            cell: sum(n for n, leaf in zip(leaves, LEAVES, strict=True) if _holds(cell, leaf)) for cell in cells
        }

    def move(self) -> None:
        """Move one person in, out, or to another cell."""
        one, other = self._dice.sample(range(len(LEAVES)), 2)
        change = self._dice.choice(({one: 1}, {one: -1}, {one: 1, other: -1}))
        if any(self._leaves[leaf] + by < 0 for leaf, by in change.items()):
            return
        moved = Counter[tuple[str, Key]]()
        for leaf, by in change.items():
            moved.update(dict.fromkeys(self._holding[leaf], by))
        odds = RARER ** sum(change.values())
        for cell, by in moved.items():
            odds *= self._fits(cell, self.sums[cell] + by) / self._fits(cell, self.sums[cell])
        if self._dice.random() < odds:
            for leaf, by in change.items():
                self._leaves[leaf] += by
            for cell, by in moved.items():
                self.sums[cell] += by

    def _fits(self, cell: tuple[str, Key], size: int) -> float:
        """Return how likely a cell of this size would show its number."""
        shown = self._cells[cell]
        return 1.0 if shown is None else max(0.0, 1 - abs(shown - size) / self._step)


def _holds(cell: tuple[str, Key], leaf: tuple[str, str]) -> bool:
    codes = set(cell[1][1:])
    macro, result = leaf
    wider = {macro, result, "not_in_time"} if result != "in_time" else {macro, result}
    return codes <= wider


def _leaves(truth: Mapping[tuple[str, Key], int]) -> list[int]:
    """Return some finest table that equals the truth wherever the truth is counted."""
    family = next(iter(truth))[1][0]
    total = {result: truth["need-result", (family, result)] for result in RESULTS}
    left = {"in_time": total["in_time"], "not_in_time": total["late"] + total["not_started"]}
    late, found = total["late"], []
    for macro in MACROS:
        own = {result: truth.get(("need-macro-result", (family, macro, result)), left[result]) for result in left}
        left = {result: left[result] - own[result] for result in left}
        here = min(late, own["not_in_time"])
        late -= here
        found += [own["in_time"], here, own["not_in_time"] - here]
    return found
