"""Data is validated by its schema; each fault has a place, a reason and the accepted values, never the posted one."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from services.common.errors import Fault
from services.common.http.app import MAX_DEPTH
from services.common.messaging import contracts
from tests.schemas.contract import Example, changed, examples, objects

EXAMPLES = list(examples())
VALID = [example for example in EXAMPLES if example.pointer is None]
INVALID = [example for example in EXAMPLES if example.pointer is not None]
CANARY = "Sample Aspen, of 12 Canary Lane"

Path = tuple[str | int, ...]


def name(example: Example) -> str:
    return f"{example.event_type}/{example.name}"


def strings(value: object, at: Path = ()) -> Iterator[Path]:
    """Yield the path of each string in some data."""
    if isinstance(value, str):
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        yield from strings(part, (*at, step))


def places(value: object, at: Path = ()) -> Iterator[Path]:
    """Yield the path of every value in some data."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        yield from places(part, (*at, step))


def told(found: list[Fault]) -> str:
    return " ".join(str(fault.as_json()) for fault in found)


@pytest.mark.parametrize("example", VALID, ids=name)
def test_valid_data_has_no_faults(example: Example) -> None:
    assert contracts.faults(example.event_type, example.data) == []


@pytest.mark.parametrize("example", INVALID, ids=name)
def test_a_fault_names_place_reason_and_what_would_be_accepted(example: Example) -> None:
    found = contracts.faults(example.event_type, example.data)
    assert found
    for fault in found:
        assert f"/data{example.pointer}".startswith(fault.member)
        assert fault.member.startswith("/data")
        assert fault.detail != "Not as the schema asks."
        assert fault.accepted


@pytest.mark.parametrize("event_type", schemas.event_types())
def test_a_member_that_is_missing_is_named(event_type: str) -> None:
    example = next(example for example in VALID if example.event_type == event_type)
    schema: Any = schemas.event_schema(event_type)
    for member in schema["required"]:
        less = {key: value for key, value in example.data.items() if key != member}
        assert f"/data/{member}" in [fault.member for fault in contracts.faults(event_type, less)]


@pytest.mark.parametrize("example", VALID, ids=name)
def test_a_member_too_many_is_told_without_its_name(example: Example) -> None:
    for path in objects(example.data):
        found: Any = example.data
        for step in path:
            found = found[step]
        more: Any = changed(example.data, path, {**found, "sampleaspen": CANARY})
        faults = contracts.faults(example.event_type, more)
        place = "".join(f"/{step}" for step in ("data", *path))
        assert [(fault.member, fault.detail) for fault in faults] == [(place, "There is a member too many here.")]
        assert set((faults[0].accepted or "").split(", ")) >= set(found)
        assert "sampleaspen" not in told(faults)


@pytest.mark.parametrize("example", VALID, ids=name)
def test_no_string_is_repeated_wherever_it_is_wrong(example: Example) -> None:
    for path in strings(example.data):
        for wrong in ([CANARY], {CANARY: CANARY}, CANARY * 1000):
            faults = contracts.faults(example.event_type, changed(example.data, path, wrong))  # type: ignore[arg-type]
            assert faults
            assert CANARY not in told(faults)


@settings(max_examples=150, deadline=None)
@given(example=st.sampled_from(VALID), canary=st.text("xyz<>é ", min_size=12, max_size=20), draw=st.data())
def test_whatever_is_wrong_no_sent_value_is_repeated(example: Example, canary: str, draw: st.DataObject) -> None:
    wrongs = [canary, [canary], {canary: canary}, {"parts": canary}, canary * 5000, 1e300, None, True]
    data: Any = example.data
    for _time in range(draw.draw(st.integers(1, 4))):
        path = draw.draw(st.sampled_from([path for path in places(data) if path] or [("parts",)]))
        data = changed(data, path, draw.draw(st.sampled_from(wrongs)))
    for fault in contracts.faults(example.event_type, data):
        assert fault.member.startswith("/data")
        assert canary not in told([fault])


@settings(max_examples=100, deadline=None)
@given(event_type=st.sampled_from(schemas.event_types()), depth=st.integers(1, MAX_DEPTH))
def test_data_of_any_allowed_depth_gets_its_faults(event_type: str, depth: int) -> None:
    deep: Any = CANARY
    for _level in range(depth):
        deep = {"parts": deep}
    faults = contracts.faults(event_type, deep)
    assert faults
    assert CANARY not in told(faults)


def lists(schema: object) -> Iterator[dict[str, Any]]:
    """Yield the schema of each list in a schema."""
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    if isinstance(schema, dict) and schema.get("type") == "array":
        yield schema
    for part in inner:
        yield from lists(part)


def test_only_the_start_of_a_far_too_long_list_is_validated() -> None:
    [data] = [example.data for example in VALID if name(example) == "capacity.declared.v1/valid-beds"]
    found = contracts.faults("capacity.declared.v1", {**data, "flags": [CANARY] * 1000})
    assert ("/data/flags", "Too many.") in [(fault.member, fault.detail) for fault in found]
    assert len(found) <= contracts.BEGINNING + 2


def test_every_allowed_list_is_validated_whole() -> None:
    own = {schemas.event_schema(kind)["$id"] for kind in set(schemas.event_types()) - contracts.posted_types()}
    posted = [
        document for address, document in schemas.documents().items() if address not in own and "/events/" in address
    ]
    parts = [document for address, document in schemas.documents().items() if "/parts/" in address]
    assert all(each["maxItems"] < contracts.BEGINNING for each in lists([*posted, *parts]))


def test_fault_far_on_in_a_long_list_is_reported() -> None:
    names = [*(letter * 26 for letter in "abcdefghijklmnopqrst"), CANARY]
    found = contracts.faults("statistics.withdrawn.v1", {"pseudonyms": names})
    assert {fault.member for fault in found} == {"/data/pseudonyms/20"}


def test_every_posted_type_has_a_topic_and_a_kind_of_subject() -> None:
    assert contracts.posted_types() == set(schemas.event_types("agency"))
    for event_type in schemas.event_types():
        assert contracts.topic(event_type).endswith(".v1")
        assert contracts.needs_subject(event_type) in {True, False}


def test_a_type_nobody_knows_has_no_topic() -> None:
    with pytest.raises(KeyError):
        contracts.topic("referral.invented.v1")


def keywords(schema: object) -> Iterator[str]:
    """Yield every keyword of a schema that validates one value by itself."""
    if isinstance(schema, list):
        for part in schema:
            yield from keywords(part)
    for keyword, value in schema.items() if isinstance(schema, dict) else ():
        yield keyword
        inner = value.values() if keyword == "properties" else [value]
        for part in inner:
            yield from keywords(part)


def test_every_schema_keyword_has_a_message() -> None:
    silent = {"properties", "items", "const", "title", "description", "$id", "$ref", "$schema"}
    used = {keyword for document in schemas.documents().values() for keyword in keywords(document)}
    judging = {keyword for keyword in used if not keyword.startswith("x-")} - silent
    assert judging <= set(contracts._REASONS)
