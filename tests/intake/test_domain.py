"""Rules for posted events: every fault names its member, and none repeats a posted value."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import schemas
from services.common.errors import Fault
from services.common.messaging import contracts
from services.common.messaging.cloudevents import Event
from services.intake.domain import STARTS_A_THREAD, Result, faults_of, parts_told, thread_of
from tests.support.clocks import NOON

ME, OTHER = "agency-aaaaaaaaaa", "agency-bbbbbbbbbb"
EXAMPLES = Path(schemas.__file__).parent / "examples"
REFERRAL = "0192f0c1-5b7e-7a30-8c11-2f64d1a0b9e3"
POSTED = sorted(contracts.posted_types())


def valid_data(event_type: str) -> dict[str, Any]:
    example = min((EXAMPLES / event_type).glob("valid-*.json"))
    data: dict[str, Any] = json.loads(example.read_text("utf-8"))
    return data


def make(event_type: str, data: dict[str, Any] | None = None, source: str = ME, subject: str | None = "") -> Event:
    """Return a valid event, except where a test changes it; "" stands for the subject that the type needs."""
    needed = "ppid-of-sample-aspen" if contracts.needs_subject(event_type) else None
    given = needed if subject == "" else subject
    return Event("e1", source, event_type, NOON, valid_data(event_type) if data is None else data, subject=given)


def members(faults: list[Fault]) -> list[str]:
    return [fault.member for fault in faults]


@pytest.mark.parametrize("event_type", POSTED)
def test_the_example_of_each_posted_type_has_no_fault(event_type: str) -> None:
    assert faults_of(make(event_type), ME, NOON) == []


@pytest.mark.parametrize("event_type", sorted(set(schemas.event_types()) - set(POSTED)))
def test_a_type_of_the_hubs_own_services_may_not_be_posted(event_type: str) -> None:
    [fault] = faults_of(make(event_type, source="intake"), ME, NOON)
    assert fault.member == "/type"
    assert fault.accepted == ", ".join(POSTED)
    assert event_type not in fault.detail


@pytest.mark.parametrize("event_type", POSTED)
def test_an_event_of_somebody_elses_is_refused_whatever_its_type(event_type: str) -> None:
    assert members(faults_of(make(event_type, source=OTHER), ME, NOON)) == ["/source"]


@pytest.mark.parametrize("event_type", [name for name in POSTED if contracts.needs_subject(name)])
def test_an_event_about_a_person_must_say_about_whom(event_type: str) -> None:
    assert members(faults_of(make(event_type, subject=None), ME, NOON)) == ["/subject"]


@pytest.mark.parametrize("event_type", [name for name in POSTED if not contracts.needs_subject(name)])
def test_an_event_about_nobody_may_not_name_anybody(event_type: str) -> None:
    [fault] = faults_of(make(event_type, subject="ppid-of-sample-aspen"), ME, NOON)
    assert fault.member == "/subject"
    assert "ppid-of-sample-aspen" not in str(fault)


def test_only_sealed_or_counted_events_name_a_person() -> None:
    assert [name for name in POSTED if contracts.needs_subject(name)] == ["need.recorded.v1", "referral.requested.v1"]


def test_an_agency_cannot_refer_to_itself() -> None:
    data = valid_data("referral.requested.v1") | {"to": ME}
    [fault] = faults_of(make("referral.requested.v1", data), ME, NOON)
    assert (fault.member, fault.accepted) == ("/data/to", "another agency's id")


def test_every_fault_of_an_event_is_told_at_once() -> None:
    data = valid_data("referral.requested.v1") | {"to": ME, "need": "sleep", "stage": 7}
    found = members(faults_of(make("referral.requested.v1", data, source=OTHER, subject=None), ME, NOON))
    assert sorted(found) == ["/data/need", "/data/stage", "/data/to", "/source", "/subject"]


def test_missing_member_is_named_with_all_required_ones() -> None:
    data = valid_data("referral.requested.v1")
    del data["urgency"]
    [fault] = faults_of(make("referral.requested.v1", data), ME, NOON)
    assert fault == Fault("/data/urgency", "Missing.", "every one of: to, purpose, need, stage, region, urgency, parts")


@pytest.mark.parametrize(
    ("place", "part", "member"),
    [
        ("data", {"her_friends_name": "Sample Birch"}, "/data"),
        ("parts", {"diary": {"text": "Sample Birch"}}, "/data/parts"),
        ("summary", {"Sample Birch": "a name as a name"}, "/data/parts/summary"),
    ],
)
def test_unknown_member_is_refused_without_repeating_it(place: str, part: dict[str, Any], member: str) -> None:
    data = valid_data("referral.requested.v1")
    data["parts"]["summary"] = {"text": "Sample Aspen's words."}
    {"data": data, "parts": data["parts"], "summary": data["parts"]["summary"]}[place].update(part)
    [fault] = faults_of(make("referral.requested.v1", data), ME, NOON)
    assert fault.member == member
    assert fault.accepted
    assert not [word for word in ("Birch", *part) if word in str(fault)]


@pytest.mark.parametrize("event_type", POSTED)
def test_thread_is_the_referral_or_offer_that_is_named(event_type: str) -> None:
    data = valid_data(event_type)
    named = [data[name] for name in ("referral", "offer") if name in data]
    assert thread_of(make(event_type)) == (named[0] if named else None)
    assert len(named) <= 1


def test_event_that_begins_a_thread_has_none() -> None:
    assert {"referral.requested.v1", "offer.opened.v1"} == STARTS_A_THREAD
    assert [thread_of(make(event_type)) for event_type in sorted(STARTS_A_THREAD)] == [None, None]


@pytest.mark.parametrize(
    ("until", "is_taken"),
    [
        (NOON, False),
        (NOON - timedelta(days=400), False),
        (NOON + timedelta(seconds=1), True),
        (NOON + timedelta(days=30), True),
        (NOON + timedelta(days=30, seconds=1), False),
    ],
)
def test_claim_of_a_place_ends_within_thirty_days(until: datetime, is_taken: bool) -> None:
    data = {**valid_data("offer.claimed.v1"), "until": until.isoformat()}
    found = [fault.member for fault in faults_of(make("offer.claimed.v1", data), ME, NOON)]
    assert found == ([] if is_taken else ["/data/until"])


def test_parts_told_lists_sealed_and_withheld_categories() -> None:
    parts: dict[str, Any] = {"summary": {}, "health": {}, "housing": {}}
    told = parts_told(parts, frozenset({"summary", "housing", "legal"}))
    assert told == {"health": "withheld", "housing": "sealed", "summary": "sealed"}


def test_a_result_leaves_out_what_it_has_not() -> None:
    assert Result("e1", "accepted").as_json() == {"id": "e1", "status": "accepted", "parts": {}}
    fault = Fault("/type", "Not a type.")
    full = Result("e1", "rejected", {"summary": "withheld"}, "invalid", REFERRAL, (fault,)).as_json()
    assert full["reason"] == "invalid"
    assert full["thread"] == REFERRAL
    assert full["errors"] == [{"member": "/type", "detail": "Not a type."}]


@pytest.mark.parametrize("as_of", ["2999-01-01T00:00:00Z", "2026-01-01T23:59:60Z", "0000-01-01T00:00:00Z"])
def test_capacity_is_declared_of_a_time_that_has_been(as_of: str) -> None:
    data = valid_data("capacity.declared.v1") | {"as_of": as_of}
    assert members(faults_of(make("capacity.declared.v1", data), ME, NOON)) == ["/data/as_of"]


def test_no_more_can_be_free_than_there_is() -> None:
    data = valid_data("capacity.declared.v1") | {"total": 3, "available": 4}
    assert members(faults_of(make("capacity.declared.v1", data), ME, NOON)) == ["/data/available"]


def test_no_more_can_be_trained_than_there_are() -> None:
    data = valid_data("training.attested.v1") | {"units_total": 3, "units_trained": 4}
    assert members(faults_of(make("training.attested.v1", data), ME, NOON)) == ["/data/units_trained"]
    assert faults_of(make("training.attested.v1", data | {"units_trained": 3}), ME, NOON) == []
