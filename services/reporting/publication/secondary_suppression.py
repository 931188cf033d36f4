"""Hides more, as little as it can, until the attacker finds nobody: the auditor judges, and this only looks for a way out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import highspy
import numpy as np

from services.auditor.attack import Finding
from services.auditor.engines import Soplex
from services.auditor.forms import Forms
from services.auditor.insiders import Insider
from services.auditor.judge import Case, Judge
from services.auditor.published import MANY, Doubt, Publication, rules
from services.auditor.system import Group, Numbers, System, build
from services.reporting.publication.drafts import Draft

# After so many rounds small steps have had their chance; after so many more, whole tables go.
PATIENCE, ROUNDS = 40, 50
# From so many agencies it is learnt at once what they find.
FINDERS = 4
SECONDS = 30.0
TINY = 1e-6
Progress = Callable[[str, int, int], None]
Keep = Callable[[Draft], None]


@dataclass(frozen=True, slots=True)
class Inside:
    """What only the hub knows: true counts of all that was published this year, and what agencies know of them."""

    persons: Mapping[str, int]
    insiders: Sequence[Insider] = ()

    def large(self, names: Sequence[str], floor: int, outside: int) -> bool:
        """Whether a difference is not small in truth, and not made up by one agency's clients: then that may be said."""
        size = self._size(self.persons, names)
        known = max((self._size(insider.own, names) for insider in self.insiders if not insider.about), default=0)
        return len(names) > 1 and size >= floor and size - known >= outside

    @staticmethod
    def _size(counts: Mapping[str, int], names: Sequence[str]) -> int:
        return counts.get(names[0], 0) - sum(counts.get(name, 0) for name in names[1:])


@dataclass(frozen=True, slots=True)
class _Failure:
    finding: Finding
    names: tuple[str, ...]
    # Who found it out; None is anybody.
    insider: Insider | None


def _forget(draft: Draft) -> None:
    """Nothing is kept of a step."""


def repair(
    draft: Draft, published: Sequence[Publication], inside: Inside, progress: Progress, keep: Keep = _forget
) -> Draft:
    """The draft with as much hidden as it takes: in the end everything, and that tells nothing of anybody.

    After each step the draft is kept: whoever begins with that goes on from there.
    """
    case = Case([*_concerned(draft.shown(), published), draft.shown()])
    judges = [Judge(Soplex, SECONDS, insider) for insider in (None, *inside.insiders)]
    floors = {group.name: group.floor for group in case.system.groups}
    round_ = 0
    while failures := _failures(case, inside, judges):
        progress("Protecting", min(round_, ROUNDS), ROUNDS)
        claims = _claims(draft, failures, inside, floors) if round_ < ROUNDS else frozenset()
        if claims - draft.certain:
            draft = replace(draft, certain=draft.certain | claims)
        else:
            more = _more(draft, case, failures, round_)
            # Where nothing is left to hide, what is claimed goes as well: then nothing at all is added to what is out.
            draft = draft.hiding(more, None if more else frozenset())
        keep(draft)
        case = case.after(draft.shown())
        round_ += 1
    progress("Protecting", ROUNDS, ROUNDS)
    return draft


def _claims(
    draft: Draft, failures: Sequence[_Failure], inside: Inside, floors: Mapping[str, int]
) -> frozenset[tuple[str, ...]]:
    """Differences that were found out, but are not small: that may be said."""
    outside = rules(draft.rules)["outside_largest"]
    return frozenset(
        failure.names
        for failure in failures
        if inside.large(failure.names, floors.get(failure.finding.group.name, MANY), outside)
    )


def _more(draft: Draft, case: Case, failures: Sequence[_Failure], round_: int) -> frozenset[int]:
    """What to hide next: as little as it takes; if that leads nowhere, whole stretches."""
    free = draft.hiding(frozenset(), frozenset())
    for step in (free, draft) if round_ < PATIENCE else ():
        if more := _cheapest(step, case, failures) - draft.hidden:
            return more
    first = 0 if round_ < PATIENCE else 2 if round_ < ROUNDS else 3
    for stretch in _stretches(draft, failures)[first:]:
        if more := stretch & draft.shown_numbers():
            return more
    if draft.certain:
        return frozenset()
    raise Doubt(f"{failures[0].finding.group.name} can be found in what is published already.")


def _concerned(new: Publication, published: Sequence[Publication]) -> list[Publication]:
    """The earlier publications that a new one can say anything about: quarters meet in their year only."""
    found = {new.id: new}
    while True:
        near = [one for one in published if one.id not in found and any(_meet(one, other) for other in found.values())]
        if not near:
            return [one for one in published if one.id in found]
        found |= {one.id: one for one in near}


def _meet(one: Publication, other: Publication) -> bool:
    return one.year == other.year and (one.period == other.period or one.kind != other.kind)


def _failures(case: Case, inside: Inside, judges: list[Judge]) -> list[_Failure]:
    """What an outsider finds, or, if that is nothing, what agencies find."""
    names = case.system.names
    found: list[_Failure] = []
    finders: list[Judge] = []
    for judge in () if case.nothing_new else judges:
        wanted = _cautious(case.system, inside) if judge.insider is None else None
        own = [finding for finding in judge.judge(case, wanted=wanted) if not finding.safe]
        found += [
            _Failure(finding, tuple(names[column] for column in finding.group.columns), judge.insider)
            for finding in own
        ]
        finders += [judge] if own else []
        if found and (judge.insider is None or len(finders) == FINDERS):
            break
    # Whoever found something is asked first the next time.
    judges.sort(key=lambda judge: (judge.insider is not None, judge not in finders))
    return found


def _cautious(system: System, inside: Inside) -> System:
    """The system with as much left open to an outsider as the best informed agency will need; it saves many rounds."""
    most = np.zeros(len(system.names), dtype=np.int64)
    for insider in inside.insiders:
        # Two agencies together are kept from the cells of one publication only.
        concerned = [insider.about is None or name.startswith(f"{insider.about}:") for name in system.names]
        most = np.maximum(most, insider.of(system.names) * concerned)
    groups = [
        group if group.inner else replace(group, high=max(group.high, int(most[group.outer]) + group.floor - 1))
        for group in system.groups
    ]
    return replace(system, groups=tuple(groups))


def _cheapest(draft: Draft, case: Case, failures: Sequence[_Failure]) -> frozenset[int]:
    """The least that must be hidden so that each group in turn might be as small, and as large, as it needs to be."""
    system = build([*case.members[:-1], draft.shown()])
    more: frozenset[int] = frozenset()
    for insider in dict.fromkeys(id(failure.insider) for failure in failures):
        own = [failure for failure in failures if id(failure.insider) == insider]
        relaxed = _Relaxed(case.seen(system, own[0].insider) or system, draft, more)
        relaxed.free([failure.finding for failure in own])
        more |= relaxed.hidden
    return more


def _stretches(draft: Draft, failures: Sequence[_Failure]) -> list[frozenset[int]]:
    """Cells of the draft that a failure speaks of; the smallest that holds or is part of one; their tables; everything."""
    start = f"{draft.id}:"
    numbers = {name: number for number, name in enumerate(draft.known.names)}
    named = {
        numbers[name.removeprefix(start)] for failure in failures for name in failure.names if name.startswith(start)
    }
    tables = {table for (table, _), number in draft.known.place.items() if number in named} & draft.tables.keys()
    whole = {number for (table, _), number in draft.known.place.items() if table in tables}
    shown = draft.shown_numbers()
    near = {one for pair in draft.known.nested if named.intersection(pair) for one in shown.intersection(pair)}
    return [frozenset(named), draft.smallest(near), frozenset(whole), frozenset(range(len(numbers)))]


class _Relaxed:
    """The system in which any number of the draft may be hidden, at a price for each."""

    def __init__(self, system: System, draft: Draft, hidden: frozenset[int]) -> None:
        self.hidden = hidden
        self._system = system
        self._start = next(at for at, name in enumerate(system.names) if name.startswith(f"{draft.id}:"))
        last = self._start + len(draft.known.names)
        self._columns = [int(at) for at in np.flatnonzero(system.shown) if self._start <= at < last]
        self._model: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        self._model.setOptionValue("output_flag", False)
        self._model.passModel(self._program())

    def free(self, findings: Sequence[Finding]) -> None:
        """Let each group be as small, and as large, as it needs to be."""
        forms = Forms([finding.group for finding in findings])
        for sign in (1.0, -1.0):
            aims = np.array([finding.group.low if sign > 0 else -finding.group.high for finding in findings])
            now = np.array([finding.low if sign > 0 else -finding.high for finding in findings], dtype=float)
            for at, finding in enumerate(findings):
                # What freed one group has often freed others.
                if now[at] > aims[at] + TINY:
                    point = self._push(finding.group, sign, float(aims[at]))
                    now = now if point is None else np.minimum(now, sign * forms.at(point))

    def _push(self, group: Group, sign: float, aim: float) -> Numbers | None:
        """A cheapest point at which a group is as it should be; all that is bent for that will be hidden."""
        signs = sign * np.array([1.0, *(-1.0 for _ in group.inner)])
        row, width = self._model.getNumRow(), len(self._system.names)
        self._model.addRow(-highspy.kHighsInf, aim, len(signs), np.array(group.columns, dtype=np.int32), signs)
        self._model.run()
        point = None
        if self._model.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            values = np.array(self._model.getSolution().col_value)
            point = values[:width]
            used = np.flatnonzero(values[width:] > TINY)
            self.hidden |= {self._columns[at] - self._start for at in used}
            for at in used:
                self._model.changeColCost(width + int(at), 0.0)
        self._model.deleteRows(1, np.array([row], dtype=np.int32))
        return point

    def _program(self) -> Any:
        system, count = self._system, len(self._system.names)
        lower, upper = system.lower.astype(float), system.upper.astype(float)
        lower[self._columns], upper[self._columns] = 0.0, float(MANY)
        forms = [(row.columns, row.signs, float(row.low), float(row.high)) for row in system.rows]
        for at, column in enumerate(self._columns, start=count):
            forms.append(((column, at), (1, 1), float(system.lower[column]), highspy.kHighsInf))
            forms.append(((column, at), (1, -1), -highspy.kHighsInf, float(system.upper[column])))
        program: Any = highspy.HighsLp()
        program.num_col_, program.num_row_ = count + len(self._columns), len(forms)
        program.col_cost_ = np.concatenate([np.zeros(count), [self._price(column) for column in self._columns]])
        program.col_lower_ = np.concatenate([lower, np.zeros(len(self._columns))])
        program.col_upper_ = np.concatenate([upper, np.full(len(self._columns), float(MANY))])
        program.row_lower_ = np.array([low for _, _, low, _ in forms])
        program.row_upper_ = np.array([high for _, _, _, high in forms])
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_ = np.cumsum([0, *(len(columns) for columns, *_ in forms)])
        program.a_matrix_.index_ = np.array([c for columns, *_ in forms for c in columns], dtype=np.int32)
        program.a_matrix_.value_ = np.array([s for _, signs, *_ in forms for s in signs], dtype=float)
        return program

    def _price(self, column: int) -> float:
        """What hiding costs: less for what is hidden already, more for numbers that say more."""
        return 0.0 if column - self._start in self.hidden else 1.0 + float(self._system.lower[column]) / 50
