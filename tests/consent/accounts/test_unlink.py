"""Unlinking: an agency's ppid dies, what she allowed it ends, and a new code gives it another ppid."""

import json
from uuid import uuid4

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts import links
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants import age_bands
from services.consent.models import grant, link
from tests.support.consent import Agency, House, Person

pytestmark = pytest.mark.usefixtures("quick_secrets")


@pytest.fixture
def agency(house: House) -> Agency:
    return house.agency("health")


@pytest.fixture
def person(house: House, agency: Agency) -> Person:
    return house.person(agency)


def test_unlinked_ppid_is_like_one_that_never_was(house: House, agency: Agency, person: Person) -> None:
    links.unlink(house.context, person.subject, agency.id)
    assert house.rows(link, link.c.subject_id == person.subject) == []
    told = [house.call(agency, "/consent/v1/revocations", {"ppid": ppid}) for ppid in (person.ppid, "a" * 26)]
    assert {(answer.status_code, answer.content) for answer in told} == {(404, told[0].content)}


def test_unlinking_ends_its_grants_and_no_others(house: House, agency: Agency, person: Person) -> None:
    own, kept = house.allow(person, agency), house.allow(person, house.agency())
    links.unlink(house.context, person.subject, agency.id)
    ended = {row.id: row.end_reason for row in house.rows(grant, grant.c.subject_id == person.subject)}
    assert ended == {own: "revoked", kept: None}
    assert house.kinds(person)[-3:] == ["grant.ended", "key.destroyed", "unlinked"]


def test_unlinking_lets_its_referrals_stand_still(house: House, agency: Agency, person: Person) -> None:
    kept = house.allow(person, house.agency())
    links.unlink(house.context, person.subject, agency.id)
    with house.context.database.reading() as connection:
        rows = house.context.outbox.oldest(connection, 0, 100_000)
    told = [json.loads(row.payload) for row in rows if row.type == "sender.shut_out.v1"]
    assert {"agency": agency.id, "grant": str(kept), "shut_out": True} in told


def test_new_code_gives_another_ppid(house: House, agency: Agency, person: Person) -> None:
    links.unlink(house.context, person.subject, agency.id)
    code = links.make_link_code(house.context, person.subject).code
    assert linked_acts.link(house.context, agency.id, code) != person.ppid


def test_agency_that_does_not_know_her_returns_404(house: House, person: Person) -> None:
    stranger = house.agency()
    with pytest.raises(Problem, match="404"):
        links.unlink(house.context, person.subject, stranger.id)
    assert "unlinked" not in house.kinds(person)


def test_json_lists_and_unlinks(house: House, agency: Agency, person: Person) -> None:
    token = house.session(person)
    assert house.my("GET", "/links", token).json() == {"agencies": [agency.id]}
    assert house.my("DELETE", f"/links/{agency.id}", token).status_code == 204
    assert house.my("DELETE", f"/links/{agency.id}", token).status_code == 404
    assert house.my("GET", "/links", token).json() == {"agencies": []}


@pytest.mark.parametrize("agree", [True, False])
def test_unlinked_agency_gives_no_second_look(house: House, agree: bool) -> None:
    """It kept the id of what it was asked about while it knew her."""
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = house.person(advocate)
    age_bands.restate(house.context, advocate.id, person.ppid, "under_16")
    name = house.allow(person, clinic)
    path = "/consent/v1/second-looks"
    assert [look["id"] for look in house.call(advocate, path, None, "GET").json()["waiting"]] == [str(name)]
    links.unlink(house.context, person.subject, advocate.id)

    asked = [house.call(advocate, f"{path}/{one}", {"agree": agree}) for one in (name, uuid4())]
    assert {(answer.status_code, answer.content) for answer in asked} == {(404, asked[0].content)}
    assert house.call(advocate, path, None, "GET").json() == {"waiting": []}
    assert house.rows(grant, grant.c.subject_id == person.subject) == []
    assert "look.ended" not in house.kinds(person)
