"""Made-up people in the form that reporting counts, many at a time: their requests, places and results."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations, product
from typing import Any

import schemas
from examples.cohort_plan import CITIES, SECTORS, Place, plans
from services.auditor import published
from services.reporting.publication.true_counts import Count, TrueTable

# From best to worst: a year keeps the result of the quarter that went worst.
RESULTS = {"in_time": 5, "late": 2, "not_started": 3}
DECLINES = {"not_declined": 12, "another_reason": 3, "mandate_mismatch": 3, "sobriety_rule": 2}
FAMILIES = {
    "F2": 30,
    "F1": 12,
    "F3": 12,
    "F4": 10,
    "F8": 16,
    "F17": 18,
    "F9": 8,
    "F14": 8,
    "F16": 5,
    "F18": 5,
    "F15": 3,
}
STAGES = {"outreach": 4, "crisis": 6, "acute": 4, "stable": 4, "long_term": 2}
Answer = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One person's request in one family and quarter, with the agencies that know of it."""

    person: int
    quarter: str
    family: str
    answer: Answer
    agencies: frozenset[str]


@dataclass(slots=True)
class Cohort:
    """People drawn by a seed. `skew` makes the small cities smaller; `dominant` is the share that one agency has."""

    seed: int
    size: int
    skew: float = 1.0
    dominant: float = 0.0
    agencies: int = 4
    # Whether each city has agencies of its own.
    local: bool = True
    gone: set[int] = field(default_factory=set)

    def asked(self, quarter: str) -> Iterator[Asked]:
        """Return all requests in a quarter by people who are still counted."""
        for number in range(self.size):
            # Not for secrets: the point of this randomness is that it can be repeated.
            dice = random.Random(f"{self.seed}/{quarter}/{number}")  # noqa: S311
            # Half of those who come in a quarter were here in the quarter before.
            person = number if number % 2 else int(f"{number}{quarter[:4]}{quarter[-1]}")
            home = random.Random(f"{self.seed}/{person}")  # noqa: S311
            region = pick(home, {city: weight**self.skew for city, weight in CITIES.items()})
            for family in sorted({pick(dice, FAMILIES) for _ in range(dice.choice((1, 1, 2, 3)))}):
                answer = {
                    "region": region if dice.random() < 0.95 else "other",
                    "stage": pick(dice, STAGES),
                    "result": pick(dice, RESULTS),
                    "decline": pick(dice, DECLINES),
                }
                agencies = frozenset(self._agency(dice, region) for _ in range(dice.choice((1, 2))))
                if person not in self.gone:
                    yield Asked(person, quarter, family, answer, agencies)

    def _agency(self, dice: random.Random, region: str) -> str:
        place = region if self.local else "canada"
        return f"{place}/0" if dice.random() < self.dominant else f"{place}/{dice.randrange(self.agencies)}"


def shipped(size: int, seed: int, quarter: str) -> list[Asked]:
    """Return the cohort of `examples/cohort.py`, as if all of it had happened in one quarter."""
    places = [Place(f"{city}/{sector}", sector, city) for city in CITIES for sector in sorted(set(SECTORS.values()))]
    families = {code.code: str(code.extra["x-family"]) for code in schemas.codes("needs")}
    return [
        Asked(
            number,
            quarter,
            families[ask.need],
            {
                "region": plan.region,
                "stage": ask.stage,
                "result": "in_time" if "started" in ask.answers else "not_started",
                "decline": "another_reason" if "declined" in ask.answers else "not_declined",
            },
            frozenset({plan.sender, ask.to}),
        )
        for number, plan in enumerate(plans(places, size, seed, 90))
        for ask in plan.asks
    ]


def pick(dice: random.Random, weights: Mapping[str, float]) -> str:
    return dice.choices(list(weights), list(weights.values()))[0]


def tables(rows: list[Asked], period: str, version: int = 1) -> list[TrueTable]:
    """Return the true tables of a plan for a period, in which each person has one answer for each family."""
    plan = published.plan(version)
    merged = _merged(rows)
    roots = {
        name: next(code for code, parent in dimension["within"].items() if parent is None)
        for name, dimension in plan["dimensions"].items()
    }
    kind = "quarter" if "-Q" in period else "year"
    used = {tuple(table["cells"]) for table in plan["tables"] if kind in table["periods"]}
    members: dict[tuple[tuple[str, str], ...], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in merged:
        above = {
            name: list(_above(plan["dimensions"][name]["within"], row.answer.get(name, roots[name]), row.family, name))
            for name in roots
        }
        for dimensions in used:
            for codes in product(*(above[name] for name in dimensions)):
                members[tuple(zip(dimensions, codes, strict=True))][row.person] |= row.agencies
    return [
        TrueTable(
            table["id"],
            period,
            {key: _count(members, table["cells"], key) for key in published.product(table["cells"])},
        )
        for table in plan["tables"]
        if kind in table["periods"]
    ]


def _merged(rows: list[Asked]) -> list[Asked]:
    """Return one row for each person and family, the worst, and the codes of each person over all her families."""
    worst: dict[tuple[int, str], Asked] = {}
    order = {
        name: {code: at for at, code in enumerate(codes)}
        for name, codes in (("result", RESULTS), ("decline", DECLINES))
    }
    for row in rows:
        key = (row.person, row.family)
        held = worst.get(key)
        rank = (order["result"][row.answer["result"]], row.quarter)
        if held is None or rank > (order["result"][held.answer["result"]], held.quarter):
            agencies = row.agencies | (held.agencies if held else frozenset())
            worst[key] = Asked(row.person, row.quarter, row.family, row.answer, agencies)
        else:
            worst[key] = Asked(held.person, held.quarter, held.family, held.answer, held.agencies | row.agencies)
    families: Counter[int] = Counter(person for person, _ in worst)
    knowing: dict[int, set[str]] = defaultdict(set)
    for row in worst.values():
        knowing[row.person] |= row.agencies
    return [
        Asked(
            row.person, row.quarter, row.family, {**row.answer, **_whole(row.person, families, knowing)}, row.agencies
        )
        for row in worst.values()
    ]


def _whole(person: int, families: Mapping[int, int], agencies: Mapping[int, set[str]]) -> Answer:
    joined = "joined_up" if len(agencies[person]) > 1 else "not_joined_up"
    dice = random.Random(person)  # noqa: S311
    police = "not_police" if dice.random() < 0.85 else pick(dice, {"taken_in_a_day": 2, "not_taken_in_a_day": 1})
    return {"coordination": joined if families[person] > 1 else "single", "police": police}


def _above(within: Mapping[str, str | None], code: str, family: str, name: str) -> Iterator[str]:
    at: str | None = family if name == "family" else code
    while at is not None:
        yield at
        at = within[at]


def _count(members: Mapping[Any, Mapping[int, set[str]]], lists: Mapping[str, Any], key: tuple[str, ...]) -> Count:
    people = members.get(tuple(zip(lists, key, strict=True)), {})
    by_agency = Counter(agency for agencies in people.values() for agency in agencies)
    by_both = Counter(two for agencies in people.values() for two in combinations(sorted(agencies), 2))
    return Count(
        persons=len(people),
        agencies=len(by_agency),
        outside_largest=len(people) - max(by_agency.values(), default=0),
        contributors=sum(_hash(person) for person in people) % 2**64,
        by_agency=dict(by_agency),
        by_both=dict(by_both),
    )


def _hash(person: int) -> int:
    return int.from_bytes(blake2b(str(person).encode(), digest_size=8, key=b"synthetic").digest(), "big")
