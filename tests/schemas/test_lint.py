"""The lint finds each kind of problem at any depth."""

from itertools import product
from typing import Any

import pytest

from tests.schemas.lint import problems

TEXT = {"type": "string", "maxLength": 100}
CODE = {"$ref": "../codes/needs.json"}
UUID = {"type": "string", "maxLength": 8, "pattern": "^[0-9a-f]{8}$"}
DEPTHS = [wraps for depth in range(4) for wraps in product(["object", "array"], repeat=depth)]

at_any_depth = pytest.mark.parametrize("wraps", DEPTHS, ids="-".join)


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def within(inner: dict[str, Any], wraps: tuple[str, ...], **annotation: Any) -> dict[str, Any]:
    """Return a document with the schema as a property below the given objects and arrays of objects."""
    for wrap in wraps:
        body = closed(inner=inner)
        outer = body if wrap == "object" else {"type": "array", "maxItems": 3, "items": body}
        inner = {**outer, **annotation}
    return closed(inner=inner)


def routed(inner: dict[str, Any], wraps: tuple[str, ...]) -> list[str]:
    return problems(within(inner, wraps, **{"x-routing": True}))


def only(found: list[str], part: str) -> bool:
    return len(found) == 1 and part in found[0]


@at_any_depth
@pytest.mark.parametrize("annotation", [{"x-category": "summary"}, {"x-category": "health"}])
def test_bounded_personal_text_is_accepted(annotation: dict[str, Any], wraps: tuple[str, ...]) -> None:
    assert problems(within({**TEXT, **annotation}, wraps, **annotation)) == []


@at_any_depth
@pytest.mark.parametrize(
    "fact",
    [
        CODE,
        UUID,
        {"const": "a"},
        {"enum": ["a", "b"]},
        {"type": "boolean"},
        {"type": "integer", "minimum": 0, "maximum": 9},
        {**TEXT, "format": "date"},
        {**TEXT, "format": "date-time"},
    ],
)
def test_closed_routing_fact_is_accepted(fact: dict[str, Any], wraps: tuple[str, ...]) -> None:
    assert routed({**fact, "x-routing": True}, wraps) == []


@at_any_depth
def test_property_without_annotation_is_found(wraps: tuple[str, ...]) -> None:
    assert only(routed(CODE, wraps), "needs one of x-category and x-routing")


@at_any_depth
def test_property_with_both_annotations_is_found(wraps: tuple[str, ...]) -> None:
    both = {**CODE, "x-routing": True, "x-category": "summary"}
    assert only(routed(both, wraps), "needs one of x-category and x-routing")


@at_any_depth
def test_unknown_category_is_found(wraps: tuple[str, ...]) -> None:
    assert only(routed({**TEXT, "x-category": "history"}, wraps), "no known category")


@at_any_depth
@pytest.mark.parametrize("more", [None, True, {"type": "string"}])
def test_open_object_is_found(more: object, wraps: tuple[str, ...]) -> None:
    openness = {} if more is None else {"additionalProperties": more}
    opened = {"type": "object", **openness, "properties": {"need": {**CODE, "x-routing": True}}}
    assert only(routed({**opened, "x-routing": True}, wraps), "the object is open")


def test_open_document_is_found() -> None:
    assert only(problems({"type": "object", "properties": {}}), "/: the object is open")


@at_any_depth
@pytest.mark.parametrize(
    "loose",
    [
        {},
        {"pattern": "[a-z]+"},
        {"pattern": "^[A-Z]"},
        {"pattern": "^.*$"},
        {"pattern": "^[A-Za-z ,.]{1,60}$"},
        {"format": "email"},
        {"format": "uri"},
    ],
)
def test_free_text_in_a_routing_fact_is_found(loose: dict[str, Any], wraps: tuple[str, ...]) -> None:
    assert only(routed({**TEXT, **loose, "x-routing": True}, wraps), "free text in a routing fact")


@at_any_depth
def test_free_text_in_a_list_of_routing_facts_is_found(wraps: tuple[str, ...]) -> None:
    notes = {"type": "array", "maxItems": 3, "items": TEXT, "x-routing": True}
    assert only(routed(notes, wraps), "free text in a routing fact")


@at_any_depth
def test_other_category_inside_a_category_is_found(wraps: tuple[str, ...]) -> None:
    document = within({**TEXT, "x-category": "health"}, (*wraps, "object"), **{"x-category": "summary"})
    assert only(problems(document), "lies inside a category and says otherwise")


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({**UUID, "x-routing": False}, "x-routing is true or absent"),
        ({"$ref": "../parts/health.json", "x-category": "legal"}, "$ref leads to neither"),
        ({"$ref": "../parts/health.json", "x-routing": True}, "$ref leads to neither"),
        ({"$ref": "https://elsewhere.example/a.json", "x-category": "legal"}, "$ref leads to neither"),
        ({**CODE, "maxLength": 9, "x-routing": True}, "beside $ref"),
        ({"type": "string", "x-category": "legal"}, "the string has no end"),
        ({"type": "array", "maxItems": 3, "x-category": "legal"}, "the array has no end or no kind of item"),
        ({"type": "array", "items": TEXT, "x-category": "legal"}, "the array has no end or no kind of item"),
        ({"type": "integer", "minimum": 0, "x-routing": True}, "the number has no bounds"),
        ({"x-routing": True}, "exactly one of"),
        ({"type": ["string", "object"], "x-routing": True}, "type is not one plain type"),
        ({"oneOf": [{"const": "a"}, {"type": "string"}], "x-routing": True}, "oneOf is for codes only"),
        ({**UUID, "contentEncoding": "base64", "x-routing": True}, "outside the subset"),
        ({**UUID, "unevaluatedProperties": False, "x-routing": True}, "outside the subset"),
    ],
)
def test_other_rule_is_enforced(schema: dict[str, Any], part: str) -> None:
    assert only([problem for problem in problems(closed(inner=schema)) if part in problem], part)
