"""Every example is valid or invalid as its name says, and valid examples accept no additional member or sentence."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from jsonschema_rs import Draft7Validator, Registry

import schemas
from tests.schemas.contract import Example, changed, complaints, examples, objects, validator
from tests.schemas.lint import SENTENCE

EXAMPLES = list(examples())
VALID = [example for example in EXAMPLES if example.pointer is None]
INVALID = [example for example in EXAMPLES if example.pointer is not None]

Path = tuple[str | int, ...]


def name(example: Example) -> str:
    return f"{example.event_type}/{example.name}"


@cache
def older_validator(event_type: str) -> Draft7Validator:
    def older(document: Mapping[str, object]) -> dict[str, object]:
        return {**document, "$schema": "http://json-schema.org/draft-07/schema#"}

    registry = Registry([(address, older(document)) for address, document in schemas.documents().items()])
    return Draft7Validator(older(schemas.event_schema(event_type)), registry=registry, validate_formats=True)


def routing_strings(schema: Mapping[str, Any], data: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the path of each string in the data that belongs to a routing fact."""
    for member, inner in schema.get("properties", {}).items():
        if member in data and inner.get("x-routing") and not inner.get("x-public-name"):
            yield from strings(inner, data[member], (*at, member))


def strings(schema: Mapping[str, Any], value: Any, at: Path) -> Iterator[Path]:
    if isinstance(value, str):
        yield at
    if isinstance(value, list):
        yield from ((*at, index) for index, item in enumerate(value) if isinstance(item, str))
    if isinstance(value, dict):
        yield from routing_strings(schema, value, at)


@pytest.mark.parametrize("event_type", schemas.event_types())
def test_event_type_has_valid_and_invalid_examples(event_type: str) -> None:
    """Each type has at least one valid and two invalid examples."""
    assert len([example for example in VALID if example.event_type == event_type]) >= 1
    assert len([example for example in INVALID if example.event_type == event_type]) >= 2


def test_example_belongs_to_a_type_and_has_a_known_prefix() -> None:
    assert {example.event_type for example in EXAMPLES} == set(schemas.event_types())
    assert all(example.name.startswith(("valid-", "invalid-")) for example in EXAMPLES)


@pytest.mark.parametrize("example", VALID, ids=name)
def test_valid_example_is_accepted(example: Example) -> None:
    assert complaints(example.event_type, example.data) == set()


@pytest.mark.parametrize("example", INVALID, ids=name)
def test_invalid_example_fails_exactly_at_its_pointer(example: Example) -> None:
    assert complaints(example.event_type, example.data) == {example.pointer}


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_draft_07_validator_agrees(example: Example) -> None:
    assert older_validator(example.event_type).is_valid(example.data) == (example.pointer is None)


@pytest.mark.parametrize("example", VALID, ids=name)
def test_additional_member_is_rejected_in_every_object(example: Example) -> None:
    for path in objects(example.data):
        found: Any = example.data
        for step in path:
            found = found[step]
        more = changed(example.data, path, {**found, "extra": SENTENCE})
        assert complaints(example.event_type, more) == {"".join(f"/{step}" for step in (*path, "extra"))}


@pytest.mark.parametrize("example", VALID, ids=name)
def test_routing_fact_rejects_a_sentence(example: Example) -> None:
    paths = list(routing_strings(schemas.event_schema(example.event_type), example.data))
    assert paths
    for path in paths:
        assert not validator(example.event_type).is_valid(changed(example.data, path, SENTENCE))


@pytest.mark.parametrize("example", VALID, ids=name)
def test_missing_required_member_is_rejected(example: Example) -> None:
    schema: Any = schemas.event_schema(example.event_type)
    for member in schema["required"]:
        less = {key: value for key, value in example.data.items() if key != member}
        assert complaints(example.event_type, less) == {f"/{member}"}


def test_valid_requests_show_every_member_of_every_part() -> None:
    shown = {
        (category, member)
        for example in VALID
        for category, part in example.data.get("parts", {}).items()
        for member in part
    }
    documents: Any = schemas.documents()
    parts = {category: documents[f"https://fireweed.example/schemas/parts/{category}.json"] for category, _ in shown}
    assert shown == {(category, member) for category, part in parts.items() for member in part["properties"]}
    assert set(parts) == schemas.code_set("categories")
