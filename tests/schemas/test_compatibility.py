"""Released data stays valid and keeps its meaning; each compatibility rule catches its own breach."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from tests.schemas.compatibility import KINDS, RULES, breaks, read, releases
from tests.schemas.contract import FOLDER

TODAY = read(FOLDER)
Example = tuple[dict[str, Any], dict[str, Any], Any]

TEXT = {"type": "string", "maxLength": 9}
WHOLE = {"type": "integer", "minimum": 0, "maximum": 9}
LIST = {"type": "array", "maxItems": 3, "items": {"enum": ["a", "b", "c"]}}


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


# By rule: a released schema, a forbidden later one, and data that only the first accepts (if data can show it).
NOTHING_SHOWS = object()
BROKEN: Mapping[str, Example] = {
    "property_removed_from_closed_content_model": (closed(a=TEXT, b=TEXT), closed(a=TEXT), {"b": "x"}),
    "required_attribute_added": (closed(a=TEXT), closed(("a",), a=TEXT), {}),
    "required_attribute_removed": (closed(("a",), a=TEXT), closed(a=TEXT), NOTHING_SHOWS),
    "additional_properties_narrowed": ({"type": "object"}, {"type": "object", "additionalProperties": False}, {"a": 1}),
    "type_narrowed": ({"type": "number"}, {"type": "integer"}, 1.5),
    "enum_array_narrowed": ({"enum": ["a", "b"]}, {"enum": ["a"]}, "b"),
    "pattern_added_or_changed": (TEXT | {"pattern": "^[a-z]*$"}, TEXT | {"pattern": "^[a-c]*$"}, "xyz"),
    "format_added_or_changed": (TEXT, TEXT | {"format": "date"}, "a day"),
    "max_length_decreased": (TEXT, TEXT | {"maxLength": 8}, "123456789"),
    "min_length_increased": (TEXT, TEXT | {"minLength": 1}, ""),
    "maximum_decreased": (WHOLE, WHOLE | {"maximum": 8}, 9),
    "minimum_increased": (WHOLE, WHOLE | {"minimum": 1}, 0),
    "max_items_decreased": (LIST, LIST | {"maxItems": 2}, ["a", "b", "c"]),
    "min_items_increased": (LIST, LIST | {"minItems": 1}, []),
    "max_properties_decreased": (
        closed(a=TEXT, b=TEXT),
        closed(a=TEXT, b=TEXT) | {"maxProperties": 1},
        {"a": "", "b": ""},
    ),
    "min_properties_increased": (closed(a=TEXT), closed(a=TEXT) | {"minProperties": 1}, {}),
    "unique_items_added": (LIST, LIST | {"uniqueItems": True}, ["a", "a"]),
    "category_changed": (TEXT | {"x-category": "health"}, TEXT | {"x-category": "summary"}, NOTHING_SHOWS),
    "topic_changed": ({"x-topic": "referrals.v1"}, {"x-topic": "services.v1"}, NOTHING_SHOWS),
    "sender_changed": ({"x-sender": "agency"}, {"x-sender": "intake"}, NOTHING_SHOWS),
    "subject_changed": ({"x-subject": "none"}, {"x-subject": "ppid"}, NOTHING_SHOWS),
    "becomes_changed": ({"x-becomes": "referral.sealed.v1"}, {}, NOTHING_SHOWS),
}

ALLOWED: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a new optional property": (closed(("a",), a=TEXT), closed(("a",), a=TEXT, b=TEXT)),
    "a new code": ({"oneOf": [{"const": "a"}]}, {"oneOf": [{"const": "b"}, {"const": "a"}]}),
    "a code where there was one": ({"const": "a"}, {"enum": ["a", "b"]}),
    "another label": ({"oneOf": [{"const": "a", "title": "A"}]}, {"oneOf": [{"const": "a", "title": "An A"}]}),
    "wider bounds": (WHOLE, {"type": "integer", "minimum": -1, "maximum": 10}),
    "room for more": (LIST, LIST | {"maxItems": 4}),
    "a longer text": (TEXT, TEXT | {"maxLength": 10}),
    "no pattern any more": (TEXT | {"pattern": "^a$"}, TEXT),
    "any number for a whole one": ({"type": "integer"}, {"type": "number"}),
    "other words about it": (TEXT | {"description": "Old."}, TEXT | {"description": "New.", "title": "New"}),
}


@pytest.mark.parametrize("release", releases())
def test_todays_documents_break_no_release(release: str) -> None:
    assert breaks(read(FOLDER / "released" / release), TODAY) == []


def test_release_has_documents_of_every_kind() -> None:
    assert "0.1.0" in releases()
    for release in releases():
        kept = read(FOLDER / "released" / release)
        assert {name.split("/")[0] for name in kept} == set(KINDS)
        assert "events/referral.requested.v1" in kept


def test_every_rule_has_a_breaking_example() -> None:
    assert [rule.name for rule in RULES] == list(BROKEN)


@pytest.mark.parametrize("rule", BROKEN)
def test_breach_is_found_by_its_rule_only(rule: str) -> None:
    old, new, _ = BROKEN[rule]
    assert breaks({"events/e": old}, {"events/e": new}) == [f"events/e: {rule}"]
    assert breaks({"events/e": closed(p=old)}, {"events/e": closed(p=new)}) == [f"events/e/p: {rule}"]
    nested = [{"type": "array", "maxItems": 3, "items": inner} for inner in (old, new)]
    assert breaks({"events/e": nested[0]}, {"events/e": nested[1]}) == [f"events/e/*: {rule}"]


@pytest.mark.parametrize("rule", [rule for rule, (_, _, data) in BROKEN.items() if data is not NOTHING_SHOWS])
def test_validator_rejects_data_that_was_valid_before_the_breach(rule: str) -> None:
    old, new, data = BROKEN[rule]
    assert Draft202012Validator(old, validate_formats=True).is_valid(data)
    assert not Draft202012Validator(new, validate_formats=True).is_valid(data)


@pytest.mark.parametrize("change", ALLOWED)
def test_change_allowed_by_the_readme_breaks_no_rule(change: str) -> None:
    old, new = ALLOWED[change]
    assert breaks({"events/e": old}, {"events/e": new}) == []


def test_new_document_is_allowed_and_removed_one_is_not() -> None:
    assert breaks({}, {"events/e": TEXT}) == []
    assert breaks({"events/e": TEXT}, {}) == ["events/e: document_removed"]


def test_removed_code_breaks_events_that_refer_to_it() -> None:
    changed: Any = copy.deepcopy(TODAY)
    choices = changed["codes/urgencies"]["oneOf"]
    choices[:] = [choice for choice in choices if choice["const"] != "1h"]
    found = breaks(TODAY, changed)
    assert "codes/urgencies: enum_array_narrowed" in found
    assert "events/referral.requested.v1/urgency: enum_array_narrowed" in found


def test_change_inside_a_part_is_found_in_its_events() -> None:
    changed: Any = copy.deepcopy(TODAY)
    changed["parts/summary"]["properties"]["text"]["maxLength"] -= 1
    assert breaks(TODAY, changed) == [
        "events/referral.requested.v1/parts/summary/text: max_length_decreased",
        "parts/summary/text: max_length_decreased",
    ]


def test_changed_reference_is_judged_by_its_target() -> None:
    old: dict[str, Any] = {"codes/a": {"oneOf": [{"const": "x"}]}, "events/e": {"$ref": "../codes/a.json"}}
    same = {**old, "codes/b": {"oneOf": [{"const": "x"}, {"const": "y"}]}, "events/e": {"$ref": "../codes/b.json"}}
    other = {**old, "codes/b": {"oneOf": [{"const": "y"}]}, "events/e": {"$ref": "../codes/b.json"}}
    assert breaks(old, same) == []
    assert breaks(old, other) == ["events/e: enum_array_narrowed"]
