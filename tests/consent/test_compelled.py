"""Test records of disclosures that a law compelled: she sees each record, or that it is sealed and until when."""

from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from services.common.encoding import canonical
from services.consent.handlers.agencies import compelled as compelling
from services.consent.handlers.agencies.compelled import unseal_due
from services.consent.models import compelled, grant
from tests.support.clocks import NOON
from tests.support.consent import Agency, House, Person

APPROVERS = [{"initials": "AS", "role": "director"}, {"initials": "BT", "role": "privacy_officer"}]
TODAY = NOON.date()


def body(person: Person, **changed: Any) -> dict[str, Any]:
    told = {
        "ppid": person.ppid,
        "basis": "court_order",
        "authority": "court",
        "categories": ["health", "identity"],
        "disclosed_on": TODAY.isoformat(),
        "approvers": APPROVERS,
    }
    return {name: value for name, value in {**told, **changed}.items() if value is not None}


def record(house: House, agency: Agency, person: Person, **changed: Any) -> Any:
    return house.call(agency, "/consent/v1/compelled-disclosures", body(person, **changed))


def days(number: int) -> str:
    return (TODAY + timedelta(days=number)).isoformat()


def seen(house: House, person: Person) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = house.my("GET", "/compelled", house.session(person)).json()["records"]
    return told


def test_survivor_reads_whole_compelled_record_and_ledger_entry(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    made = record(house, agency, person)

    assert made.status_code == 201
    [shown] = seen(house, person)
    expected = {
        "id": made.json()["record"],
        "agency": agency.id,
        "basis": "court_order",
        "authority": "court",
        "categories": ["health", "identity"],
        "disclosed_on": TODAY.isoformat(),
        "approvers": ["AS director", "BT privacy_officer"],
        "sealed_until": None,
        "recorded_at": NOON.isoformat(),
    }
    assert {name: value for name, value in shown.items() if name != "salt"} == expected
    entry = house.ledger(person)[-1]
    assert (entry.kind, entry.agency, entry.detail["record"]) == ("compelled.recorded", agency.id, shown["id"])
    assert entry.detail["approvers"] == expected["approvers"]


def test_sealed_record_shows_only_that_it_exists_and_its_end(house: House) -> None:
    """The content appears when the day of `sealed_until` begins, and not before."""
    agency = house.agency()
    person = house.person(agency)
    name = record(house, agency, person, sealed_until=days(10)).json()["record"]

    sealed = {"id": name, "recorded_at": NOON.isoformat(), "sealed_until": days(10)}
    assert seen(house, person) == [sealed]
    entry = house.ledger(person)[-1]
    assert (entry.kind, entry.agency) == ("compelled.sealed", None)
    assert entry.detail.keys() == {"record", "sealed_until", "sha256"}
    copy = str(house.copy(person))
    assert "court_order" not in copy
    assert copy.count(agency.id) == 2, "only that it knows her and registered her"
    house.clock.move(timedelta(days=10) - timedelta(hours=12, seconds=1))
    assert seen(house, person) == [sealed]
    assert unseal_due(house.context) == 0
    house.clock.move(timedelta(seconds=1))
    assert seen(house, person)[0]["basis"] == "court_order"


def test_unsealed_entry_matches_hash_of_sealed_entry(house: House) -> None:
    """The hash of the sealed entry proves that the record was not changed while sealed."""
    agency = house.agency()
    person = house.person(agency)
    record(house, agency, person, sealed_until=days(1))
    house.clock.move(timedelta(days=1))
    unseal_due(house.context)
    unseal_due(house.context)

    sealed, shown = house.ledger(person)[-2:]
    assert (sealed.kind, shown.kind) == ("compelled.sealed", "compelled.unsealed")
    content = {name: value for name, value in shown.detail.items() if name != "record"}
    assert sha256(canonical([shown.agency, content])).hexdigest() == sealed.detail["sha256"]
    assert len(content["salt"]) == 32, "without a salt, a reader of the entry could guess its few possible contents"
    assert house.kinds(person).count("compelled.unsealed") == 1


@pytest.mark.parametrize("member", ["disclosed_on", "sealed_until"])
@pytest.mark.parametrize("day", [86_400, "20260601", "2026-W23-1", "2026-06-01T00:00:00Z", "\uff12026-06-01"])
def test_day_outside_rfc_3339_returns_422(house: House, member: str, day: object) -> None:
    agency = house.agency()
    answer = record(house, agency, house.person(agency), **{member: day})
    assert (answer.status_code, [fault["member"] for fault in answer.json()["errors"]]) == (422, [f"/{member}"])


@pytest.mark.parametrize(
    ("changed", "member"),
    [
        ({"basis": "we_wanted_to"}, "/basis"),
        ({"authority": "a friend"}, "/authority"),
        ({"categories": ["everything"]}, "/categories"),
        ({"disclosed_on": days(1)}, "/disclosed_on"),
        ({"approvers": [APPROVERS[0], APPROVERS[0]]}, "/approvers"),
        ({"approvers": [APPROVERS[0], {"initials": "AS", "role": "legal_counsel"}]}, "/approvers"),
        ({"approvers": [APPROVERS[0], {"initials": "BT", "role": "friend"}]}, "/approvers"),
        ({"sealed_until": days(0)}, "/sealed_until"),
        ({"sealed_until": days(91)}, "/sealed_until"),
        ({"basis": "child_protection_duty", "sealed_until": days(5)}, "/sealed_until"),
    ],
)
def test_invalid_compelled_record_returns_400_naming_the_member(
    house: House, changed: dict[str, Any], member: str
) -> None:
    agency = house.agency()
    person = house.person(agency)
    answer = record(house, agency, person, **changed)

    assert (answer.status_code, [fault["member"] for fault in answer.json()["errors"]]) == (400, [member])
    assert house.rows(compelled, compelled.c.subject_id == person.subject) == []
    assert house.kinds(person) == ["registered"]


@pytest.mark.parametrize(
    "changed",
    [
        {"approvers": APPROVERS[:1]},
        {"approvers": [*APPROVERS, {"initials": "CM", "role": "director"}]},
        {"approvers": [APPROVERS[0], {"initials": "We know where you are", "role": "director"}]},
        {"approvers": None},
        {"categories": []},
        {"note": "Please call us."},
    ],
)
def test_malformed_compelled_record_returns_422(house: House, changed: dict[str, Any]) -> None:
    """An agency can send her codes and initials only: no text of its own reaches her."""
    agency = house.agency()
    assert record(house, agency, house.person(agency), **changed).status_code == 422


def test_compelled_record_by_unlinked_agency_returns_404(house: House) -> None:
    agency, other = house.agency(), house.agency()
    person = house.person(agency)
    foreign = record(house, other, person)
    absent = house.call(other, "/consent/v1/compelled-disclosures", body(person, ppid="nobody"))

    assert (foreign.status_code, foreign.content) == (404, absent.content)
    assert seen(house, person) == []


def test_repeated_compelled_record_is_stored_once(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    first, again = record(house, agency, person), record(house, agency, person)

    assert first.json() == again.json()
    assert record(house, agency, person, sealed_until=days(3)).json() != first.json()
    assert house.kinds(person) == ["registered", "compelled.recorded", "compelled.sealed"]


@pytest.mark.parametrize("basis", ["court_order", "warrant", "child_protection_duty", "imminent_harm_duty"])
def test_compelled_record_opens_and_permits_nothing(house: House, basis: str) -> None:
    agency, receiving = house.agency(), house.agency("police")
    person, other = house.person(agency), house.person(agency)
    ended = house.allow(person, receiving, "health", "identity", "summary")
    envelope = house.envelope(ended)
    house.my("DELETE", f"/grants/{ended}", house.session(person))
    before = house.epoch(person)
    assert record(house, agency, person, basis=basis, authority="police").status_code == 201

    for one in (agency, receiving):
        assert house.open(one, envelope).status_code == 404
    assert house.epoch(person) == before, "a record does not change her consent"
    assert [row.ended_at is None for row in house.rows(grant, grant.c.subject_id == person.subject)] == [False]
    assert record(house, agency, other, basis=basis).status_code == 201
    assert house.rows(grant, grant.c.subject_id == other.subject) == []


def test_sixth_record_about_one_survivor_in_a_day_is_refused(house: House) -> None:
    """So no agency can flood her ledger with entries that nobody may refuse."""
    agency = house.agency()
    person = house.person(agency)
    made = [record(house, agency, person, disclosed_on=days(-back)) for back in range(6)]
    assert [answer.status_code for answer in made] == [201, 201, 201, 201, 201, 429]
    assert made[-1].json()["type"].endswith("too-many-records")
    assert made[-1].headers["retry-after"] == "86400"

    assert record(house, agency, person).json() == made[0].json()
    assert record(house, agency, house.person(agency)).status_code == 201
    house.clock.move(timedelta(days=1, seconds=1))
    tomorrow = body(person)
    approvers = [compelling.Approver(**one) for one in tomorrow.pop("approvers")]
    del tomorrow["ppid"]
    made_then = compelling.Record(**tomorrow | {"disclosed_on": TODAY - timedelta(days=5), "approvers": approvers})
    compelling.record(house.context, agency.id, person.ppid, made_then)
    assert len(seen(house, person)) == 6
