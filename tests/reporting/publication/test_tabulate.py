"""True tables: every cell counted by hand, every relation of the plan, and no numbers if the fold is wrong."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from functools import cache
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given
from sqlalchemy import text

import schemas
from services.common.fiscal_periods import fiscal_quarter
from services.reporting.domain import NEVER, Seen, Thread, place_of
from services.reporting.publication.tabulate import CountsDiffer, true_tables
from services.reporting.publication.true_counts import Count, TrueTable
from tests.reporting.test_fold import histories, some
from tests.support.counted import AGENCIES, PERIODS, POLICE, Asked, CountingContext, events_of, pseudonym

PLAN = schemas.plan(1)
TREES: dict[str, dict[str, str | None]] = {name: tree["within"] for name, tree in PLAN["dimensions"].items()}
WAITS = {code.code: code.extra.get("x-up-to-hours") or NEVER - 1 for code in schemas.codes("waits")}
NEEDS = {code.code: code.extra for code in schemas.codes("needs")}
WORST_RESULT = ("not_started", "late", "in_time")
WORST_DECLINE = ("sobriety_rule", "mandate_mismatch", "another_reason", "not_declined")
Leaves = dict[str, str]


def chain(dimension: str, code: str) -> set[str]:
    """Return a code with everything that it lies within."""
    up: str | None = code
    found = set()
    while up is not None:
        found.add(up)
        up = TREES[dimension][up]
    return found


def leaves(asks: Sequence[Asked], keys: Any) -> Leaves:
    """Return the codes of one family of somebody's needs in a quarter, computed in the simplest way."""
    tries = []
    for ask in asks:
        hours = int(str(WAITS[ask.waited])) if "started" in ask.states else NEVER
        in_time = hours <= int(str(NEEDS[ask.need]["x-answer-hours"]))
        result = "in_time" if in_time else "late" if hours < NEVER else "not_started"
        quarter = fiscal_quarter(ask.day)
        thread = Thread(pseudonym(ask.who), quarter, ask.need, ask.region, ask.stage, "", "", "")
        draw = place_of(thread, Seen(NEVER, NEVER, 0), keys(pseudonym(ask.who), quarter)).draw
        tries.append((WORST_RESULT.index(result), draw, ask.region, ask.stage))
    best, draw, region, stage = max(tries)
    said_no = [ask.reason for ask in asks if "declined" in ask.states and ask.reason != "survivor_withdrew"]
    known = [reason if reason in WORST_DECLINE else "another_reason" for reason in said_no]
    decline = min(known, key=WORST_DECLINE.index, default="not_declined")
    return {"result": WORST_RESULT[best], "region": region, "stage": stage, "decline": decline, "draw": str(draw)}


def whole(asks: Sequence[Asked]) -> Leaves:
    """Return the codes of somebody in a quarter for all of her needs together."""
    families = {NEEDS[ask.need]["x-family"] for ask in asks}
    at_work = {ask.recipient for ask in asks if "accepted" in ask.states}
    several = "joined_up" if len(at_work) >= 2 else "not_joined_up"
    sent = [ask for ask in asks if ask.sender == POLICE]
    taken = any("accepted" in ask.states and ask.answered == "under_24h" for ask in sent)
    police = ("taken_in_a_day" if taken else "not_taken_in_a_day") if sent else "not_police"
    return {"coordination": several if len(families) > 1 else "single", "police": police}


def by_hand(told: Sequence[Asked], period: str, keys: Any) -> dict[tuple[int, str], tuple[Leaves, set[str]]]:
    """Return for each survivor and family her codes in a period, and the agencies that know."""
    found: dict[tuple[int, str], list[tuple[Leaves, set[str]]]] = defaultdict(list)
    people: dict[int, list[Leaves]] = defaultdict(list)
    for quarter in PERIODS[:4] if period == "2026" else (period,):
        here = [ask for ask in told if fiscal_quarter(ask.day) == quarter]
        for who in {ask.who for ask in here}:
            people[who].append(whole([ask for ask in here if ask.who == who]))
        for who, family in {(ask.who, str(NEEDS[ask.need]["x-family"])) for ask in here}:
            own = [ask for ask in here if ask.who == who and NEEDS[ask.need]["x-family"] == family]
            agencies = {agency for ask in own for agency in (ask.sender, ask.recipient)}
            found[who, family].append((leaves(own, keys), agencies))
    worst = {}
    for (who, family), standings in found.items():
        codes, _ = min(
            standings,
            key=lambda item: (
                WORST_RESULT.index(item[0]["result"]),
                WORST_DECLINE.index(item[0]["decline"]),
                int(item[0]["draw"]),
            ),
        )
        orders = {
            "coordination": ("not_joined_up", "joined_up", "single"),
            "police": ("not_taken_in_a_day", "taken_in_a_day", "not_police"),
        }
        for name, order in orders.items():
            codes = {**codes, name: min((each[name] for each in people[who]), key=order.index)}
        worst[who, family] = ({**codes, "family": family}, set().union(*(agencies for _, agencies in standings)))
    return worst


def cell(
    standing: dict[tuple[int, str], tuple[Leaves, set[str]]], names: Sequence[str], key: Sequence[str]
) -> set[int]:
    """Return the contributors of a cell."""
    return {
        who
        for (who, _), (codes, _) in standing.items()
        if all(code in chain(name, codes[name]) for name, code in zip(names, key, strict=True))
    }


@some
@given(told=histories)
def test_every_cell_equals_counting_by_hand(counting: CountingContext, told: Sequence[Asked]) -> None:
    counting.empty()
    counting.take(events_of(told))
    keys = counting.context.contributors
    for (name, period), table in counting.every_table().items():
        lists = next(entry["cells"] for entry in PLAN["tables"] if entry["id"] == name)
        assert list(table.cells) == list(product(*lists.values()))
        standing = by_hand(told, period, keys)
        for key, count in table.cells.items():
            people = cell(standing, list(lists), key)
            assert count.persons == len(people), (name, period, key)
            assert count.contributors == sum(keys(pseudonym(who), period) for who in people) % 2**64
            of = [family for family in TREES["family"] if key[0] in chain("family", family)]
            knows = {
                who: set().union(*(standing[who, family][1] for family in of if (who, family) in standing))
                for who in people
            }
            by_agency = {agency: sum(agency in known for known in knows.values()) for agency in AGENCIES}
            assert count.by_agency == {agency: number for agency, number in by_agency.items() if number}
            for two in combinations(AGENCIES, 2):
                assert count.by_both.get(two, 0) == sum(known.issuperset(two) for known in knows.values())
            assert count.agencies == len(count.by_agency)
            assert count.outside_largest == count.persons - max(count.by_agency.values(), default=0)


Where = tuple[tuple[str, str], ...]
"""A cell by its code in each dimension that does not stand at its root."""


def cells_of(tables: dict[tuple[str, str], TrueTable], period: str) -> dict[Where, Count]:
    """Return every cell of a period by its code in each dimension that does not stand at its root."""
    found: dict[Where, Count] = {}
    for (name, of), table in tables.items():
        if of == period:
            names = next(list(entry["cells"]) for entry in PLAN["tables"] if entry["id"] == name)
            for key, count in table.cells.items():
                where = tuple(
                    (each, code) for each, code in zip(names, key, strict=True) if TREES[each][code] is not None
                )
                assert found.setdefault(where, count) == count, "one set of people shows two numbers"
    return found


@cache
def splits(cells: frozenset[Where]) -> list[tuple[Where, list[Where], bool]]:
    """Yield each cell with its parts along each dimension, and whether a person is in one of them only."""
    found = []
    for where, (name, tree) in product(cells, TREES.items()):
        children = [code for code, parent in tree.items() if parent == dict(where).get(name, root(name))]
        parts = [with_code(where, name, code) for code in children]
        if parts and cells.issuperset(parts):
            found.append((where, parts, is_one(name, where)))
    return found


@some
@given(told=histories)
def test_relations_of_the_plan_hold_between_true_cells(counting: CountingContext, told: Sequence[Asked]) -> None:
    counting.empty()
    counting.take(events_of(told))
    tables = counting.every_table()
    periods = {period: cells_of(tables, period) for period in PERIODS}
    for cells in periods.values():
        for where, parts, one in splits(frozenset(cells)):
            relate(cells[where], [cells[part] for part in parts], one=one)
    for where, count in periods["2026"].items():
        quarters = [periods[quarter].get(where) for quarter in PERIODS[:4]]
        if None not in quarters:
            assert count.persons <= sum(part.persons for part in quarters if part)
            if not [name for name, _ in where if PLAN["dimensions"][name]["one"] is not False]:
                assert count.persons >= max(part.persons for part in quarters if part)


def root(dimension: str) -> str:
    return next(code for code, parent in TREES[dimension].items() if parent is None)


def with_code(where: Where, dimension: str, code: str) -> Where:
    codes = {**dict(where), dimension: code}
    return tuple((name, codes[name]) for name in TREES if name in codes)


def is_one(dimension: str, where: Where) -> bool:
    one = PLAN["dimensions"][dimension]["one"]
    return one if isinstance(one, bool) else one in dict(where)


def relate(parent: Count, parts: Sequence[Count], *, one: bool) -> None:
    together = sum(part.persons for part in parts)
    if one:
        assert parent.persons == together
        assert parent.contributors == sum(part.contributors for part in parts) % 2**64
    else:
        assert max(part.persons for part in parts) <= parent.persons <= together


def test_family_is_met_if_one_of_several_agencies_begins(counting: CountingContext) -> None:
    told = [
        Asked(1, "N02", region, "crisis", AGENCIES[1], to, date(2026, 4, 1), states, reason="no_capacity")
        for region, to, states in (
            ("toronto", AGENCIES[2], ("requested", "declined")),
            ("montreal", AGENCIES[3], ("requested", "accepted", "started")),
        )
    ]
    counting.take(events_of(told))
    tables = {table.table: table.cells for table in counting.tables("2026")}
    assert tables["need-city-result"]["F2", "montreal", "in_time"].persons == 1
    assert tables["need-city"]["F2", "toronto"].persons == 0
    # Both agencies know that she is in there.
    assert tables["need"]["F2",].by_agency == dict.fromkeys(AGENCIES[1:], 1)


def test_year_shows_the_quarter_with_the_worst_result(counting: CountingContext) -> None:
    first, second = date(2026, 4, 1), date(2026, 7, 1)
    lives = ((first, ("requested", "accepted", "started")), (second, ("requested",)))
    counting.take(
        events_of([Asked(1, "N02", "toronto", "crisis", AGENCIES[1], AGENCIES[2], day, life) for day, life in lives])
    )
    assert counting.every_table()["need-result", "2026"].cells["F2", "not_started"].persons == 1
    assert counting.every_table()["need-result", "2026-Q1"].cells["F2", "in_time"].persons == 1


@pytest.mark.parametrize("damage", ["UPDATE cell SET low = low + 1", "DELETE FROM cell", "DELETE FROM journal"])
def test_nothing_is_built_if_the_fold_differs_from_the_journal(counting: CountingContext, damage: str) -> None:
    told = Asked(1, "N02", "toronto", "crisis", AGENCIES[1], AGENCIES[2], date(2026, 4, 1), ("requested",))
    counting.take(events_of([told]))
    counting.tables("2026")
    with counting.database.transaction() as connection:
        connection.execute(text(damage))
    with pytest.raises(CountsDiffer, match="publication rebuild"):
        counting.tables("2026")


def test_progress_is_reported_to_the_end(counting: CountingContext) -> None:
    asks = [
        Asked(who, "N02", "toronto", "crisis", AGENCIES[1], AGENCIES[2], date(2026, 4, 1), ("requested",))
        for who in range(5)
    ]
    counting.take(events_of(asks))
    seen: list[tuple[int, int]] = []
    true_tables(counting.context, PLAN, "2026-Q1", lambda done, total: seen.append((done, total)))
    assert seen == [(number, 5) for number in range(1, 6)]
