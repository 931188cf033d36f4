"""An event survives each of its forms, and faults are reported without repeating posted values."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import example, given
from hypothesis import strategies as st

from services.common.errors import Fault
from services.common.messaging.cloudevents import (
    ATTRIBUTES,
    MAX_FUTURE,
    Event,
    from_record,
    from_structured,
    to_headers,
    to_value,
)
from tests.support.clocks import NOON

CANARY = "Sample Aspen"
VALID: Mapping[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "agency-a",
    "type": "referral.accepted.v1",
    "subject": "ppid",
    "time": "2026-06-01T08:30:00-03:30",
    "datacontenttype": "application/json",
    "dataschema": "https://fireweed.example/schemas/events/referral.accepted.v1.json",
    "data": {"referral": "r"},
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
}

texts = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128)
hexes = st.text("0123456789abcdef", min_size=32, max_size=32)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(NOON.replace(tzinfo=None, year=2000), NOON.replace(tzinfo=None), timezones=offsets)
events = st.builds(
    Event,
    id=ids,
    source=ids,
    type=st.sampled_from(["referral.accepted.v1", "capacity.declared.v1"]),
    time=instants,
    data=st.dictionaries(texts, json_values, max_size=5),
    key=ids,
    traceparent=st.none() | hexes.map(lambda text: f"00-{text}-{text[:16]}-01"),
)


def as_message(event: Event) -> sdk.KafkaMessage:
    headers = {name: text.encode() for name, text in to_headers(event).items()}
    return sdk.KafkaMessage(headers, event.key, to_value(event))


def as_sdk_event(event: Event) -> CloudEvent:
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time,
        "datacontenttype": "application/json",
        **({"traceparent": event.traceparent} if event.traceparent else {}),
    }
    return CloudEvent(attributes, dict(event.data))


def read(message: sdk.KafkaMessage) -> Event:
    headers = {name: value.decode() for name, value in message.headers.items()}
    return from_record(headers, message.value, str(message.key))


def judge(**changed: Any) -> Event | list[Fault]:
    return from_structured({**VALID, **changed}, NOON)


def faults(**changed: Any) -> list[Fault]:
    found = judge(**changed)
    assert isinstance(found, list)
    return found


@given(events)
def test_an_event_survives_the_bus(event: Event) -> None:
    assert from_record(to_headers(event), to_value(event), event.key) == event


@given(events)
def test_official_sdk_reads_our_records(event: Event) -> None:
    found = sdk.from_binary(as_message(event), JSONFormat())
    assert (found.get_id(), found.get_source(), found.get_type()) == (event.id, event.source, event.type)
    assert found.get_time() == event.time
    assert found.get_data() == event.data
    assert found.get_extension("traceparent") == event.traceparent
    assert found.get_datacontenttype() == "application/json"


@given(events)
def test_binary_record_of_the_official_sdk_is_read(event: Event) -> None:
    message = sdk.to_binary(as_sdk_event(event), JSONFormat(), key_mapper=lambda _event: event.key)
    assert read(message) == event


@given(events)
def test_structured_record_of_the_official_sdk_is_read(event: Event) -> None:
    message = sdk.to_structured(as_sdk_event(event), JSONFormat(), key_mapper=lambda _event: event.key)
    assert read(message) == event


@given(events)
def test_event_posted_with_the_official_sdk_is_read(event: Event) -> None:
    document = json.loads(JSONFormat().write(as_sdk_event(event)))
    assert from_structured(document, NOON) == replace(event, key="")


@given(events, ids)
def test_subject_never_goes_onto_the_bus(event: Event, ppid: str) -> None:
    about = replace(event, subject=ppid)
    assert to_headers(about) == to_headers(event)
    assert to_value(about) == to_value(event)


def test_subject_is_not_in_the_printed_form() -> None:
    assert CANARY not in repr(Event("1", "a", "b.v1", NOON, {}, subject=CANARY))


def test_a_posted_event_is_read_whole() -> None:
    assert judge() == Event(
        id="1",
        source="agency-a",
        type="referral.accepted.v1",
        time=NOON,
        data={"referral": "r"},
        subject="ppid",
        traceparent=VALID["traceparent"],
    )


def test_only_what_cloudevents_requires_is_required() -> None:
    required = {name: VALID[name] for name in ("specversion", "id", "source", "type", "data")}
    assert from_structured(required, NOON) == Event("1", "agency-a", "referral.accepted.v1", NOON, {"referral": "r"})


@pytest.mark.parametrize("name", ["time", "subject", "datacontenttype", "dataschema", "traceparent"])
def test_an_optional_attribute_that_is_null_counts_as_left_out(name: str) -> None:
    without = {other: value for other, value in VALID.items() if other != name}
    assert judge(**{name: None}) == from_structured(without, NOON)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "data"])
def test_a_required_attribute_that_is_left_out_is_named(name: str) -> None:
    less = {other: value for other, value in VALID.items() if other != name}
    found = from_structured(less, NOON)
    assert isinstance(found, list)
    assert [fault.member for fault in found] == [f"/{name}"]


FAULTY: Mapping[str, list[object]] = {
    "specversion": ["0.3", "1", 1.0, None, ["1.0"]],
    "id": ["", "a b", "é", "x" * 129, "a\n", 1, True, None, {}],
    "source": [1, None, ["a"], {}],
    "type": ["", "Referral.Accepted.v1", "referral", "referral.accepted", "referral.accepted.v1\n", "..v1", 1, None],
    "subject": [1, ["ppid"], {}, False, "", "two words", "x" * 65],
    "time": [
        "noon",
        "",
        "2026-06-01",
        "2026-06-01T12:00:00",
        "2026-13-01T00:00:00Z",
        "2026-06-01 12:00:00Z",
        "2026-06-01T12:00Z",
        "20260601T120000Z",
        "2026-W23-1T12:00:00Z",
        "2026-06-01T12:00:00,5Z",
        "2026-06-01T12:00:00+00:00:30",
        1780315200,
        ["2026"],
    ],
    "datacontenttype": [
        "text/plain",
        "application/xml",
        "application/jsonx",
        "application/json charset=utf-8",
        "application/json; charset=latin-1",
        'application/json; charset="utf-16"',
        1,
        "",
    ],
    "dataschema": [1, {}],
    "data": [None, [], "text", 1, True],
    "traceparent": ["", "1", f"01-{'a' * 32}-{'b' * 16}-01", f"00-{'A' * 32}-{'b' * 16}-01", 1],
}


@pytest.mark.parametrize(
    "value",
    [
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json ;charset="UTF-8"',
        "application/json;profile=x",
    ],
)
def test_datacontenttype_is_compared_as_a_media_type(value: str) -> None:
    assert isinstance(judge(datacontenttype=value), Event)


@pytest.mark.parametrize("charset", ["latin-1", '"UTF-16"', "utf-7"])
def test_datacontenttype_of_another_charset_names_the_charset(charset: str) -> None:
    [fault] = faults(datacontenttype=f"application/json; charset={charset}")
    assert (fault.member, fault.detail) == ("/datacontenttype", "Its charset is not UTF-8.")


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in FAULTY.items() for value in values])
def test_a_fault_names_the_attribute_and_what_would_be_accepted(name: str, value: object) -> None:
    found = faults(**{name: value})
    assert [fault.member for fault in found] == [f"/{name}"]
    assert all(fault.detail and fault.accepted for fault in found)


def test_every_fault_is_told_at_once() -> None:
    found = faults(**{name: [CANARY] for name in FAULTY})
    assert sorted(fault.member for fault in found) == sorted(f"/{name}" for name in FAULTY)


def test_unknown_attribute_is_refused_without_repeating_it() -> None:
    found = faults(sampleaspen=CANARY)
    assert len(found) == 1
    assert "sampleaspen" not in str(found)
    assert set((found[0].accepted or "").split(", ")) == ATTRIBUTES


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_at_the_end_of_all_years_is_told_as_a_fault(time: str) -> None:
    assert [fault.member for fault in faults(time=time)] == ["/time"]


@pytest.mark.parametrize("document", [None, [], "text", 1, True, [VALID]])
def test_document_that_is_not_an_object_is_refused(document: object) -> None:
    found = from_structured(document, NOON)
    assert isinstance(found, list)
    assert [fault.member for fault in found] == [""]


def test_a_time_may_be_a_little_ahead_and_no_more() -> None:
    assert isinstance(judge(time=(NOON + MAX_FUTURE).isoformat()), Event)
    found = faults(time=(NOON + MAX_FUTURE + timedelta(microseconds=1)).isoformat())
    assert [(fault.member, fault.detail) for fault in found] == [("/time", "This lies in the future.")]


@pytest.mark.parametrize("time", ["2026-06-01t12:00:00z", "2026-06-01T12:00:00.0000001Z"])
def test_time_is_read_as_rfc_3339_writes_it(time: str) -> None:
    event = judge(time=time)
    assert isinstance(event, Event)
    assert event.time == NOON


def test_leap_second_is_read_as_the_last_microsecond() -> None:
    event = judge(time="2016-12-31T23:59:60Z")
    assert isinstance(event, Event)
    assert event.time.isoformat() == "2016-12-31T23:59:59.999999+00:00"


@pytest.mark.parametrize("time", ["2026-06-01T12:00:00", "2026-06-01 12:00:00Z", "20260601T120000Z"])
def test_record_with_another_time_is_refused(time: str) -> None:
    headers = {**to_headers(Event("1", "a", "b.v1", NOON, {})), "ce_time": time}
    with pytest.raises(ValueError, match="time"):
        from_record(headers, b"{}", "key")


def test_a_time_is_understood_in_any_zone_and_kept_in_utc() -> None:
    event = judge(time="2026-06-01T01:00:00-11:00")
    assert isinstance(event, Event)
    assert (event.time, event.time.tzinfo) == (NOON, UTC)


names = st.sampled_from(sorted(ATTRIBUTES)) | texts | st.just(CANARY.lower().replace(" ", ""))
junk = json_values | st.just(CANARY) | st.lists(st.just(CANARY)) | st.dictionaries(st.just(CANARY), st.just(CANARY))


@given(st.dictionaries(names, junk))
def test_no_fault_ever_repeats_what_was_sent(changed: Mapping[str, Any]) -> None:
    document = {**VALID, **changed, "extension": CANARY, "id": f"{CANARY} {CANARY}"}
    found = from_structured(document, NOON)
    assert isinstance(found, list)
    assert CANARY not in str(found)
    assert CANARY.lower().replace(" ", "") not in str(found)


# An event with a little changed: of documents that are anything, none is ever one.
nearly = st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)), json_values, max_size=2).map(
    lambda some: {**VALID, **some}
)


@example(VALID)
@given(json_values | nearly)
def test_anything_at_all_is_either_an_event_or_told_faults(document: object) -> None:
    assert isinstance(from_structured(document, NOON), Event | list)


@given(st.dictionaries(texts | names.map(lambda name: f"ce_{name}"), texts), st.none() | st.binary(), texts)
def test_record_without_an_event_raises_value_error(headers: Mapping[str, str], value: bytes | None, key: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, the consumer parks it
        from_record({name: text for name, text in headers.items() if name != "ce_id"}, value, key)


def test_a_tombstone_is_not_an_event() -> None:
    with pytest.raises(ValueError, match="tombstone"):
        from_record(to_headers(Event("1", "a", "b.v1", NOON, {})), None, "key")
