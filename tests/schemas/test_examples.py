"""Every example is judged as its name says, and no example leaves room for a word that nobody asked for."""

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
    """The place of each string in the data that belongs to a routing fact."""
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
def test_every_type_has_one_valid_and_two_invalid_examples_at_least(event_type: str) -> None:
    assert len([example for example in VALID if example.event_type == event_type]) >= 1
    assert len([example for example in INVALID if example.event_type == event_type]) >= 2


def test_every_example_belongs_to_a_type_and_says_what_it_is() -> None:
    assert {example.event_type for example in EXAMPLES} == set(schemas.event_types())
    assert all(example.name.startswith(("valid-", "invalid-")) for example in EXAMPLES)


@pytest.mark.parametrize("example", VALID, ids=name)
def test_a_valid_example_is_valid(example: Example) -> None:
    assert complaints(example.event_type, example.data) == set()


@pytest.mark.parametrize("example", INVALID, ids=name)
def test_an_invalid_example_is_wrong_exactly_where_it_says(example: Example) -> None:
    assert complaints(example.event_type, example.data) == {example.pointer}


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_an_older_validator_says_the_same(example: Example) -> None:
    assert older_validator(example.event_type).is_valid(example.data) == (example.pointer is None)


@pytest.mark.parametrize("example", VALID, ids=name)
def test_one_member_more_is_too_many_in_every_object(example: Example) -> None:
    for path in objects(example.data):
        found: Any = example.data
        for step in path:
            found = found[step]
        more = changed(example.data, path, {**found, "extra": SENTENCE})
        assert complaints(example.event_type, more) == {"".join(f"/{step}" for step in (*path, "extra"))}


@pytest.mark.parametrize("example", VALID, ids=name)
def test_no_sentence_fits_into_a_routing_fact(example: Example) -> None:
    paths = list(routing_strings(schemas.event_schema(example.event_type), example.data))
    assert paths
    for path in paths:
        assert not validator(example.event_type).is_valid(changed(example.data, path, SENTENCE))


@pytest.mark.parametrize("example", VALID, ids=name)
def test_every_member_that_is_required_is_missed(example: Example) -> None:
    schema: Any = schemas.event_schema(example.event_type)
    for member in schema["required"]:
        less = {key: value for key, value in example.data.items() if key != member}
        assert complaints(example.event_type, less) == {f"/{member}"}


def test_the_valid_requests_show_every_member_of_every_part() -> None:
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
