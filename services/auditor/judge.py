"""Judges a publication by what it adds: it may tell nothing of few people that was not known before it came out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from services.auditor.attack import Attack, Finding, Maker
from services.auditor.insiders import Insider
from services.auditor.presolve import settle
from services.auditor.published import Publication, rules
from services.auditor.system import Group, Numbers, System, build

Progress = Callable[[int, int], None]


def _quietly(at: int, of: int) -> None:
    """Ignore progress within one of many attacks."""


class Case:
    """The publications of one fiscal year, in the order in which they came out, ready for any number of attackers."""

    def __init__(self, members: Sequence[Publication]) -> None:
        self.members = tuple(members)

    @property
    def newest(self) -> Publication:
        """Return the publication that came out last."""
        return self.members[-1]

    @cached_property
    def system(self) -> System:
        """Return the system of everything that is published."""
        return settle(build(self.members))

    @cached_property
    def unsaid(self) -> System:
        """Return the system if the newest publication had hidden all that it shows."""
        return self.system if self.nothing_new else settle(build([*self.members[:-1], self.newest.blank()]))

    @cached_property
    def nothing_new(self) -> bool:
        """Return whether the newest publication shows nothing at all."""
        return self.newest == self.newest.blank()

    @cached_property
    def earlier(self) -> "Case":
        """Return the system of everything before the newest publication."""
        return Case(self.members[:-1])

    def after(self, newest: Publication) -> "Case":
        """Return this case with another last publication about the same people."""
        case = Case([*self.members[:-1], newest])
        case.__dict__ |= {"unsaid": self.unsaid, "earlier": self.earlier}
        return case

    def seen(self, system: System, insider: Insider | None) -> System | None:
        """Return a system as an insider sees it; None if he sees no more than an outsider."""
        if insider is None:
            return system
        view = insider.view(system, rules(self.newest.rules)["outside_largest"])
        return view if view is not None and view.groups else None


@dataclass(slots=True, eq=False)
class Judge:
    """One attacker with one solver. Its points, and what was known before, serve for the next, similar case."""

    make: Maker
    seconds: float
    insider: Insider | None = None
    points: Sequence[Numbers] = ()
    _told: dict[str, Group | None] = field(default_factory=dict)

    def judge(self, case: Case, progress: Progress = _quietly, wanted: System | None = None) -> list[Finding]:
        """Return everything that this attacker finds in a case; `wanted` replaces its system if more is required."""
        seen = case.seen(wanted or case.system, self.insider)
        if seen is None:
            return []
        attack = self._attack(seen, self.points, progress)
        self.points = attack.points
        return self._forgive(case, attack)

    def _attack(self, seen: System, known: Sequence[Numbers], progress: Progress = _quietly) -> Attack:
        attack = Attack(seen, self.make, self.seconds)
        attack.run(known, progress)
        return attack

    def _forgive(self, case: Case, attack: Attack) -> list[Finding]:
        """Return the findings; those that could be found before the newest publication came out count as safe."""
        eased = self._eased(case, [finding for finding in attack.findings if not finding.safe])
        if not eased:
            return attack.findings
        again = self._attack(replace(attack.system, groups=tuple(eased)), attack.points)
        known = {finding.group.name: finding for finding in again.findings if finding.safe or case.nothing_new}
        found = self._found_already(case, known, attack.points)
        known = {name: replace(finding, safe=True) for name, finding in known.items() if name not in found}
        return [known.get(finding.group.name, finding) for finding in attack.findings]

    def _eased(self, case: Case, failing: Sequence[Finding]) -> list[Group]:
        """Return groups with the bounds known had the newest publication said nothing; only those where that was much."""
        asked = [finding.group for finding in failing if finding.group.name not in self._told]
        unsaid = case.seen(case.unsaid, self.insider)
        if asked and unsaid is not None:
            findings = self._attack(replace(unsaid, groups=tuple(asked)), ()).findings
            self._told |= {finding.group.name: None if finding.safe else _ease(finding) for finding in findings}
        eased = (self._told.get(finding.group.name) for finding in failing)
        return [group for group in eased if group is not None]

    def _found_already(self, case: Case, known: Mapping[str, Finding], points: Sequence[Numbers]) -> Collection[str]:
        """Return those groups of earlier publications that were found even then: publishing more does not excuse them."""
        width = len(case.system.names) // len(case.members) * (len(case.members) - 1)
        old = {name for name, finding in known.items() if max(finding.group.columns) < width}
        before = case.seen(case.earlier.system, self.insider) if old else None
        if before is None:
            return ()
        groups = tuple(group for group in before.groups if group.name in old)
        shorter = [point[:width] for point in points] if len(before.names) == width else ()
        earlier = Judge(self.make, self.seconds, self.insider)
        findings = earlier._forgive(case.earlier, self._attack(replace(before, groups=groups), shorter))
        return {finding.group.name for finding in findings if not finding.safe}


def _ease(finding: Finding) -> Group:
    group = finding.group
    return replace(group, low=max(group.low, finding.least), high=min(group.high, finding.most))
