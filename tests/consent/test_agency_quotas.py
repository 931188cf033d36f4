"""One agency cannot take the places of the others, and what it is refused costs it a budget."""

from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from services.common.envelope import read, write
from services.common.errors import Problem
from services.consent.agency_quotas import RefusalBudget, SharedPlaces
from services.consent.handlers.grants import grants
from services.consent.models import ledger_entry
from tests.consent.disclosures.test_batches import NOTHING, PATH, allowed, open_all
from tests.consent.disclosures.test_openings import NEVER
from tests.support.clocks import StillClock
from tests.support.consent import House


def taken(places: SharedPlaces, held: ExitStack, agency: str, tries: int = 100) -> int:
    """Take as many places as an agency gets; return how many."""
    got = 0
    with suppress(Problem):
        while got < tries:
            held.enter_context(places.hold(agency))
            got += 1
    return got


@pytest.mark.parametrize(("number", "most"), [(24, 8), (4, 2), (1, 1)])
def test_agency_alone_gets_a_third_of_places(number: int, most: int) -> None:
    places = SharedPlaces(number)
    with ExitStack() as held:
        assert taken(places, held, "a") == most
        assert places.free == number - most
    assert places.free == number
    with ExitStack() as held:
        assert taken(places, held, "a") == most


@pytest.mark.parametrize("greedy", range(1, 7))
def test_greedy_agencies_leave_place_for_newcomer(greedy: int) -> None:
    places = SharedPlaces(24)
    with ExitStack() as held:
        for name in range(greedy):
            taken(places, held, f"greedy {name}")
        assert taken(places, held, "newcomer", 1) == 1


def test_holder_of_many_is_refused_before_others() -> None:
    places = SharedPlaces(24)
    with ExitStack() as held:
        had = taken(places, held, "many", 6)
        for name in range(9):
            assert taken(places, held, f"other {name}", 1) == 1
        assert taken(places, held, "many", 1) == 0
        assert taken(places, held, "one more", 1) == 1
    assert had == 6


def test_budget_comes_back_one_a_second() -> None:
    clock = StillClock()
    budget = RefusalBudget(clock, 10)
    budget.check("a")
    budget.spend("a", 15)
    budget.check("b")
    with pytest.raises(Problem) as refused:
        budget.check("a")

    assert (refused.value.status, refused.value.code) == (429, "too-many-refusals")
    assert refused.value.headers == {"Retry-After": "6"}
    clock.move(timedelta(seconds=5))
    with pytest.raises(Problem):
        budget.check("a")
    clock.move(timedelta(seconds=1))
    budget.check("a")
    clock.move(timedelta(days=1))
    budget.spend("a", 10)
    with pytest.raises(Problem):
        budget.check("a")


def test_answer_without_budget_is_the_same_for_everything(house: House) -> None:
    """It tells nothing of whether an envelope could be opened, or whose it is."""
    agency, other = house.agency(), house.agency()
    person, live = allowed(house, agency)
    gone, ended = allowed(house, agency)
    _, foreign = allowed(house, other)
    grants.revoke_all(house.context, gone.subject)
    before = house.kinds(person), house.kinds(gone)
    house.context.refusals.spend(agency.id, 1000)

    bodies: list[dict[str, object]] = [{"envelope": text} for text in (live, ended, foreign, NEVER, "")]
    answers = [house.call(agency, PATH, body) for body in [*bodies, {"envelopes": [live, ended]}]]
    assert {(answer.status_code, answer.content) for answer in answers} == {(429, answers[0].content)}
    assert answers[0].json()["type"] == "urn:fireweed:problem:too-many-refusals"
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert (house.kinds(person), house.kinds(gone)) == before
    assert house.open(other, foreign).status_code == 200
    house.context.refusals.spend(agency.id, -1)
    assert house.open(agency, live).status_code == 200


@pytest.mark.parametrize("made_up", [False, True])
def test_flood_of_refusals_becomes_few_rows(own_house: House, made_up: bool) -> None:
    """Finding 6: 200 copies a request; and as many envelopes that differ in what the agency may write itself."""
    house, agency = own_house, own_house.agency()
    person, envelope = allowed(house, agency)
    grants.revoke_all(house.context, person.subject)
    before, statuses = len(house.rows(ledger_entry)), []
    for _ in range(12):
        tried = [envelope] * 200
        if made_up:
            header = read(envelope).header
            tried = [write(replace(read(envelope), header=replace(header, id=str(uuid4())))) for _ in tried]
        statuses.append(house.call(agency, PATH, {"envelopes": tried}).status_code)

    assert statuses == ([200] * 5 + [429] * 7 if made_up else [200] * 12)
    assert len(house.rows(ledger_entry)) - before == (3 if made_up else 2)
    assert sum(row.times for row in house.ledger(person) if "times" not in row.detail) < 1100


def test_forged_referrals_of_live_grant_are_bounded(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    _, envelope = allowed(house, agency)
    before, header = len(house.rows(ledger_entry)), read(envelope).header
    for _ in range(8):
        tried = [write(replace(read(envelope), header=replace(header, id=str(uuid4())))) for _ in range(200)]
        house.call(agency, PATH, {"envelopes": tried})

    assert len(house.rows(ledger_entry)) - before <= 1000 + 3
    assert house.open(agency, envelope).status_code == 429
    house.clock.move(timedelta(seconds=1))
    assert house.open(agency, envelope).status_code == 200


def test_poll_of_old_envelopes_is_answered(house: House) -> None:
    """An agency asks again now and then for everything in its inbox, of which much has ended."""
    agency = house.agency()
    people = [allowed(house, agency) for _ in range(6)]
    for person, _ in people[:4]:
        grants.revoke_all(house.context, person.subject)
    for _ in range(20):
        told = open_all(house, agency, [envelope for _, envelope in people])
        assert told[:4] == [NOTHING] * 4
        assert [one["status"] for one in told[4:]] == [200, 200]
    assert {house.ledger(person)[-1].detail["times"] for person, _ in people[:4]} == {10}


def test_opened_and_busy_envelopes_cost_nothing(house: House) -> None:
    agency = house.agency()
    _, envelope = allowed(house, agency)
    house.context.refusals.spend(agency.id, 999)
    for _ in range(3):
        assert house.open(agency, envelope).status_code == 200
    assert house.open(agency, NEVER).status_code == 404
    assert house.open(agency, envelope).status_code == 429
