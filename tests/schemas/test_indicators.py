"""The catalogue of indicators is complete, bilingual and consistent with the plan; nothing else lists them."""

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
# The catalogue's names for the code lists of a region.
LEVELS = {"regions": "city", "macro_regions": "macro"}
NARROW = re.compile(r"\d (?:\d|heure|jour|mois|an)|[^\u00a0]:|[«»]")

each_indicator = pytest.mark.parametrize("indicator", EVERY, ids=lambda each: str(each["id"]))
of_survivors = pytest.mark.parametrize(
    "indicator", [each for each in EVERY if each["tier"] == "D"], ids=lambda each: str(each["id"])
)


def tables(indicator: Any) -> list[Any]:
    return [table for table in PLAN["tables"] if indicator["id"] in table["indicators"]]


def texts_of(value: Any) -> list[tuple[str, str]]:
    """Return (language, text) for every text."""
    found = [("en", value["title"]), ("fr", value["x-title-fr"])]
    return found + [item for each in value.values() if isinstance(each, dict) for item in each.items()]


def test_catalogue_has_the_27_indicators_in_order() -> None:
    """There are 25 for the seven recommendations and 2 across them."""
    assert {group["recommendation"]: len(group["indicators"]) for group in GROUPS} == HOW_MANY
    assert [each["id"] for each in EVERY] == [
        f"{group}{'.' if group != 'X' else ''}{n}" for group, many in HOW_MANY.items() for n in range(1, many + 1)
    ]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: str(group["recommendation"]))
def test_catalogue_file_is_valid(group: Any) -> None:
    VALIDATOR.validate(group)


@pytest.mark.parametrize(
    "change",
    [{"floor": None}, {"note": "x"}, {"tier": "E"}, {"why": {"en": "Only English."}}, {"breakdowns": ["postal_code"]}],
)
def test_catalogue_schema_rejects_other_members_and_values(change: dict[str, Any]) -> None:
    first = next(each for each in GROUPS[0]["indicators"] if each["tier"] == "D")
    changed = {name: value for name, value in {**first, **change}.items() if value is not None}
    assert not VALIDATOR.is_valid({**GROUPS[0], "indicators": [changed, *GROUPS[0]["indicators"][1:]]})
    jsonschema_rs.meta.validate(SCHEMA)


@each_indicator
def test_indicator_texts_have_correct_typography(indicator: Any) -> None:
    told = texts_of(indicator)
    assert not [text for _, text in told if "'" in text or '"' in text or text != text.strip()]
    assert not [text for language, text in told if language == "fr" and NARROW.search(text)]
    for part in ("numerator", "denominator", "why"):
        assert indicator[part]["en"] != indicator[part]["fr"]
    assert indicator["why"]["en"].endswith(".")
    assert indicator["why"]["fr"].endswith(".")


@each_indicator
def test_indicator_refers_to_existing_event_types(indicator: Any) -> None:
    assert set(indicator["events"]) <= set(schemas.event_types())
    assert bool(indicator["events"]) or indicator["id"] == "X2"
    about_people = {"referral.updated.v1", "need.counted.v1"}
    assert bool(about_people & set(indicator["events"])) == (indicator["tier"] == "D")


@of_survivors
def test_survivor_indicator_has_floor_and_breakdowns_of_the_plan(indicator: Any) -> None:
    """The tables of the plan show the periods, levels and floor that the catalogue states."""
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
def test_survivor_indicator_is_a_ratio_of_the_plan(indicator: Any) -> None:
    assert [ratio for ratio in PLAN["ratios"] if ratio["indicator"] == indicator["id"]]


def test_plan_holds_survivor_indicators_only() -> None:
    planned = {name for table in PLAN["tables"] for name in table["indicators"]}
    assert planned == {each["id"] for each in EVERY if each["tier"] == "D"}


def test_no_other_file_lists_the_indicators() -> None:
    ids = [re.compile(rf"\b{re.escape(each['id'])}\b") for each in EVERY]
    lists = [
        name
        for name in files(".py", ".html", ".json", ".yaml")
        if not name.startswith(("schemas/indicators/", "schemas/plans/", "tests/"))
        and sum(bool(pattern.search(text(name))) for pattern in ids) > 3
    ]
    assert lists == []
