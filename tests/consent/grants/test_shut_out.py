"""An agency that she shut out, by name or by its sector, neither sends nor asks nor follows; a spoken stop still stops."""

import json
from collections.abc import Callable
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts.links import make_link_code
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.disclosures.decisions import NOTHING, Answer, Sending, decide_sendings
from services.consent.handlers.grants import age_bands, grants
from services.consent.handlers.grants.grants import Rule, Wish
from services.consent.handlers.rights import erasure, statistics
from services.consent.models import consent_request, grant
from tests.support.consent import Agency, House, Person

RULES: dict[str, Callable[[Agency], Rule]] = {
    "by name": lambda agency: Rule(agency=agency.id, reason="someone_works_there"),
    "by sector": lambda agency: Rule(sector=agency.sector),
    "by name and sector": lambda agency: Rule(agency=agency.id, sector=agency.sector),
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@pytest.fixture
def police(house: House) -> Agency:
    return house.agency("police")


@pytest.fixture
def person(house: House, police: Agency) -> Person:
    """Somebody whom the police know, who is counted, and who allows two other agencies something."""
    made = house.person(house.agency())
    code = make_link_code(house.context, made.subject).code
    ppid = linked_acts.link(house.context, police.id, code)
    statistics.set_statistics(house.context, made.subject, on=True)
    return Person(made.subject, ppid, made.claim_code, made.revoke_code)


def answers(house: House, agency: Agency, ppid: str, to: list[Agency], categories: str = "summary") -> list[Answer]:
    """Ask for every recipient and purpose, and for a need."""
    purposes = sorted(house.context.policy.purposes)
    asked = [
        Sending(agency.id, ppid, one.id, purpose, frozenset([categories])) for one, purpose in product(to, purposes)
    ]
    return decide_sendings(house.context, [*asked, Sending(agency.id, ppid, None, None, frozenset())])


def live(house: House, person: Person) -> set[UUID]:
    return {row.id for row in house.rows(grant, grant.c.subject_id == person.subject) if row.ended_at is None}


def told(house: House, person: Person) -> list[tuple[str, str, bool]]:
    """Return grant, agency and direction of each event about a shut-out agency, oldest first."""
    with house.context.database.reading() as connection:
        rows = house.context.outbox.oldest(connection, 0, 100_000)
    mine = {str(row.id) for row in house.rows(grant, grant.c.subject_id == person.subject)}
    found = [json.loads(row.payload) for row in rows if row.type == "sender.shut_out.v1"]
    return [(one["grant"], one["agency"], one["shut_out"]) for one in found if one["grant"] in mine]


@each_rule
def test_shut_out_agency_cannot_find_out_whom_she_allows(
    house: House, police: Agency, person: Person, rule: Callable[[Agency], Rule]
) -> None:
    others = [house.agency(sector) for sector in ("housing", "health", "ngo")]
    for one in others:
        house.allow(person, one)
    assert any(answer.seal for answer in answers(house, police, person.ppid, others))
    grants.restrict(house.context, person.subject, rule(police))
    assert set(answers(house, police, person.ppid, others)) == {NOTHING}


@each_rule
def test_lifting_the_restriction_lets_it_send_again(
    house: House, police: Agency, person: Person, rule: Callable[[Agency], Rule]
) -> None:
    shelter = house.agency()
    house.allow(person, shelter)
    name = grants.restrict(house.context, person.subject, rule(police))
    grants.lift_restriction(house.context, person.subject, name)
    assert any(answer.seal for answer in answers(house, police, person.ppid, [shelter]))


def test_shut_out_paused_erased_and_unlinked_answers_are_equal(house: House, police: Agency, person: Person) -> None:
    shelter = house.agency()
    house.allow(person, shelter)
    grants.restrict(house.context, person.subject, Rule(sector="police"))
    shut_out = answers(house, police, person.ppid, [shelter])
    grants.pause(house.context, person.subject)
    paused = answers(house, police, person.ppid, [shelter])
    erasure.erase(house.context, person.subject)
    erased = answers(house, police, person.ppid, [shelter])
    never = answers(house, police, "a" * 26, [shelter])
    assert shut_out == paused == erased == never == [NOTHING] * len(never)


def test_forbidden_category_is_left_out_of_what_is_sealed(house: House, police: Agency, person: Person) -> None:
    shelter = house.agency()
    house.allow(person, shelter, "summary", "health")
    grants.restrict(house.context, person.subject, Rule(sector="police", category="health"))
    asked = Sending(police.id, person.ppid, shelter.id, "referral", frozenset({"summary", "health"}))
    [answer] = decide_sendings(house.context, [asked])
    assert answer.seal is not None
    assert answer.seal.categories == ("summary",)
    assert not any(one.seal for one in answers(house, police, person.ppid, [shelter], "health"))


def test_forbidden_purpose_seals_nothing(house: House, police: Agency, person: Person) -> None:
    shelter = house.agency()
    grants.give_grant(house.context, person.subject, Wish(shelter.id, "court_support", ["summary"]))
    grants.restrict(house.context, person.subject, Rule(sector="police", purpose="court_support"))
    assert not any(one.seal for one in answers(house, police, person.ppid, [shelter]))


def ask(house: House, agency: Agency, person: Person, categories: list[str]) -> int:
    """Return the status of a consent request."""
    body = {"ppid": person.ppid, "agency": agency.id, "purpose": "referral", "categories": categories}
    return house.call(agency, "/consent/v1/consent-requests", body).status_code


@each_rule
def test_request_of_a_shut_out_agency_returns_404(
    house: House, police: Agency, person: Person, rule: Callable[[Agency], Rule]
) -> None:
    grants.restrict(house.context, person.subject, rule(police))
    assert ask(house, police, person, ["contact"]) == 404
    assert house.rows(consent_request, consent_request.c.subject_id == person.subject) == []


def test_request_for_a_forbidden_category_returns_404(house: House, police: Agency, person: Person) -> None:
    grants.restrict(house.context, person.subject, Rule(sector="police", category="health"))
    assert ask(house, police, person, ["contact", "health"]) == 404
    assert ask(house, police, person, ["contact"]) == 201


def test_request_in_a_pause_returns_404(house: House, police: Agency, person: Person) -> None:
    grants.pause(house.context, person.subject)
    assert ask(house, police, person, ["contact"]) == 404


@each_rule
def test_spoken_stop_by_a_shut_out_agency_ends_only_its_own(
    house: House, police: Agency, person: Person, rule: Callable[[Agency], Rule]
) -> None:
    """The answer is that of any stop, whichever agency it names."""
    shelter = house.agency()
    kept, own = house.allow(person, shelter), house.allow(person, police, "contact")
    grants.restrict(house.context, person.subject, rule(police))
    for body in ({"agency": shelter.id}, {}):
        answer = house.call(police, "/consent/v1/revocations", {"ppid": person.ppid, **body})
        assert (answer.status_code, answer.content) == (204, b"")
    assert live(house, person) == {kept}
    assert own not in live(house, person)


def test_spoken_stop_in_a_pause_ends_everything(house: House, police: Agency, person: Person) -> None:
    house.allow(person, house.agency())
    grants.pause(house.context, person.subject)
    answer = house.call(police, "/consent/v1/revocations", {"ppid": person.ppid})
    assert (answer.status_code, live(house, person)) == (204, set())


def test_shut_out_agency_may_not_restate_her_age(house: House) -> None:
    clinic = house.agency("health")
    person = house.person(clinic)
    age_bands.restate(house.context, clinic.id, person.ppid, "under_16")
    grants.restrict(house.context, person.subject, Rule(sector="health"))
    with pytest.raises(Problem, match="404"):
        age_bands.restate(house.context, clinic.id, person.ppid, "age_16_17")


@each_rule
def test_own_access_of_a_shut_out_agency_equals_nobodys(
    house: House, police: Agency, person: Person, rule: Callable[[Agency], Rule]
) -> None:
    house.allow(person, police, "contact")
    grants.restrict(house.context, person.subject, rule(police))

    def evaluated(ppid: str) -> Any:
        body = {
            "subject": {"type": "agency", "id": police.id},
            "resource": {"type": "survivor", "id": ppid, "properties": {"categories": ["contact"]}},
            "action": {"name": "referral"},
        }
        answer = house.call(police, "/consent/access/v1/evaluation", body)
        return answer.status_code, answer.content

    assert evaluated(person.ppid) == evaluated("a" * 26)


@each_rule
def test_referral_learns_of_each_live_grant(
    house: House, police: Agency, person: Person, rule: Callable[[Agency], Rule]
) -> None:
    gone = house.allow(person, house.agency())
    grants.revoke_grant(house.context, person.subject, gone)
    kept = sorted(str(house.allow(person, house.agency())) for _ in range(2))
    name = grants.restrict(house.context, person.subject, rule(police))
    out = told(house, person)
    assert sorted(out) == [(one, police.id, True) for one in kept]
    grants.lift_restriction(house.context, person.subject, name)
    assert sorted(told(house, person)[len(out) :]) == [(one, police.id, False) for one in kept]


def test_recipient_that_she_shuts_out_stands_still_too(house: House, person: Person) -> None:
    """It has a grant and no ppid; its inbox and its referrals stand still as well."""
    clinic = house.agency("health")
    made = house.allow(person, clinic)
    grants.restrict(house.context, person.subject, Rule(sector="health"))
    assert told(house, person) == [(str(made), clinic.id, True)]


@pytest.mark.parametrize(
    "act",
    [
        lambda house, person: grants.pause(house.context, person.subject),
        lambda house, person: grants.restrict(house.context, person.subject, Rule(category="health")),
        lambda house, person: grants.restrict(house.context, person.subject, Rule(sector="justice")),
        lambda house, person: grants.restrict(house.context, person.subject, Rule(purpose="court_support")),
    ],
    ids=["a pause", "a category", "another sector", "a purpose"],
)
def test_act_that_shuts_nobody_out_sends_no_event(house: House, person: Person, act: Any) -> None:
    house.allow(person, house.agency())
    act(house, person)
    assert told(house, person) == []


def test_second_restriction_on_the_same_agency_sends_nothing(house: House, police: Agency, person: Person) -> None:
    """Only the last one that is lifted lets the agency follow again."""
    house.allow(person, house.agency())
    first = grants.restrict(house.context, person.subject, Rule(sector="police"))
    second = grants.restrict(house.context, person.subject, Rule(agency=police.id))
    grants.lift_restriction(house.context, person.subject, first)
    assert [out for _, _, out in told(house, person)] == [True]
    grants.lift_restriction(house.context, person.subject, second)
    assert [out for _, _, out in told(house, person)] == [True, False]


@pytest.mark.parametrize(
    "rule", [lambda one: Rule(agency=one.id, purpose="referral"), lambda _: Rule(sector="police", purpose="referral")]
)
def test_agency_shut_out_for_a_purpose_follows_none_of_it(
    house: House, police: Agency, person: Person, rule: Callable[[Agency], Rule]
) -> None:
    """Her other grants go on; a purpose that she forbids to everybody stops no referral that is under way."""
    made = house.allow(person, house.agency())
    grants.give_grant(house.context, person.subject, Wish(house.agency().id, "court_support", ["summary"]))
    name = grants.restrict(house.context, person.subject, rule(police))
    assert told(house, person) == [(str(made), police.id, True)]
    grants.lift_restriction(house.context, person.subject, name)
    assert told(house, person)[1:] == [(str(made), police.id, False)]
    grants.restrict(house.context, person.subject, Rule(purpose="referral"))
    assert len(told(house, person)) == 2
