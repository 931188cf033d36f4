"""Regression tests for failures that were observed in the field's reference consent service."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from services.consent.domain import Grant, Restriction
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.models import grant, restriction
from tests.consent.test_authzen import MANY, ask, question
from tests.support.clocks import NOON
from tests.support.consent import House
from tests.support.decision_strategies import ASKED, PERMITTED, decided

OLD = PERMITTED.grants[0]
SHAPES = [{"code": "summary"}, [{"code": "summary"}], "summary", None, [["summary"]], 5, {}]


def permitted(grants_: Sequence[Grant], restrictions: Sequence[Restriction] = ()) -> frozenset[str]:
    return decided(replace(PERMITTED, grants=grants_, restrictions=restrictions), ASKED).permitted


def test_newer_permit_does_not_override_older_deny(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    grants.restrict(house.context, person.subject, Rule(agency=agency.id))
    house.clock.move(timedelta(minutes=1))
    house.allow(person, agency)

    assert ask(house, agency, person.ppid)["decision"] is False


def test_deny_wins_over_permit_of_same_instant() -> None:
    deny = Restriction(UUID(int=9), agency="shelter")
    for order in permutations([OLD, replace(OLD, id=UUID(int=2))]):
        assert permitted(list(order), [deny]) == frozenset()


@pytest.mark.parametrize("part", ["sector", "category", "purpose"])
def test_deny_with_unknown_code_still_denies(house: House, part: str) -> None:
    agency = house.agency()
    person = house.person(agency)
    house.allow(person, agency)
    name = grants.restrict(house.context, person.subject, Rule(agency=house.agency().id))
    assert ask(house, agency, person.ppid)["decision"] is True
    with house.context.database.transaction() as connection:
        changed = update(restriction).where(restriction.c.id == name)
        connection.execute(changed.values({part: "what-a-newer-hub-wrote"}))

    assert ask(house, agency, person.ppid)["decision"] is False


def spoil(house: House, name: UUID, categories: Any) -> None:
    with house.context.database.transaction() as connection:
        connection.execute(update(grant).where(grant.c.id == name).values(categories=categories))


@pytest.mark.parametrize("shape", SHAPES)
def test_malformed_categories_permit_nothing(house: House, shape: Any) -> None:
    agency = house.agency()
    person = house.person(agency)
    spoil(house, house.allow(person, agency), shape)

    assert ask(house, agency, person.ppid)["decision"] is False
    assert ask(house, agency, person.ppid, "summary", "health")["context"]["permitted"] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_malformed_categories_do_not_block_revocation(house: House, shape: Any) -> None:
    agency = house.agency()
    person = house.person(agency)
    name, other = house.allow(person, agency), house.allow(person, house.agency())
    spoil(house, name, shape)

    session = house.session(person, stepped_up=True)
    for method, path in (("POST", "/pause"), ("POST", "/resume"), ("DELETE", f"/grants/{name}")):
        assert (path, house.my(method, path, session).status_code) == (path, 204)
    left = house.rows(grant, grant.c.subject_id == person.subject, grant.c.ended_at.is_(None))
    assert [row.id for row in left] == [other]


def test_unreadable_grant_expires_and_blocks_no_other(house: House) -> None:
    agency, person, other = house.agency(), house.person(), house.person()
    unreadable, readable = house.allow(person, agency, days=1), house.allow(other, agency, days=2)
    spoil(house, unreadable, None)
    house.clock.move(timedelta(days=3))

    grants.end_lapsed(house.context)
    ended = house.rows(grant, grant.c.id.in_([unreadable, readable]))
    assert [row.end_reason for row in ended] == ["expired", "expired"]


def test_grant_outside_its_period_permits_nothing() -> None:
    over = replace(OLD, valid_until=NOON)

    assert permitted([over]) == frozenset()
    assert permitted([replace(OLD, valid_from=NOON + timedelta(seconds=1))]) == frozenset()


def test_revoking_newest_grant_revives_no_older_one(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    old = house.allow(person, agency, "summary", days=5)
    grants.revoke_grant(house.context, person.subject, old)
    new = house.allow(person, agency, "summary", days=6)
    grants.revoke_grant(house.context, person.subject, new)

    assert ask(house, agency, person.ppid)["decision"] is False


def test_unknown_subject_does_not_shift_other_answers(house: House) -> None:
    agency = house.agency()
    allowed, denied = house.person(agency), house.person(agency)
    house.allow(allowed, agency)
    names = ["nobody", allowed.ppid, denied.ppid]
    for order in permutations(names):
        body = {"evaluations": [question(agency, name) for name in order]}
        told = house.call(agency, MANY, body).json()["evaluations"]
        assert [one["decision"] for one in told] == [name == allowed.ppid for name in order]


def test_decision_reads_restrictions_beyond_first_page(house: House) -> None:
    agency, other = house.agency(), house.agency()
    person = house.person(agency)
    house.allow(person, agency)
    for number in range(60):
        grants.restrict(house.context, person.subject, Rule(agency=house.agency().id if number % 20 == 0 else other.id))
    assert ask(house, agency, person.ppid)["decision"] is True
    grants.restrict(house.context, person.subject, Rule(category="summary"))

    assert ask(house, agency, person.ppid)["decision"] is False


def test_refusal_without_consent_is_in_ledger(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    envelope = house.envelope(name)
    grants.revoke_grant(house.context, person.subject, name)

    assert house.open(agency, envelope).status_code == 404
    assert house.kinds(person)[-1] == "opening.refused"
