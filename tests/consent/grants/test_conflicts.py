"""Test a conflict of interest: the agency where she knows somebody gets nothing and cannot tell, and no person is named."""

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


def test_conflict_restriction_denies_agency_as_if_absent(house: House) -> None:
    agency, other = house.agency(), house.agency()
    person = house.person(agency)
    to_agency, to_other = house.envelope(house.allow(person, agency)), house.envelope(house.allow(person, other))
    made = house.my("POST", "/restrictions", house.session(person), {"agency": agency.id, "reason": WHY})

    assert made.status_code == 201
    closed, never = house.open(agency, to_agency), house.open(agency, "fw1.bmV2ZXI")
    assert (closed.status_code, closed.content) == (404, never.content)
    assert house.open(other, to_other).status_code == 200
    house.allow(person, agency, "legal")
    assert house.open(agency, to_agency).status_code == 404, "a new grant does not reopen it"
    grants.lift_restriction(house.context, person.subject, UUID(made.json()["id"]))
    assert house.open(agency, to_agency).status_code == 200


def test_sealing_answer_is_equal_for_conflict_and_pause(house: House) -> None:
    """The agency where somebody works asks to send about her to another agency."""
    agency, other = house.agency(), house.agency()

    def told(act: Callable[[Person], object], ppid: str | None = None) -> list[object]:
        person = house.person(agency)
        house.allow(person, other)
        statistics.set_statistics(house.context, person.subject, on=True)
        asked = {"to": other.id, "purpose": "referral", "categories": ["summary"]}
        act(person)
        need: dict[str, object] = {"to": None, "purpose": None, "categories": []}
        answers = decisions(
            house, [{"agency": agency.id, "ppid": ppid or person.ppid, **asking} for asking in (asked, need)]
        )
        return [(answer["seal"], answer["statistics"]) for answer in answers]

    paused = told(lambda person: grants.pause(house.context, person.subject))
    closed = told(lambda person: grants.restrict(house.context, person.subject, Rule(agency=agency.id, reason=WHY)))
    unlinked = told(lambda _person: None, ppid="nobody")
    assert closed == paused == unlinked == [(None, None)] * 2


def test_partial_or_unrelated_restriction_stops_no_referral(house: House) -> None:
    """Restrictions of the sender for another category or purpose, and of a third agency, do not matter."""
    agency, other = house.agency(), house.agency("health")
    person = house.person(agency)
    house.allow(person, other)
    asked = {"to": other.id, "purpose": "referral", "categories": ["summary"], "agency": agency.id, "ppid": person.ppid}
    for rule in (
        Rule(agency=agency.id, category="health"),
        Rule(agency=agency.id, purpose="court_support"),
        Rule(agency=house.agency().id, reason=WHY),
    ):
        grants.restrict(house.context, person.subject, rule)
    assert decisions(house, [asked])[0]["seal"]["categories"] == ["summary"]


def test_restriction_with_free_text_is_refused(house: House) -> None:
    """No member takes the name of a person, and a reason is accepted only with an agency alone."""
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


def test_survivor_sees_the_reasons_of_her_restrictions(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    grants.restrict(house.context, person.subject, Rule(agency=agency.id, reason=WHY))
    grants.restrict(house.context, person.subject, Rule(category="health", reason="fear_of_harm"))

    seen = house.my("GET", "/restrictions", house.session(person)).json()["restrictions"]
    assert [row["reason"] for row in seen] == ["fear_of_harm", WHY]
    recorded = [row.detail["reason"] for row in house.ledger(person) if row.kind == "restriction.added"]
    assert recorded == [WHY, "fear_of_harm"]


def test_restriction_with_a_reason_alone_returns_400(house: House) -> None:
    with pytest.raises(Problem, match="400"):
        grants.restrict(house.context, house.person().subject, Rule(reason="fear_of_harm"))
