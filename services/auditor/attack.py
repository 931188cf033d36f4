"""Attacks one system: for each group, finds lower and upper bounds on how many people it holds.

A group is safe only on proof: a whole point of the system at which the group is empty, and another at which it is
large. Each point is checked by plain arithmetic and not by the solver that found it.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.auditor.engines import Costs, Engine
from services.auditor.forms import Forms, Sheet
from services.auditor.presolve import Part, parts, settle
from services.auditor.published import MANY, Doubt
from services.auditor.system import Group, Numbers, System

Maker = Callable[..., Engine]
Choice = NDArray[np.bool_]
NEAR = 1e-6
# The weight of all other groups while one group is pushed.
ASIDE = 0.1
# How often, and how hard, a point with fractions of people is pushed towards a whole one.
NUDGES, NUDGE = 8, 1e-3


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one group: it might be `low` or `high`; `safe` if that discloses nothing of few people.

    It is never fewer than `least` nor more than `most`, as far as the solver was asked.
    """

    group: Group
    low: int
    high: int
    safe: bool
    least: int = -MANY
    most: int = MANY

    @property
    def reach(self) -> tuple[int, int]:
        """Return the least and the greatest size that the group can have, as far as known."""
        return self.low if self.least == -MANY else self.least, self.high if self.most == MANY else self.most


@dataclass(slots=True)
class Attack:
    """One solver's attack on one system. Its `points` prove which groups are safe, and may serve for a similar system."""

    system: System
    make: Maker
    seconds: float
    points: list[Numbers] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def run(self, known: Iterable[Numbers], progress: Callable[[int, int], None]) -> list[Finding]:
        """Return a finding for every group, starting with points known from elsewhere that also hold in this system."""
        self.findings = self._run(known, progress)
        return self.findings

    def _run(self, known: Iterable[Numbers], progress: Callable[[int, int], None]) -> list[Finding]:
        sheet, goals = Sheet(self.system.lower, self.system.upper, self.system.rows), _Goals(self.system.groups)
        goals.large |= np.array([group.columns in self.system.claimed for group in self.system.groups], dtype=bool)
        base: Numbers | None = None
        for point in known:
            if sheet.holds(point):
                base = point
                if goals.keep(point):
                    self.points.append(point)
        at = {group.name: number for number, group in enumerate(self.system.groups)}
        left = np.flatnonzero(goals.left(1.0) | goals.left(-1.0))
        if base is not None and not len(left):
            return goals.findings()
        settled = settle(self.system)
        pieces, large = parts(settled, [self.system.groups[number] for number in left])
        goals.large[np.array([at[group.name] for group in large], dtype=np.int64)] = True
        hunts = [_Hunt(piece, self) for piece in pieces]
        whole = base.copy() if base is not None else _begin(settled, hunts, sheet)
        goals.keep(whole)
        for number, hunt in enumerate(hunts):
            progress(number, len(hunts))
            hunt.go(goals, [at[group.name] for group in hunt.part.groups], whole)
        progress(len(hunts), len(hunts))
        return goals.findings()


def _begin(settled: System, hunts: Sequence["_Hunt"], sheet: Sheet) -> Numbers:
    """Return some whole point of the system; raise `Doubt` if there is none, since then nothing can be proved."""
    whole = settled.lower.copy()
    for hunt in hunts:
        whole[hunt.columns] = hunt.whole(np.zeros(len(hunt.columns)))
    if not sheet.holds(whole):
        raise Doubt("No whole point of the system was found.")
    return whole


class _Goals:
    """The bounds shown so far for each group of a system."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        self.forms = Forms(groups)
        self.aim_low = np.array([group.low for group in groups])
        self.aim_high = np.array([group.high for group in groups])
        self.low = np.full(len(groups), np.iinfo(np.int64).max)
        self.high = np.full(len(groups), np.iinfo(np.int64).min)
        # These groups are certain not to be small.
        self.large = np.zeros(len(groups), dtype=bool)
        self.least = np.full(len(groups), -MANY)
        self.most = np.full(len(groups), MANY)

    def left(self, sign: float) -> Choice:
        """Return the groups that no point yet makes small enough (sign 1.0), or large enough (sign -1.0)."""
        missing = self.low > self.aim_low if sign > 0 else self.high < self.aim_high
        return missing & ~self.large

    def keep(self, point: Numbers) -> bool:
        """Learn from a point; return whether anything was new."""
        before = self.left(1.0).sum() + self.left(-1.0).sum()
        values = self.forms.at(point)
        np.minimum(self.low, values, out=self.low)
        np.maximum(self.high, values, out=self.high)
        return bool(self.left(1.0).sum() + self.left(-1.0).sum() < before)

    def limit(self, place: int, sign: float, best: float) -> None:
        """Learn how small, or how large, a group can be with fractions of people."""
        if sign > 0:
            self.least[place] = np.ceil(best - NEAR)
            self.large[place] = self.least[place] >= self.groups[place].floor
        else:
            self.most[place] = np.floor(-best + NEAR)

    def findings(self) -> list[Finding]:
        safe = ~(self.left(1.0) | self.left(-1.0))
        low = np.where(self.large, np.maximum(self.low, [group.floor for group in self.groups]), self.low)
        columns = (low.tolist(), self.high.tolist(), safe.tolist(), self.least.tolist(), self.most.tolist())
        return [Finding(*one) for one in zip(self.groups, *columns, strict=True)]


class _Hunt:
    """The attack on one part of a system."""

    def __init__(self, part: Part, attack: Attack) -> None:
        self.part, self.attack = part, attack
        self.columns = np.array(part.columns, dtype=np.int64)
        self.sheet = Sheet(part.lower, part.upper, part.rows)
        self.forms = Forms(part.groups)
        self._engine: Engine | None = None
        # A fixed seed: a doubtful audit can be repeated exactly.
        self._dice = np.random.default_rng(1)

    @property
    def engine(self) -> Engine:
        """Return the solver, made when it is first needed."""
        if self._engine is None:
            self._engine = self.attack.make(self.part.lower, self.part.upper, self.part.rows, self.attack.seconds)
        return self._engine

    def go(self, goals: _Goals, at: Sequence[int], whole: Numbers) -> None:
        """Attack every group of the part; `at` gives their positions among the goals."""
        places = np.array(at, dtype=np.int64)
        for sign in (1.0, -1.0) if at else ():
            self._push(goals, whole, sign * self._forms_of(goals.left(sign)[places]))
            for one in np.flatnonzero(goals.left(sign)[places]):
                if goals.left(sign)[places[one]]:
                    self._hunt(goals, places, int(one), whole, sign)

    def whole(self, costs: Costs) -> Numbers:
        """Return a whole point at which these costs are least, or nearly so."""
        found = self.sheet.whole(self.engine.least(costs))
        return found if found is not None else self._must(self.engine.least_whole(costs))

    def _must(self, point: Costs) -> Numbers:
        found = self.sheet.whole(point)
        if found is None:
            raise Doubt("A solver's answer does not belong to the system.")
        return found

    def _hunt(self, goals: _Goals, places: NDArray[np.int64], one: int, whole: Numbers, sign: float) -> None:
        """Push one group, and slightly all others that are left: many of them reach their bound on the way."""
        place = int(places[one])
        aim = float(self.part.groups[one].low if sign > 0 else -self.part.groups[one].high)
        alone = sign * self._forms_of(np.arange(len(places)) == one)
        aside = sign * self._forms_of(goals.left(sign)[places] * self._dice.random(len(places)) * ASIDE)
        point = self.engine.least(alone + aside)
        if alone @ point <= aim + NEAR:
            self._round(goals, whole, alone + aside, point)
        if not goals.left(sign)[place]:
            return
        point = self.engine.least(alone)
        goals.limit(place, sign, float(alone @ point))
        if goals.left(sign)[place] and alone @ point <= aim + NEAR:
            self._round(goals, whole, alone, point)
            if goals.left(sign)[place]:
                # So far only points with fractions of people go there. If no whole one is found soon, the group stays
                # unsafe.
                with suppress(Doubt):
                    self._keep(goals, whole, self._must(self.engine.least_whole(alone)))

    def _forms_of(self, weights: NDArray[np.generic]) -> Costs:
        return self.forms.together(weights, len(self.columns))

    def _push(self, goals: _Goals, whole: Numbers, costs: Costs) -> None:
        self._round(goals, whole, costs, self.engine.least(costs))

    def _round(self, goals: _Goals, whole: Numbers, costs: Costs, point: Costs) -> None:
        """Learn from the point at which these costs are least, or else from a whole one near it."""
        for _ in range(NUDGES):
            found = self.sheet.whole(point)
            if found is not None:
                self._keep(goals, whole, found)
                break
            # A corner keeps its fractions unless the costs change a little.
            split = np.abs(point - np.rint(point)) > NEAR
            point = self.engine.least(costs + NUDGE * split * (self._dice.random(len(costs)) - 0.5))

    def _keep(self, goals: _Goals, whole: Numbers, point: Numbers) -> None:
        full = whole.copy()
        full[self.columns] = point
        if goals.keep(full):
            self.attack.points.append(full)
