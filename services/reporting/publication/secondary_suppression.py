"""Secondary suppression: hides as few further cells as it can until the attacker of `services.auditor` finds nobody."""

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

# After so many rounds whole tables are suppressed; after so many in all, everything.
TABLE_ROUNDS, ROUNDS = 40, 50
# So many insiders' findings are gathered in one round.
FINDERS = 4
SECONDS = 30.0
TINY = 1e-6
Progress = Callable[[str, int, int], None]
Keep = Callable[[Draft], None]


@dataclass(frozen=True, slots=True)
class InsiderKnowledge:
    """The hub's knowledge: true sizes of all groups published this year, and what insiders know of them."""

    persons: Mapping[str, int]
    insiders: Sequence[Insider] = ()

    def large(self, names: Sequence[str], floor: int, outside: int) -> bool:
        """Return whether a difference reaches the threshold and no agency dominates it: then it may be published as large."""
        size = self._size(self.persons, names)
        known = max((self._size(insider.own, names) for insider in self.insiders if not insider.about), default=0)
        return len(names) > 1 and size >= floor and size - known >= outside

    @staticmethod
    def _size(counts: Mapping[str, int], names: Sequence[str]) -> int:
        return counts.get(names[0], 0) - sum(counts.get(name, 0) for name in names[1:])


@dataclass(frozen=True, slots=True)
class _UnsafeFinding:
    finding: Finding
    names: tuple[str, ...]
    # Who found it; None is an outside intruder.
    insider: Insider | None


def _keep_nothing(draft: Draft) -> None:
    """Keep nothing of a step."""


def suppress_further(
    draft: Draft,
    published: Sequence[Publication],
    inside: InsiderKnowledge,
    progress: Progress,
    keep: Keep = _keep_nothing,
) -> Draft:
    """Return the draft with enough cells suppressed to be safe: in the end all of them, which discloses nothing.

    Each step is given to `keep`, so that an interrupted run can resume from it.
    """
    case = Case([*_linked_publications(draft.shown(), published), draft.shown()])
    judges = [Judge(Soplex, SECONDS, insider) for insider in (None, *inside.insiders)]
    floors = {group.name: group.floor for group in case.system.groups}
    round_ = 0
    while failures := _unsafe_findings(case, inside, judges):
        progress("Protecting", min(round_, ROUNDS), ROUNDS)
        claims = _large_differences(draft, failures, inside, floors) if round_ < ROUNDS else frozenset()
        if claims - draft.certain:
            draft = replace(draft, certain=draft.certain | claims)
        else:
            more = _next_suppressions(draft, case, failures, round_)
            # Once no cell is left to suppress, the claims are dropped too: then the draft adds nothing to what is
            # published.
            draft = draft.hiding(more, None if more else frozenset())
        keep(draft)
        case = case.after(draft.shown())
        round_ += 1
    progress("Protecting", ROUNDS, ROUNDS)
    return draft


def _large_differences(
    draft: Draft, failures: Sequence[_UnsafeFinding], inside: InsiderKnowledge, floors: Mapping[str, int]
) -> frozenset[tuple[str, ...]]:
    """Return the differences that were found but are large enough to be published as claims."""
    outside = rules(draft.rules)["outside_largest"]
    return frozenset(
        failure.names
        for failure in failures
        if inside.large(failure.names, floors.get(failure.finding.group.name, MANY), outside)
    )


def _next_suppressions(draft: Draft, case: Case, failures: Sequence[_UnsafeFinding], round_: int) -> frozenset[int]:
    """Return the cells to suppress next: the cheapest set, or else wider sets; raise `Doubt` if nothing helps."""
    free = draft.hiding(frozenset(), frozenset())
    for step in (free, draft) if round_ < TABLE_ROUNDS else ():
        if more := _cheapest_suppressions(step, case, failures) - draft.hidden:
            return more
    first = 0 if round_ < TABLE_ROUNDS else 2 if round_ < ROUNDS else 3
    for wider in _wider_suppressions(draft, failures)[first:]:
        if more := wider & draft.shown_numbers():
            return more
    if draft.certain:
        return frozenset()
    raise Doubt(f"{failures[0].finding.group.name} can be found in what is published already.")


def _linked_publications(new: Publication, published: Sequence[Publication]) -> list[Publication]:
    """Return the earlier publications linked to a new one: quarters are linked to their own year only."""
    found = {new.id: new}
    while True:
        near = [
            one for one in published if one.id not in found and any(_linked(one, other) for other in found.values())
        ]
        if not near:
            return [one for one in published if one.id in found]
        found |= {one.id: one for one in near}


def _linked(one: Publication, other: Publication) -> bool:
    return one.year == other.year and (one.period == other.period or one.kind != other.kind)


def _unsafe_findings(case: Case, inside: InsiderKnowledge, judges: list[Judge]) -> list[_UnsafeFinding]:
    """Return what an outside intruder finds, or, if that is nothing, what insiders find."""
    names = case.system.names
    found: list[_UnsafeFinding] = []
    finders: list[Judge] = []
    for judge in () if case.nothing_new else judges:
        wanted = _with_insider_margin(case.system, inside) if judge.insider is None else None
        own = [finding for finding in judge.judge(case, wanted=wanted) if not finding.safe]
        found += [
            _UnsafeFinding(finding, tuple(names[column] for column in finding.group.columns), judge.insider)
            for finding in own
        ]
        finders += [judge] if own else []
        if found and (judge.insider is None or len(finders) == FINDERS):
            break
    # Insiders who found something are asked first in the next round.
    judges.sort(key=lambda judge: (judge.insider is not None, judge not in finders))
    return found


def _with_insider_margin(system: System, inside: InsiderKnowledge) -> System:
    """Return the system with a margin for the best informed insider; it saves many rounds."""
    most = np.zeros(len(system.names), dtype=np.int64)
    for insider in inside.insiders:
        # A coalition of two agencies attacks the cells of one publication only.
        concerned = [insider.about is None or name.startswith(f"{insider.about}:") for name in system.names]
        most = np.maximum(most, insider.of(system.names) * concerned)
    groups = [
        group if group.inner else replace(group, high=max(group.high, int(most[group.outer]) + group.floor - 1))
        for group in system.groups
    ]
    return replace(system, groups=tuple(groups))


def _cheapest_suppressions(draft: Draft, case: Case, failures: Sequence[_UnsafeFinding]) -> frozenset[int]:
    """Return the cheapest set of cells to suppress so that each group in turn can be as small, and as large, as required."""
    system = build([*case.members[:-1], draft.shown()])
    more: frozenset[int] = frozenset()
    for insider in dict.fromkeys(id(failure.insider) for failure in failures):
        own = [failure for failure in failures if id(failure.insider) == insider]
        program = _SuppressionProgram(case.seen(system, own[0].insider) or system, draft, more)
        program.protect([failure.finding for failure in own])
        more |= program.hidden
    return more


def _wider_suppressions(draft: Draft, failures: Sequence[_UnsafeFinding]) -> list[frozenset[int]]:
    """Return ever wider sets to suppress: the cells of the findings, the smallest around them, their tables, everything."""
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


class _SuppressionProgram:
    """A linear program in which any number of the draft may be suppressed, at a cost for each."""

    def __init__(self, system: System, draft: Draft, hidden: frozenset[int]) -> None:
        self.hidden = hidden
        self._system = system
        self._start = next(at for at, name in enumerate(system.names) if name.startswith(f"{draft.id}:"))
        last = self._start + len(draft.known.names)
        self._columns = [int(at) for at in np.flatnonzero(system.shown) if self._start <= at < last]
        self._model: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        self._model.setOptionValue("output_flag", False)
        self._model.passModel(self._program())

    def protect(self, findings: Sequence[Finding]) -> None:
        """Suppress enough that each group can be as small, and as large, as required."""
        forms = Forms([finding.group for finding in findings])
        for sign in (1.0, -1.0):
            aims = np.array([finding.group.low if sign > 0 else -finding.group.high for finding in findings])
            now = np.array([finding.low if sign > 0 else -finding.high for finding in findings], dtype=float)
            for at, finding in enumerate(findings):
                # The cells that protect one group have often protected others.
                if now[at] > aims[at] + TINY:
                    point = self._push(finding.group, sign, float(aims[at]))
                    now = now if point is None else np.minimum(now, sign * forms.at(point))

    def _push(self, group: Group, sign: float, aim: float) -> Numbers | None:
        """Suppress the cells of a cheapest point at which a group reaches its required bound."""
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
        program.col_cost_ = np.concatenate([np.zeros(count), [self._cost(column) for column in self._columns]])
        program.col_lower_ = np.concatenate([lower, np.zeros(len(self._columns))])
        program.col_upper_ = np.concatenate([upper, np.full(len(self._columns), float(MANY))])
        program.row_lower_ = np.array([low for _, _, low, _ in forms])
        program.row_upper_ = np.array([high for _, _, _, high in forms])
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_ = np.cumsum([0, *(len(columns) for columns, *_ in forms)])
        program.a_matrix_.index_ = np.array([c for columns, *_ in forms for c in columns], dtype=np.int32)
        program.a_matrix_.value_ = np.array([s for _, signs, *_ in forms for s in signs], dtype=float)
        return program

    def _cost(self, column: int) -> float:
        """Return the cost of suppressing a cell: none if it is suppressed already, more for larger cells."""
        return 0.0 if column - self._start in self.hidden else 1.0 + float(self._system.lower[column]) / 50
