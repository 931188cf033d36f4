"""The catalogue of indicators is whole, in two languages, and says of each what the plan shows; nothing else lists them."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest

import schemas
from tests.architecture.tree import files, text
from tests.schemas.contract import FOLDER

SCHEMA = json.loads((FOLDER / "indicators.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA)
GROUPS = [json.loads(path.read_text("utf-8")) for path in sorted((FOLDER / "indicators").glob("*.json"))]
EVERY = schemas.indicators()
PLAN, RULES = schemas.plan(1), schemas.rules(1)
HOW_MANY = {"R1": 4, "R2": 4, "R3": 4, "R4": 4, "R5": 3, "R6": 3, "R7": 3, "X": 2}
# Where a table's dimension, and the levels of its codes, are named as the catalogue names them.
LEVELS = {"regions": "city", "macro_regions": "macro"}
NARROW = re.compile(r"\d (?:\d|heure|jour|mois|an)|[^\u00a0]:|[«»]")

each_indicator = pytest.mark.parametrize("indicator", EVERY, ids=lambda each: str(each["id"]))
of_survivors = pytest.mark.parametrize(
    "indicator", [each for each in EVERY if each["tier"] == "D"], ids=lambda each: str(each["id"])
)


def tables(indicator: Any) -> list[Any]:
    return [table for table in PLAN["tables"] if indicator["id"] in table["indicators"]]


def words(value: Any) -> list[tuple[str, str]]:
    """Every text, with its language."""
    found = [("en", value["title"]), ("fr", value["x-title-fr"])]
    return found + [item for each in value.values() if isinstance(each, dict) for item in each.items()]


def test_there_are_25_indicators_of_seven_recommendations_and_two_across_them() -> None:
    assert {group["recommendation"]: len(group["indicators"]) for group in GROUPS} == HOW_MANY
    assert [each["id"] for each in EVERY] == [
        f"{group}{'.' if group != 'X' else ''}{n}" for group, many in HOW_MANY.items() for n in range(1, many + 1)
    ]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: str(group["recommendation"]))
def test_a_file_of_the_catalogue_keeps_its_closed_schema(group: Any) -> None:
    VALIDATOR.validate(group)


@pytest.mark.parametrize(
    "change",
    [{"floor": None}, {"note": "x"}, {"tier": "E"}, {"why": {"en": "Only English."}}, {"breakdowns": ["postal_code"]}],
)
def test_the_schema_is_closed(change: dict[str, Any]) -> None:
    first = next(each for each in GROUPS[0]["indicators"] if each["tier"] == "D")
    changed = {name: value for name, value in {**first, **change}.items() if value is not None}
    assert not VALIDATOR.is_valid({**GROUPS[0], "indicators": [changed, *GROUPS[0]["indicators"][1:]]})
    jsonschema_rs.meta.validate(SCHEMA)


@each_indicator
def test_an_indicator_is_told_in_both_languages_with_their_own_typography(indicator: Any) -> None:
    told = words(indicator)
    assert not [words for _, words in told if "'" in words or '"' in words or words != words.strip()]
    assert not [words for language, words in told if language == "fr" and NARROW.search(words)]
    for part in ("numerator", "denominator", "why"):
        assert indicator[part]["en"] != indicator[part]["fr"]
    assert indicator["why"]["en"].endswith(".")
    assert indicator["why"]["fr"].endswith(".")


@each_indicator
def test_an_indicator_stands_on_events_that_the_contract_has(indicator: Any) -> None:
    assert set(indicator["events"]) <= set(schemas.event_types())
    assert bool(indicator["events"]) or indicator["id"] == "X2"
    about_people = {"referral.updated.v1", "need.counted.v1"}
    assert bool(about_people & set(indicator["events"])) == (indicator["tier"] == "D")


@of_survivors
def test_what_is_about_survivors_is_in_the_plan_with_its_floor_and_its_breakdowns(indicator: Any) -> None:
    shown, floors = set(), set()
    for table in tables(indicator):
        shown |= set(table["periods"]) | ({"stage"} if "stage" in table["cells"] else set())
        regions = table["cells"].get("region", ["canada"])
        shown |= {level for codes, level in LEVELS.items() if schemas.code_set(codes) - {"canada"} >= set(regions)}
        shown |= {"canada"} if regions == ["canada"] else set()
        if "switch" not in table:
            listed = [(name, code) for name, codes in table["cells"].items() for code in codes]
            high = any(code in RULES["high"].get(name, []) for name, code in listed)
            floors.add(RULES["floor_high" if high else "floor"])
    assert shown == set(indicator["breakdowns"]) - {"family"}
    assert floors == {indicator["floor"]}


@of_survivors
def test_what_is_about_survivors_is_a_ratio_of_the_plan(indicator: Any) -> None:
    assert [ratio for ratio in PLAN["ratios"] if ratio["indicator"] == indicator["id"]]


def test_only_what_is_about_survivors_is_in_the_plan() -> None:
    planned = {name for table in PLAN["tables"] for name in table["indicators"]}
    assert planned == {each["id"] for each in EVERY if each["tier"] == "D"}


def test_nothing_else_lists_the_indicators() -> None:
    ids = [re.compile(rf"\b{re.escape(each['id'])}\b") for each in EVERY]
    lists = [
        name
        for name in files(".py", ".html", ".json", ".yaml")
        if not name.startswith(("schemas/indicators/", "schemas/plans/", "tests/"))
        and sum(bool(pattern.search(text(name))) for pattern in ids) > 3
    ]
    assert lists == []
