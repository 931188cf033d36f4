"""Test grants, restrictions, pause and requests: every change raises the epoch, an ended grant stays ended."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts import links
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Answer, Rule, Wish
from services.consent.handlers.rights import erasure, export, statistics
from services.consent.models import consent_request, grant, grant_key, plumbing, restriction, subject
from services.consent.policy import privacy_notice
from services.consent.store import permissions
from tests.support.clocks import NOON
from tests.support.consent import Agency, House, Person, change_standing


def test_grant_stores_her_wish_and_the_privacy_notice_shown(house: House) -> None:
    agency = house.agency()
    person = house.person(agency, language="fr")
    name = give(house, person, agency, categories=["summary", "housing", "summary"], days=10)

    row = grant_row(house, name)
    assert (row.agency, row.purpose, row.categories) == (agency.id, "referral", ["housing", "summary"])
    assert (row.valid_from, row.valid_until) == (NOON, NOON + timedelta(days=10))
    assert (row.notice_version, row.language, row.notice_sha256) == ("1", "fr", privacy_notice("fr").sha256)
    assert privacy_notice("fr").sha256 != privacy_notice("en").sha256
    assert row.epoch == house.epoch(person) == 1
    told = house.ledger(person)[-1]
    assert (told.kind, told.agency, told.detail["notice_sha256"]) == (
        "grant.given",
        agency.id,
        privacy_notice("fr").sha256,
    )


def test_grant_lasts_thirty_days_by_default_and_up_to_ninety(house: House) -> None:
    agency, person = house.agency(), house.person()
    assert grant_row(house, give(house, person, agency)).valid_until == NOON + timedelta(days=30)
    assert grant_row(house, give(house, person, agency, days=90)).valid_until == NOON + timedelta(days=90)
    assert grant_row(house, give(house, person, agency, days=1)).valid_until == NOON + timedelta(days=1)


@pytest.mark.parametrize(
    ("wish", "member"),
    [
        ({"days": 91}, "/days"),
        ({"days": 0}, "/days"),
        ({"days": -1}, "/days"),
        ({"days": 10**15}, "/days"),
        ({"agency": "nobody-we-know"}, "/agency"),
        ({"agency": "*"}, "/agency"),
        ({"purpose": "other"}, "/purpose"),
        ({"categories": []}, "/categories"),
        ({"categories": ["summary", "everything"]}, "/categories"),
        ({"categories": ["*"]}, "/categories"),
    ],
)
def test_invalid_wish_returns_400_and_changes_nothing(house: House, wish: dict[str, Any], member: str) -> None:
    agency, person = house.agency(), house.person()
    with pytest.raises(Problem) as problem:
        give(house, person, **{"agency": agency, **wish})

    assert problem.value.status == 400
    assert [fault.member for fault in problem.value.faults] == [member]
    assert house.epoch(person) == 0
    assert house.kinds(person) == ["registered"]


def test_grant_of_immigration_to_police_is_refused(house: House) -> None:
    police, person = house.agency("police"), house.person()
    with pytest.raises(Problem) as problem:
        give(house, person, police, categories=["summary", "immigration"])

    assert [fault.member for fault in problem.value.faults] == ["/categories"]
    assert grant_row(house, give(house, person, police, categories=["summary"])).agency == police.id


def test_grant_to_a_suspended_agency_is_refused(house: House) -> None:
    agency, person = house.agency(standing="suspended"), house.person()

    with pytest.raises(Problem, match="400"):
        give(house, person, agency)


def test_epoch_rises_by_one_with_every_change(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    context, her = house.context, person.subject
    request = linked_acts.ask(context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"]))
    rule = Rule(sector="health")
    acts: list[Callable[[], object]] = [
        lambda: give(house, person, agency),
        lambda: grants.restrict(context, her, rule),
        lambda: grants.lift_restriction(context, her, house.rows(restriction, restriction.c.subject_id == her)[0].id),
        lambda: grants.pause(context, her),
        lambda: grants.resume(context, her),
        lambda: grants.answer_request(context, her, request, Answer(accept=True)),
        lambda: statistics.set_statistics(context, her, on=True),
        lambda: statistics.set_statistics(context, her, on=False),
        lambda: grants.revoke_grant(context, her, house.rows(grant, grant.c.subject_id == her)[0].id),
        lambda: grants.revoke_all(context, her),
    ]
    for number, act in enumerate(acts, 1):
        act()
        assert house.epoch(person) == number
        assert house.ledger(person)[-1].detail["epoch"] == number


def test_revoked_grant_ends_and_its_key_is_destroyed(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    name = give(house, person, agency)
    assert key_row(house, name).wrapped is not None
    house.clock.move(timedelta(hours=1))
    grants.revoke_grant(house.context, person.subject, name)

    row, key = grant_row(house, name), key_row(house, name)
    assert (row.ended_at, row.ended_epoch, row.end_reason) == (NOON + timedelta(hours=1), 2, "revoked")
    assert (key.wrapped, key.destroyed_at) == (None, NOON + timedelta(hours=1))
    assert house.kinds(person)[-2:] == ["grant.ended", "key.destroyed"]
    assert ended_events(house, name) == [{"grant": str(name), "agency": agency.id, "reason": "revoked", "epoch": 2}]


def test_revoking_again_succeeds_and_changes_nothing(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = give(house, person, agency)
    grants.revoke_grant(house.context, person.subject, name)
    before = grant_row(house, name), key_row(house, name), house.kinds(person)
    house.clock.move(timedelta(days=1))
    grants.revoke_grant(house.context, person.subject, name)

    assert (grant_row(house, name), key_row(house, name), house.kinds(person)) == before
    assert len(ended_events(house, name)) == 1


def test_new_grant_does_not_revive_a_revoked_one(house: House) -> None:
    agency, person = house.agency(), house.person()
    old = give(house, person, agency)
    before = house.envelope(old)
    grants.revoke_grant(house.context, person.subject, old)
    new = give(house, person, agency)

    assert new != old
    assert grant_row(house, old).end_reason == "revoked"
    assert house.open(agency, before).status_code == 404
    assert house.open(agency, house.envelope(new)).status_code == 200


def test_revoking_another_survivors_grant_returns_404(house: House) -> None:
    """The answer equals that for a grant that does not exist."""
    agency, person, other = house.agency(), house.person(), house.person()
    name = give(house, person, agency)
    before = house.epoch(person), house.epoch(other)

    with pytest.raises(Problem) as foreign:
        grants.revoke_grant(house.context, other.subject, name)
    with pytest.raises(Problem) as absent:
        grants.revoke_grant(house.context, other.subject, uuid4())
    assert foreign.value.as_json() == absent.value.as_json()
    assert foreign.value.status == 404
    assert grant_row(house, name).ended_at is None
    assert (house.epoch(person), house.epoch(other)) == before
    assert house.open(agency, house.envelope(name)).status_code == 200


def test_revoking_all_ends_only_her_grants_and_each_once(house: House) -> None:
    one, two = house.agency(), house.agency()
    person, other = house.person(), house.person()
    names = [give(house, person, one), give(house, person, two), give(house, person, one, days=5)]
    kept = give(house, other, one)

    assert grants.revoke_all(house.context, person.subject) == 3
    assert [grant_row(house, name).end_reason for name in names] == ["revoked"] * 3
    assert [len(ended_events(house, name)) for name in names] == [1] * 3
    assert grant_row(house, kept).ended_at is None
    assert grants.revoke_all(house.context, person.subject) == 0
    assert house.kinds(person)[-1] == "nothing.to.end"


def test_revocation_on_her_word_ends_all_or_one_agencys_grants(house: House) -> None:
    told, one, two = house.agency(), house.agency(), house.agency()
    person = house.person(told)
    to_one, to_two = give(house, person, one), give(house, person, two)

    answer = house.call(told, "/consent/v1/revocations", {"ppid": person.ppid, "agency": one.id})
    assert (answer.status_code, answer.content) == (204, b""), "the answer must not tell how much there was to end"
    assert (grant_row(house, to_one).end_reason, grant_row(house, to_two).end_reason) == ("revoked", None)
    said = [row.detail["told_to"] for row in house.ledger(person) if row.kind == "grant.ended"]
    assert said == [told.id]
    assert house.call(told, "/consent/v1/revocations", {"ppid": person.ppid}).content == b""
    assert grant_row(house, to_two).end_reason == "revoked"


def test_revocation_by_an_unlinked_agency_returns_404(house: House) -> None:
    linked, other = house.agency(), house.agency()
    person = house.person(linked)
    name = give(house, person, other)

    foreign = house.call(other, "/consent/v1/revocations", {"ppid": person.ppid})
    absent = house.call(other, "/consent/v1/revocations", {"ppid": "nobody"})
    assert (foreign.status_code, foreign.content) == (404, absent.content)
    assert grant_row(house, name).ended_at is None


def test_restriction_stops_openings_until_it_is_lifted(house: House) -> None:
    agency, person = house.agency("health"), house.person()
    envelope = house.envelope(give(house, person, agency))
    name = grants.restrict(house.context, person.subject, Rule(sector="health"))
    assert house.open(agency, envelope).status_code == 404

    grants.lift_restriction(house.context, person.subject, name)
    assert house.open(agency, envelope).status_code == 200
    with pytest.raises(Problem, match="404"):
        grants.lift_restriction(house.context, person.subject, name)
    told = [(row.kind, row.detail["restriction"]) for row in house.ledger(person) if "restriction" in row.kind]
    assert told == [("restriction.added", str(name)), ("restriction.lifted", str(name))]


@pytest.mark.parametrize(
    ("rule", "member"),
    [
        (Rule(), ""),
        (Rule(sector="everybody"), "/sector"),
        (Rule(category="everything"), "/category"),
        (Rule(purpose="other"), "/purpose"),
    ],
)
def test_empty_or_unknown_restriction_is_refused(house: House, rule: Rule, member: str) -> None:
    person = house.person()
    with pytest.raises(Problem) as problem:
        grants.restrict(house.context, person.subject, rule)

    assert [fault.member for fault in problem.value.faults] == [member]
    assert house.epoch(person) == 0


def test_lifting_another_survivors_restriction_returns_404(house: House) -> None:
    person, other = house.person(), house.person()
    name = grants.restrict(house.context, person.subject, Rule(sector="health"))

    with pytest.raises(Problem, match="404"):
        grants.lift_restriction(house.context, other.subject, name)
    assert house.rows(restriction, restriction.c.id == name)[0].lifted_at is None


def test_pause_stops_openings_and_keeps_grants_and_keys(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = give(house, person, agency)
    envelope = house.envelope(name)
    grants.pause(house.context, person.subject)
    grants.pause(house.context, person.subject)

    assert house.open(agency, envelope).status_code == 404
    assert (grant_row(house, name).ended_at, key_row(house, name).destroyed_at) == (None, None)
    grants.resume(house.context, person.subject)
    assert house.open(agency, envelope).status_code == 200
    kinds = [kind for kind in house.kinds(person) if kind in {"paused", "resumed"}]
    assert kinds == ["paused", "paused", "resumed"]


def test_answered_request_returns_404_when_answered_again(house: House) -> None:
    asking, agency = house.agency(), house.agency()
    person = house.person(asking)
    wishes = [Wish(agency.id, purpose, ["contact", "summary"]) for purpose in ("referral", "court_support")]
    yes, no = (linked_acts.ask(house.context, asking.id, person.ppid, wish) for wish in wishes)

    made = grants.answer_request(house.context, person.subject, yes, Answer(accept=True, days=7))
    assert made is not None
    row = grant_row(house, made)
    assert (row.agency, row.categories, row.valid_until) == (
        agency.id,
        ["contact", "summary"],
        NOON + timedelta(days=7),
    )
    assert grants.answer_request(house.context, person.subject, no, Answer(accept=False)) is None
    for request in (yes, no):
        for accept in (True, False):
            with pytest.raises(Problem, match="404"):
                grants.answer_request(house.context, person.subject, request, Answer(accept=accept))
    assert export.overview(house.context, person.subject)["requests"] == []
    assert len(house.rows(grant, grant.c.subject_id == person.subject)) == 1


def test_refused_answer_leaves_the_request_open(house: House) -> None:
    """Refused: another survivor's answer (404), and a yes to what policy forbids (400)."""
    agency = house.agency("police")
    person, other = house.person(), house.person()
    ppid = linked_acts.link(house.context, agency.id, links.make_link_code(house.context, person.subject).code)
    request = linked_acts.ask(house.context, agency.id, ppid, Wish(agency.id, "referral", ["immigration"]))

    for who, status in ((other, "404"), (person, "400")):
        with pytest.raises(Problem, match=status):
            grants.answer_request(house.context, who.subject, request, Answer(accept=True))
    assert house.rows(consent_request, consent_request.c.id == request)[0].answered_at is None
    assert house.rows(grant, grant.c.subject_id == person.subject) == []


def test_grant_stops_at_its_end_and_cleanup_destroys_its_key(house: House) -> None:
    """The cleanup of lapsed grants ends only what is due, and a second run changes nothing."""
    agency = house.agency()
    person, other = house.person(), house.person()
    short, long = give(house, person, agency, days=1), give(house, person, agency, days=2)
    same = give(house, other, agency, days=1)
    envelope = house.envelope(short)
    house.clock.move(timedelta(days=1) - timedelta(microseconds=1))
    grants.end_lapsed(house.context, limit=10_000)
    assert house.open(fresh(house, agency), envelope).status_code == 200

    house.clock.move(timedelta(microseconds=1))
    assert house.open(fresh(house, agency), envelope).status_code == 404
    grants.end_lapsed(house.context, limit=10_000)
    assert [grant_row(house, name).end_reason for name in (short, long, same)] == ["expired", None, "expired"]
    assert key_row(house, short).wrapped is None
    assert [data["reason"] for data in ended_events(house, short)] == ["expired"]
    before = house.epoch(person)
    grants.end_lapsed(house.context, limit=10_000)
    assert house.epoch(person) == before


def test_ending_lapsed_grants_skips_a_survivor_erased_meanwhile(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """She is erased after the lapsed grants were read; the others are still ended."""
    agency = house.agency()
    people = [house.person() for _ in range(3)]
    names = [give(house, person, agency, days=1) for person in people]
    house.clock.move(timedelta(days=1))
    first = min(people, key=lambda person: person.subject)
    find = permissions.lapsed_grants

    def find_and_erase(*arguments: Any) -> Any:
        found = find(*arguments)
        erasure.erase(house.context, first.subject)
        return found

    monkeypatch.setattr(permissions, "lapsed_grants", find_and_erase)
    grants.end_lapsed(house.context, limit=10_000)

    erased = names[people.index(first)]
    assert house.rows(grant, grant.c.id == erased) == []
    assert [grant_row(house, name).end_reason for name in names if name != erased] == ["expired", "expired"]


def test_equal_grant_within_minutes_returns_the_first(house: House) -> None:
    """A lost answer or a double press must not leave a second grant that outlives the revocation of the first."""
    agency, person = house.agency(), house.person()
    first = give(house, person, agency)
    house.clock.move(timedelta(minutes=9))
    assert give(house, person, agency) == first
    assert give(house, person, agency, categories=["contact"]) != first
    grants.revoke_grant(house.context, person.subject, first)
    assert give(house, person, agency) != first


def test_equal_restriction_returns_the_first(house: House) -> None:
    """A double press must not leave a second restriction that outlives the lifting of the first."""
    agency, person = house.agency("health"), house.person()
    envelope = house.envelope(give(house, person, agency))
    context, rule = house.context, Rule(sector="health", category="summary")
    first = grants.restrict(context, person.subject, rule)
    assert grants.restrict(context, person.subject, rule) == first
    assert house.kinds(person).count("restriction.added") == 1

    grants.lift_restriction(context, person.subject, first)
    assert house.open(agency, envelope).status_code == 200
    others = [rule, Rule(sector="health"), replace(rule, purpose="referral"), replace(rule, agency=agency.id)]
    made = {grants.restrict(context, person.subject, other) for other in [*others, Rule(agency=agency.id)]}
    told_why = Rule(agency=agency.id, reason="someone_works_there")
    assert len({first, *made, grants.restrict(context, person.subject, told_why)}) == 7


def test_change_of_an_erased_survivor_returns_404(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = give(house, person, agency)
    erasure.erase(house.context, person.subject)
    acts: list[Callable[[], object]] = [
        lambda: give(house, person, agency),
        lambda: grants.resume(house.context, person.subject),
        lambda: grants.revoke_grant(house.context, person.subject, name),
        lambda: statistics.set_statistics(house.context, person.subject, on=True),
        lambda: erasure.erase(house.context, person.subject),
    ]

    for act in acts:
        with pytest.raises(Problem, match="404"):
            act()
    assert house.rows(subject, subject.c.id == person.subject)[0].state == "erased"


def test_opening_by_a_suspended_agency_returns_403(house: House) -> None:
    agency, person = house.agency(), house.person()
    envelope = house.envelope(give(house, person, agency))
    change_standing(house.context, agency.id, agency.sector, "suspended", 2)

    assert house.open(agency, envelope).status_code == 403
    change_standing(house.context, agency.id, agency.sector, "active", 3)
    assert house.open(agency, envelope).status_code == 200


def give(
    house: House,
    person: Person,
    agency: Agency | str,
    categories: Any = ("summary",),
    days: int | None = None,
    **wish: Any,
) -> UUID:
    """Give a grant, for referrals unless another purpose is named; return its id."""
    name = agency if isinstance(agency, str) else agency.id
    return grants.give_grant(
        house.context, person.subject, Wish(name, wish.get("purpose", "referral"), categories, days)
    )


def fresh(house: House, agency: Agency) -> Agency:
    """Return the agency with a token issued at the present hour."""
    return Agency(agency.id, agency.sector, agency.clock, agency.key, house.signer.token(agency.id, agency.key))


def grant_row(house: House, name: UUID) -> Any:
    return house.rows(grant, grant.c.id == name)[0]


def key_row(house: House, name: UUID) -> Any:
    return house.rows(grant_key, grant_key.c.grant_id == name)[0]


def ended_events(house: House, name: UUID) -> list[Any]:
    """Return the payloads of the published events that tell the end of this grant."""
    table = plumbing.outbox.table
    rows = house.rows(table, table.c.type == "grant.ended.v1", table.c.aggregateid == str(name))
    return [json.loads(row.payload) for row in rows]
