"""Test consent requests: agencies may ask but cannot press, each request expires, and her "not now" stays unseen."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts import links
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Answer, Wish
from services.consent.models import consent_request
from tests.support.consent import Agency, House, Person

OPEN = timedelta(days=14)


def ask(house: House, agency: Agency, person: Person, *categories: str, purpose: str = "referral") -> UUID:
    return linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, purpose, categories or ("contact",)))


def test_repeated_consent_request_returns_the_first(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    first = ask(house, agency, person, "contact", "summary")

    assert ask(house, agency, person, "summary", "contact") == first
    assert len(house.rows(consent_request, consent_request.c.subject_id == person.subject)) == 1
    assert house.kinds(person).count("request.made") == 1
    assert ask(house, agency, person, "contact", "summary", purpose="court_support") != first


def test_repeated_request_answers_alike_after_no_and_silence(house: House) -> None:
    """After fourteen days, both survivors can be asked anew."""
    agency = house.agency()
    silent, unwilling = house.person(agency), house.person(agency)
    asked = {person.subject: ask(house, agency, person) for person in (silent, unwilling)}
    grants.answer_request(house.context, unwilling.subject, asked[unwilling.subject], Answer(accept=False))

    for after in (timedelta(0), timedelta(days=13)):
        house.clock.move(after)
        for person in (silent, unwilling):
            assert ask(house, agency, person) == asked[person.subject]
    assert waiting(house, unwilling) == []
    house.clock.move(timedelta(days=1))
    for person in (silent, unwilling):
        assert ask(house, agency, person) != asked[person.subject], "she may be asked again after a while"


def test_consent_request_expires_after_fourteen_days(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    name = ask(house, agency, person)
    house.clock.move(OPEN - timedelta(seconds=1))
    assert waiting(house, person) == [str(name)]
    house.clock.move(timedelta(seconds=1))

    assert waiting(house, person) == []
    for accept in (True, False):
        with pytest.raises(Problem, match="404"):
            grants.answer_request(house.context, person.subject, name, Answer(accept=accept))
    copy = house.copy(person)
    assert [row["id"] for row in copy["requests"]] == [str(name)]


def test_request_after_an_accepted_and_revoked_grant_is_new(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    first = ask(house, agency, person)
    made = grants.answer_request(house.context, person.subject, first, Answer(accept=True))
    assert made is not None
    grants.revoke_grant(house.context, person.subject, made)

    assert ask(house, agency, person) != first


def test_repeated_request_for_another_agency_hides_her_yes(house: House) -> None:
    """The asking agency gets the same answer while she is silent, after her yes and after its revocation."""
    asking, other = house.agency(), house.agency()
    silent, willing = house.person(asking), house.person(asking)
    wish = {"agency": other.id, "purpose": "referral", "categories": ["contact"]}

    def again(person: Person) -> str:
        answer = house.call(asking, "/consent/v1/consent-requests", {"ppid": person.ppid, **wish})
        return str(answer.json()["request"])

    first = {person.subject: again(person) for person in (silent, willing)}
    made = grants.answer_request(house.context, willing.subject, UUID(first[willing.subject]), Answer(accept=True))
    assert made is not None
    assert [again(person) for person in (silent, willing)] == list(first.values())
    grants.revoke_grant(house.context, willing.subject, made)
    assert [again(person) for person in (silent, willing)] == list(first.values())
    assert waiting(house, willing) == [], "she is not asked again either"


def test_sixth_request_in_two_weeks_returns_429(house: House) -> None:
    """Her answers do not matter, an equal request is not counted again, and another agency has its own count."""
    agency, other = house.agency(), house.agency()
    person = house.person(agency)
    known_as = linked_acts.link(house.context, other.id, links.make_link_code(house.context, person.subject).code)
    wishes = ["contact", "summary", "health", "legal", "housing"]
    first = ask(house, agency, person, wishes[0])
    for number, category in enumerate(wishes):
        name = ask(house, agency, person, category)
        if number % 2:
            grants.answer_request(house.context, person.subject, name, Answer(accept=bool(number % 4 == 1)))

    with pytest.raises(Problem) as problem:
        ask(house, agency, person, "family")
    assert (problem.value.status, problem.value.code) == (429, "asked-enough")
    assert ask(house, agency, person, "contact") == first, "an equal request is not a new one"
    linked_acts.ask(house.context, other.id, known_as, Wish(other.id, "referral", ["family"]))
    house.clock.move(OPEN)
    ask(house, agency, person, "family")


def test_concurrent_equal_requests_are_stored_once(house: House) -> None:
    agency = house.agency()
    person, ready = house.person(agency), threading.Barrier(5)

    def try_it() -> UUID:
        ready.wait()
        return ask(house, agency, person)

    with ThreadPoolExecutor(5) as pool:
        names = {future.result() for future in [pool.submit(try_it) for _ in range(5)]}
    assert len(names) == 1
    assert len(house.rows(consent_request, consent_request.c.subject_id == person.subject)) == 1


def waiting(house: House, person: Person) -> list[Any]:
    return [row["id"] for row in house.my("GET", "/requests", house.session(person)).json()["requests"]]
