"""Someone she knows works there: that agency gets nothing at all, nobody is named, and nobody there can tell."""

from collections.abc import Callable
from uuid import UUID

import pytest

from services.common.errors import Problem
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.handlers.rights import statistics
from services.consent.models import restriction
from tests.consent.test_agencies import decisions
from tests.support.consent import House, Person

WHY = "someone_works_there"


def test_an_agency_where_someone_works_gets_nothing_and_it_looks_like_absent(house: House) -> None:
    agency, other = house.agency(), house.agency()
    person = house.person(agency)
    mine, others = house.envelope(house.allow(person, agency)), house.envelope(house.allow(person, other))
    made = house.my("POST", "/restrictions", house.session(person), {"agency": agency.id, "reason": WHY})

    assert made.status_code == 201
    closed, never = house.open(agency, mine), house.open(agency, "fw1.bmV2ZXI")
    assert (closed.status_code, closed.content) == (404, never.content)
    assert house.open(other, others).status_code == 200
    house.allow(person, agency, "legal")
    assert house.open(agency, mine).status_code == 404, "a new grant does not reopen it"
    grants.lift_restriction(house.context, person.subject, UUID(made.json()["id"]))
    assert house.open(agency, mine).status_code == 200


def test_by_what_may_be_sealed_for_others_nobody_there_can_tell_a_conflict_from_a_pause(house: House) -> None:
    agency, other = house.agency(), house.agency()

    def told(act: Callable[[Person], object]) -> list[object]:
        person = house.person(agency)
        house.allow(person, other)
        statistics.set_statistics(house.context, person.subject, on=True)
        asked = {"to": other.id, "purpose": "referral", "categories": ["summary"]}
        act(person)
        need: dict[str, object] = {"to": None, "purpose": None, "categories": []}
        answers = decisions(house, [{"agency": agency.id, "ppid": person.ppid, **asking} for asking in (asked, need)])
        return [(answer["linked"], answer["seal"], answer["statistics"] is None) for answer in answers]

    paused = told(lambda person: grants.pause(house.context, person.subject))
    closed = told(lambda person: grants.restrict(house.context, person.subject, Rule(agency=agency.id, reason=WHY)))
    assert closed == paused == [(True, None, False)] * 2


def test_what_she_keeps_from_one_agency_only_in_part_or_from_others_stops_no_referral(house: House) -> None:
    agency, other = house.agency(), house.agency("health")
    person = house.person(agency)
    house.allow(person, other)
    asked = {"to": other.id, "purpose": "referral", "categories": ["summary"], "agency": agency.id, "ppid": person.ppid}
    for rule in (
        Rule(agency=agency.id, category="summary"),
        Rule(agency=agency.id, purpose="referral"),
        Rule(agency=house.agency().id, reason=WHY),
    ):
        grants.restrict(house.context, person.subject, rule)
    assert decisions(house, [asked])[0]["seal"]["categories"] == ["summary"]


def test_no_name_of_anybody_has_room_in_it(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    token = house.session(person)
    for body, status, member in (
        ({"agency": "Sample Birch", "reason": WHY}, 400, "/agency"),
        ({"agency": agency.id, "reason": "Sample Birch works there"}, 400, "/reason"),
        ({"agency": agency.id, "reason": WHY, "who": "Sample Birch"}, 422, ""),
        ({"reason": WHY}, 400, ""),
        ({"agency": agency.id, "category": "health", "reason": WHY}, 400, ""),
        ({"sector": "health", "reason": WHY}, 400, ""),
    ):
        answer = house.my("POST", "/restrictions", token, body)
        assert (answer.status_code, answer.json()["errors"][0]["member"]) == (status, member), body
        assert "Birch" not in answer.text
    assert house.rows(restriction, restriction.c.subject_id == person.subject) == []


def test_she_alone_sees_why(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    grants.restrict(house.context, person.subject, Rule(agency=agency.id, reason=WHY))
    grants.restrict(house.context, person.subject, Rule(category="health", reason="fear_of_harm"))

    seen = house.my("GET", "/restrictions", house.session(person)).json()["restrictions"]
    assert [row["reason"] for row in seen] == ["fear_of_harm", WHY]
    lines = [row.detail["reason"] for row in house.ledger(person) if row.kind == "restriction.added"]
    assert lines == [WHY, "fear_of_harm"]


def test_a_reason_alone_forbids_nothing(house: House) -> None:
    with pytest.raises(Problem, match="400"):
        grants.restrict(house.context, house.person().subject, Rule(reason="fear_of_harm"))
