"""Finds the cells of a plan's tables in which a survivor counts; pure.

For each family of needs she has one region, stage, result and decline in a quarter: the best result of her requests
decides. In a year she has, for each family, those of the quarter with the worst result. `schemas/plans/README.md` says
why.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, product
from typing import Any

import schemas
from services.common.fiscal_periods import quarters_of
from services.reporting.domain import RESULTS, Place, Seen, Thread, group_of, place_of

Cells = Mapping[tuple[str, ...], frozenset[str]]
"""Cells in which she counts, each with the agencies that know of her there."""

# From the least weight to the greatest; if several codes fit a survivor, the greatest counts.
DECLINES = ("not_declined", "another_reason", "mandate_mismatch", "sobriety_rule")
COORDINATION = ("single", "joined_up", "not_joined_up")
POLICE = ("not_police", "taken_in_a_day", "not_taken_in_a_day")
DAY = 24


@dataclass(frozen=True, slots=True)
class Standing:
    """The result for one family of a survivor's needs in a quarter; a lower order is a worse result."""

    place: Place
    decline: int
    agencies: frozenset[str]

    @property
    def order(self) -> tuple[int, int, int]:
        """Return a sort key: the lowest marks the worst quarter of a year."""
        return self.place.result, -self.decline, self.place.draw

    def codes(self) -> dict[str, str]:
        """Return her code in every dimension that has one code for each family."""
        place = self.place
        told = {"region": place.region, "stage": place.stage, "result": RESULTS[place.result]}
        return {**told, "decline": DECLINES[self.decline]}


@dataclass(frozen=True, slots=True)
class Survivor:
    """The codes by which a survivor counts in one period: for each family, and for all her needs together."""

    families: Mapping[str, Standing]
    codes: Mapping[str, str]


Rows = Sequence[tuple[Thread, Seen]]


def quarter(rows: Rows, contributor: int, police: frozenset[str]) -> Survivor:
    """Return a survivor's codes in one quarter, from her threads; `police` are the agencies of that sector."""
    ordered = sorted(rows, key=lambda row: group_of(row[0]).family)
    families = {
        family: _standing(list(own), contributor)
        for family, own in groupby(ordered, key=lambda row: group_of(row[0]).family)
    }
    at_work = {thread.recipient for thread, seen in rows if seen.at_work}
    joined = 0 if len(families) < 2 else 1 if len(at_work) >= 2 else 2
    sent = [seen for thread, seen in rows if thread.sender in police]
    taken = any(seen.at_work and seen.answered_within <= DAY for seen in sent)
    through = 0 if not sent else 1 if taken else 2
    return Survivor(families, {"coordination": COORDINATION[joined], "police": POLICE[through]})


def year(quarters: Sequence[Survivor]) -> Survivor:
    """Return a survivor's codes in a year, from her quarters; the agencies of all of them know of her."""
    families: dict[str, Standing] = {}
    for family in {family for each in quarters for family in each.families}:
        own = [each.families[family] for each in quarters if family in each.families]
        worst = min(own, key=lambda standing: standing.order)
        agencies = frozenset().union(*(standing.agencies for standing in own))
        families[family] = Standing(worst.place, worst.decline, agencies)
    codes = {
        name: max((each.codes[name] for each in quarters), key=order.index)
        for name, order in (("coordination", COORDINATION), ("police", POLICE))
    }
    return Survivor(families, codes)


def survivor(rows: Rows, period: str, contributor: int, police: frozenset[str]) -> Survivor:
    """Return a survivor's codes in a quarter or a fiscal year, from her threads."""
    if quarters_of(period) == (period,):
        return quarter(rows, contributor, police)
    ordered = sorted(rows, key=lambda row: row[0].quarter)
    grouped = groupby(ordered, key=lambda row: row[0].quarter)
    return year([quarter(list(own), contributor, police) for _, own in grouped])


@dataclass(frozen=True, slots=True)
class Shape:
    """One table of a plan, ready to find cells: for each dimension, which listed codes hold each code."""

    id: str
    cells: tuple[tuple[str, ...], ...]
    holds: Mapping[str, Mapping[str, tuple[str, ...]]]
    everyone: str

    def of(self, who: Survivor) -> Cells:
        """Return the cells in which a survivor counts."""
        of_all = frozenset[str]().union(*(standing.agencies for standing in who.families.values()))
        found: dict[tuple[str, ...], frozenset[str]] = {}
        for family, standing in who.families.items():
            codes = {**who.codes, **standing.codes(), "family": family}
            together = self.everyone in self.holds["family"][family]
            for key in product(*(holds[codes[name]] for name, holds in self.holds.items())):
                found[key] = of_all if together else standing.agencies
        return found


def shapes(plan: Mapping[str, Any], period: str) -> list[Shape]:
    """Return the tables that a plan has for a period."""
    kind = "quarter" if quarters_of(period) == (period,) else "year"
    return [_shape(plan["dimensions"], table) for table in plan["tables"] if kind in table["periods"]]


def _shape(dimensions: Mapping[str, Any], table: Mapping[str, Any]) -> Shape:
    listed: Mapping[str, Sequence[str]] = table["cells"]
    holds = {name: _holds(dimensions[name]["within"], codes) for name, codes in listed.items()}
    everyone = next(code for code, parent in dimensions["family"]["within"].items() if parent is None)
    return Shape(table["id"], tuple(product(*listed.values())), holds, everyone)


def _holds(within: Mapping[str, str | None], listed: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return for each code the listed codes that are equal to it or contain it."""
    return {code: tuple(up for up in _upwards(within, code) if up in listed) for code in within}


def _upwards(within: Mapping[str, str | None], code: str | None) -> Iterator[str]:
    while code is not None:
        yield code
        code = within[code]


def _standing(rows: Rows, contributor: int) -> Standing:
    place = max(place_of(thread, seen, contributor) for thread, seen in rows)
    decline = max(_decline(thread.reason) for thread, _ in rows)
    agencies = frozenset(agency for thread, _ in rows for agency in (thread.sender, thread.recipient))
    return Standing(place, decline, agencies)


@cache
def _decline(reason: str) -> int:
    """Return a reason's index in `DECLINES`; 0 for her own reasons and for those outside the code list."""
    sides = {code.code: code.extra["x-side"] for code in schemas.codes("declines")}
    if sides.get(reason) != "service":
        return 0
    return DECLINES.index(reason) if reason in DECLINES else 1
