"""The plan and the rules agree with the code files and with each other, and leave out what must never be shown."""

from collections import Counter, defaultdict
from itertools import product
from typing import Any

import pytest

import schemas
from services.reporting.cube import COORDINATION, DECLINES, POLICE
from services.reporting.domain import RESULTS

PLAN, RULES = schemas.plan(1), schemas.rules(1)
DIMENSIONS: dict[str, Any] = PLAN["dimensions"]
TABLES: list[dict[str, Any]] = PLAN["tables"]
# Two of these are never crossed, and none is shown below the whole country's year.
SENSITIVE = {"police", "decline", "coordination"}

each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table["id"]))
each_dimension = pytest.mark.parametrize("name", DIMENSIONS)


def within(name: str) -> dict[str, str | None]:
    found: dict[str, str | None] = DIMENSIONS[name]["within"]
    return found


def leaves(name: str) -> set[str]:
    return set(within(name)) - set(within(name).values())


def extra(name: str, member: str) -> dict[str, object]:
    return {code.code: code.extra.get(member) for code in schemas.codes(name)}


@each_dimension
def test_dimension_is_a_tree_with_parents_before_children(name: str) -> None:
    """It has one root."""
    seen: set[str | None] = {None}
    for code, parent in within(name).items():
        assert parent in seen
        seen.add(code)
    assert Counter(within(name).values())[None] == 1


@each_dimension
def test_every_code_has_one_label_in_both_languages(name: str) -> None:
    listed = {code.code for codes in DIMENSIONS[name]["codes"] for code in schemas.codes(codes)}
    labels = DIMENSIONS[name]["labels"]
    for code in within(name):
        assert (code in listed) != (code in labels), code
    for told in (DIMENSIONS[name], *labels.values()):
        assert told["title"]
        assert told["x-title-fr"]
    assert set(labels) <= set(within(name))


def test_trees_are_those_of_the_code_files() -> None:
    macro = extra("regions", "x-macro")
    assert {code: within("region")[code] for code in macro} == macro
    assert {code for code, parent in within("region").items() if parent == "canada"} - set(macro) == (
        schemas.code_set("macro_regions") - {"canada"}
    )
    assert leaves("region") == schemas.code_set("regions")
    assert leaves("family") == schemas.code_set("families") == set(extra("needs", "x-family").values())
    assert leaves("stage") == schemas.code_set("stages")
    assert set(within("family").values()) == {None, "any"}


def test_leaves_are_the_codes_that_the_build_gives() -> None:
    assert leaves("result") == set(RESULTS)
    assert leaves("decline") == set(DECLINES)
    assert leaves("coordination") == set(COORDINATION)
    assert leaves("police") == set(POLICE)
    sides = extra("declines", "x-side")
    assert {sides[code] for code in DECLINES if code in sides} == {"service"}


@each_table
def test_table_lists_known_codes_once_and_the_family_first(table: dict[str, Any]) -> None:
    assert next(iter(table["cells"])) == "family"
    for name, codes in table["cells"].items():
        assert set(codes) <= set(within(name))
        assert len(codes) == len(set(codes))
    assert set(table["periods"]) <= {"quarter", "year"}
    assert table["title"]
    assert table["x-title-fr"]


def test_no_table_is_there_twice() -> None:
    assert max(Counter(table["id"] for table in TABLES).values()) == 1
    assert max(Counter(str(table["cells"]) for table in TABLES).values()) == 1


@pytest.mark.parametrize("period", ["quarter", "year"])
def test_i16_no_population_has_more_partitions_than_allowed(period: str) -> None:
    partitions: defaultdict[str, set[str]] = defaultdict(set)
    for table in TABLES:
        if period in table["periods"]:
            others = {name: sorted(codes) for name, codes in table["cells"].items() if name != "family"}
            for family in table["cells"]["family"]:
                partitions[family].add(str(others))
    assert partitions
    assert max(map(len, partitions.values())) <= RULES["partitions"]


@each_table
def test_sensitive_dimension_is_national_yearly_and_uncrossed(table: dict[str, Any]) -> None:
    if SENSITIVE & set(table["cells"]):
        assert table["periods"] == ["year"]
        assert set(table["cells"]) - {"family"} <= SENSITIVE
        assert len(set(table["cells"]) & SENSITIVE) == 1


@each_table
def test_no_city_is_crossed_with_stage_or_shown_by_quarter(table: dict[str, Any]) -> None:
    assert not {"region", "stage"} <= set(table["cells"])
    if "quarter" in table["periods"]:
        assert not set(table["cells"].get("region", [])) & schemas.code_set("regions")


@each_table
def test_higher_floor_is_shown_by_wider_region_and_year_only(table: dict[str, Any]) -> None:
    if set(table["cells"]["family"]) & set(RULES["high"]["family"]):
        assert set(table["cells"]["family"]) <= set(RULES["high"]["family"])
        assert table["periods"] == ["year"]
        assert not set(table["cells"].get("region", [])) & schemas.code_set("regions")


def test_sensitive_needs_have_the_higher_floor() -> None:
    """Legal, immigration, child, police and Indigenous cells."""
    families = extra("needs", "x-family")
    # Parenting and family; court, legal aid and papers; Indigenous cultural care.
    assert set(RULES["high"]["family"]) == {families[need] for need in ("N28", "N29", "N38", "N22")}
    assert set(RULES["high"]["police"]) == set(within("police")) - {"asked", "not_police"}
    assert RULES["floor_high"] == 2 * RULES["floor"] == 20
    assert (RULES["agencies"], RULES["outside_largest"], RULES["base"]) == (3, 5, 5)


def test_indigenous_care_stands_behind_its_own_switch() -> None:
    behind = RULES["switches"]["indigenous"]["codes"]["family"]
    assert behind == ["F11"]
    for table in TABLES:
        if set(table["cells"]["family"]) & set(behind):
            assert table["switch"] == "indigenous"
            assert set(table["cells"]["family"]) <= set(behind)
            assert not set(table["cells"]) & {"region", "stage"}
        else:
            assert "switch" not in table


def test_every_ratio_is_made_of_cells_that_its_tables_show() -> None:
    tables = {table["id"]: table for table in TABLES}
    for ratio in PLAN["ratios"]:
        assert set(ratio["numerator"]) < set(ratio["denominator"]) or ratio["over"] == "decline"
        for name in ratio["tables"]:
            table = tables[name]
            assert ratio["indicator"] in table["indicators"]
            assert {*ratio["numerator"], *ratio["denominator"]} <= set(table["cells"][ratio["over"]])
            for dimension, codes in ratio.get("only", {}).items():
                assert set(codes) <= set(table["cells"][dimension])


def test_plan_is_finite_and_small() -> None:
    cells = [len(list(product(*table["cells"].values()))) for table in TABLES]
    assert sum(cells) < 1000
