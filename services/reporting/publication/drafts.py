"""A publication before it is frozen: true cells, which of them are suppressed, and what an intruder would see."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.auditor import published
from services.auditor.published import MANY, Key, Publication
from services.auditor.relations import Relations, relations
from services.reporting.publication.primary_suppression import meets_primary_rule, round_randomly
from services.reporting.publication.true_counts import Count, TrueTable

# The last step is a bound in every case: no cell has so many contributors.
STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, MANY)


@dataclass(frozen=True, slots=True)
class Draft:
    """The cells to be published of a period, and the truth about them.

    `hidden` are the groups of contributors under secondary suppression, by their number in the plan's relations.
    """

    id: str
    number: int
    period: str
    plan: int
    rules: int
    tables: Mapping[str, Mapping[Key, Count]]
    secret: bytes
    revises: str | None = None
    drift: Mapping[str, int] | None = None
    # Cells that everybody knows to be empty: there is no such service.
    empty: frozenset[tuple[str, Key]] = frozenset()
    hidden: frozenset[int] = frozenset()
    certain: frozenset[tuple[str, ...]] = frozenset()

    @property
    def known(self) -> Relations:
        """Return the relations that hold between its cells."""
        return relations(self.plan, self.rules)

    def shown(self) -> Publication:
        """Return the publication as an intruder would see it."""
        return Publication(
            id=self.id,
            number=self.number,
            period=self.period,
            plan=self.plan,
            rules=self.rules,
            revises=self.revises,
            drift=self.drift or {},
            certain=self.certain,
            tables={name: {key: self._value(name, key) for key in cells} for name, cells in self.tables.items()},
            empty=self.empty,
        )

    def persons(self) -> dict[str, int]:
        """Return the true size of each group of contributors, by its name in the attacker's system."""
        return {self.name(table, key): count.persons for table, key, count in self._counts()}

    def own(self, agency: str) -> dict[str, int]:
        """Return how many contributors of each group this agency knows."""
        return {self.name(table, key): count.by_agency.get(agency, 0) for table, key, count in self._counts()}

    def both(self) -> dict[tuple[str, str], dict[str, int]]:
        """Return for each two agencies how many contributors of each group both know."""
        found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for table, key, count in self._counts():
            for two, persons in count.by_both.items():
                found[two][self.name(table, key)] = persons
        return found

    def shown_numbers(self) -> frozenset[int]:
        """Return the groups of contributors that an intruder would see."""
        tables = self.shown().tables.items()
        return frozenset(
            self.known.place[name, key] for name, cells in tables for key, value in cells.items() if value is not None
        )

    def smallest(self, numbers: Collection[int]) -> frozenset[int]:
        """Return the smallest of some groups by number of contributors, as a set; empty if there is none."""
        sizes = {self.known.place[table, key]: count.persons for table, key, count in self._counts()}
        return frozenset(sorted(numbers, key=lambda number: (sizes[number], number))[:1])

    def name(self, table: str, key: Key) -> str:
        """Return a cell's name in the attacker's system."""
        return f"{self.id}:{self.known.names[self.known.place[table, key]]}"

    def agencies(self) -> Counter[str]:
        """Return every agency, with how many contributors it knows over all cells."""
        found: Counter[str] = Counter()
        for _, _, count in self._counts():
            found.update(count.by_agency)
        return found

    def after(self, drifts: Mapping[str, int], revises: str | None) -> "Draft":
        """Return this draft as a publication that comes after others."""
        return replace(self, drift=dict(drifts), revises=revises)

    def hiding(self, more: frozenset[int], certain: frozenset[tuple[str, ...]] | None = None) -> "Draft":
        """Return this draft with more cells suppressed; claims about cells that are now suppressed are dropped."""
        fresh = replace(self, hidden=self.hidden | more, certain=frozenset())
        shown = fresh.shown()
        hidden = {self.name(table, key) for table, cells in shown.tables.items() for key in cells if cells[key] is None}
        kept = self.certain if certain is None else certain
        return replace(fresh, certain=frozenset(claim for claim in kept if not hidden.intersection(claim)))

    def reveals_few_changes(self, earlier: Publication, sizes: Mapping[str, int]) -> bool:
        """Return whether it shows another number than an earlier publication of its period, though no cell changed by many.

        Equal contributors show an equal number: a reader who compares the two would learn where those few count who
        came or left. `sizes` are the true sizes in the earlier one.
        """
        now = {name.partition(":")[2]: size for name, size in self.persons().items()}
        was = {name.partition(":")[2]: size for name, size in sizes.items()}
        most = max((abs(now[name] - size) for name, size in was.items() if name in now), default=0)
        shown = self.shown().tables
        pairs = [
            (value, shown[name][key])
            for name in earlier.tables
            if name in shown
            for key, value in earlier.tables[name].items()
        ]
        other = any(None not in pair and pair[0] != pair[1] for pair in pairs)
        return other and most < published.rules(self.rules)["floor_high"]

    def _counts(self) -> Sequence[tuple[str, Key, Count]]:
        return [(table, key, count) for table, cells in self.tables.items() for key, count in cells.items()]

    def _value(self, table: str, key: Key) -> int | None:
        if (table, key) in self.empty:
            return 0
        count, number = self.tables[table][key], self.known.place[table, key]
        rules: Mapping[str, Any] = published.rules(self.rules)
        if number in self.hidden or not meets_primary_rule(count, self.known.floors[number], rules):
            return None
        return round_randomly(count, rules["base"], self.secret)


def begin(
    identity: tuple[str, int, str], versions: tuple[int, int], tables: Sequence[TrueTable], secret: bytes
) -> Draft:
    """Return a draft of true tables, for `(id, number, period)` under `(plan, rules)`."""
    return Draft(*identity, *versions, {table.table: table.cells for table in tables}, secret)


def drift(earlier: Mapping[str, int], now: Mapping[str, int]) -> int:
    """Return the least step that no cell has changed by more than, since it was published.

    Both are the true sizes of the same groups of contributors; the step is published, so it is a coarse one.
    """
    most = max((abs(now.get(name, 0) - persons) for name, persons in earlier.items()), default=0)
    return next(step for step in STEPS if step >= most)
