"""An agency cannot count acts of hers that do not concern it: what it is told goes up with its own grant alone."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from services.consent.handlers.accounts import links
from services.consent.handlers.disclosures.decisions import Sending, decide_sendings
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.handlers.rights.statistics import set_statistics
from services.consent.models import plumbing
from tests.consent.test_authzen import ONE, question
from tests.support.consent import Agency, House, Person
from tests.support.notice_receiver import catch_up, said

Act = Callable[[House, Person, Agency], object]


def allow_and_revoke(house: House, person: Person, other: Agency) -> None:
    grants.revoke_grant(house.context, person.subject, house.allow(person, other))


def restrict_and_lift(house: House, person: Person, other: Agency) -> None:
    for rule in (Rule(agency=other.id), Rule(category="legal"), Rule(sector="police")):
        grants.lift_restriction(house.context, person.subject, grants.restrict(house.context, person.subject, rule))


ELSEWHERE: dict[str, Act] = {
    "allow another agency": lambda house, person, other: house.allow(person, other, "health"),
    "take it back": allow_and_revoke,
    "say never": restrict_and_lift,
    "be counted": lambda house, person, _other: set_statistics(house.context, person.subject, on=True),
    "not be counted": lambda house, person, _other: set_statistics(house.context, person.subject, on=False),
    "revoke what is not there": lambda house, person, other: grants.revoke_all(
        house.context, person.subject, only_to=other.id
    ),
    "make a link code": lambda house, person, _other: links.make_link_code(house.context, person.subject),
}


def told(house: House, agency: Agency, person: Person, grant: UUID) -> dict[str, Any]:
    """Return everything that tells an agency a number of hers, but for tokens, of which it gets a new one each time."""
    opened = house.open(agency, house.envelope(grant)).json()
    answer = house.call(agency, ONE, question(agency, person.ppid)).json()
    [asked] = decide_sendings(
        house.context, [Sending(agency.id, person.ppid, agency.id, "referral", frozenset({"summary"}))]
    )
    assert asked.seal is not None
    tokens = [opened.pop("consent_epoch"), answer["context"].pop("consent_epoch")]
    assert len({len(token) for token in tokens}) == 1
    UUID(opened.pop("ledger"))
    return {"opened": opened, "answer": answer, "sealed": asked.seal.epoch, "notices": catch_up(house, agency)}


@pytest.mark.parametrize("act", ELSEWHERE)
def test_acts_that_concern_others_change_no_answer(house: House, act: str) -> None:
    agency, other = house.agency(), house.agency("health")
    person = house.person(agency)
    name = house.allow(person, agency)
    before, epoch = told(house, agency, person, name), house.epoch(person)
    ELSEWHERE[act](house, person, other)

    assert house.epoch(person) > epoch or act == "make a link code", "or nothing could have been counted"
    assert told(house, agency, person, name) == before


def test_acts_that_concern_an_agency_raise_its_number(house: House) -> None:
    """Its own notices come in order, and an opening tells which of them it has seen."""
    agency = house.agency()
    person = house.person(agency)
    name = house.allow(person, agency, "summary", "health")
    numbers = [told(house, agency, person, name)["opened"]["epoch"]]

    def pause_and_resume() -> None:
        grants.pause(house.context, person.subject)
        grants.resume(house.context, person.subject)

    acts: list[Callable[[], object]] = [
        lambda: grants.restrict(house.context, person.subject, Rule(category="health")),
        pause_and_resume,
    ]
    for act in acts:
        act()
        notices = catch_up(house, agency)
        numbers += [said(claims)["epoch"] for claims in notices]
        now = told(house, agency, person, name)
        assert now["opened"]["epoch"] == now["sealed"] == numbers[-1]

    assert numbers == [1, 2, 3, 4]


def test_second_grant_leaves_the_number_of_the_first(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    first = house.allow(person, agency)
    second = house.allow(person, agency, "health")
    grants.revoke_grant(house.context, person.subject, second)

    assert [said(claims)["epoch"] for claims in catch_up(house, agency)] == [2]
    assert house.open(agency, house.envelope(first)).json()["epoch"] == 1


def test_event_of_an_end_tells_the_number_of_its_grant(house: House) -> None:
    """Her other acts came before, and nobody who reads the topic can count them."""
    agency, other = house.agency(), house.agency()
    person = house.person()
    for _ in range(3):
        allow_and_revoke(house, person, other)
    name = house.allow(person, agency)
    grants.revoke_grant(house.context, person.subject, name)

    table = plumbing.outbox.table
    [row] = house.rows(table, table.c.aggregateid == str(name))
    assert json.loads(row.payload)["epoch"] == 2


def test_openings_count_no_acts_of_others(house: House) -> None:
    """No number in an answer goes up with what everybody does at the hub."""
    agency, other = house.agency(), house.agency("health")
    person, somebody = house.person(agency), house.person()
    name = house.allow(person, agency)

    def numbers() -> dict[str, Any]:
        opened = house.open(agency, house.envelope(name)).json()
        return {member: value for member, value in opened.items() if isinstance(value, int)}

    before = numbers()
    for _ in range(3):
        allow_and_revoke(house, somebody, other)
    assert numbers() == before
