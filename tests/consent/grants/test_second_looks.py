"""Test second looks: where policy says so, a young person's grant stays pending until an agency agrees, and says why."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

import schemas
from services.common.errors import Problem
from services.consent.handlers.accounts import links, sessions
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants import grants, pending, second_looks
from services.consent.handlers.grants.grants import Rule, Wish
from services.consent.handlers.rights import export
from services.consent.models import grant, waiting_grant
from services.consent.policy import duty_rules
from services.consent.store import subjects
from tests.support.consent import PIN, Agency, House, Person
from tests.support.notice_receiver import catch_up

SECOND_LOOKS = "/consent/v1/second-looks"


def young(house: House, agency: Agency, band: str | None = "under_16", language: str = "en") -> Person:
    """Register a survivor whose age band an agency has stated."""
    answer = house.call(agency, "/consent/v1/subjects", {"language": language, "age_band": band}).json()
    with house.context.database.reading() as connection:
        subject = subjects.linked(connection, [(agency.id, answer["ppid"])])[agency.id, answer["ppid"]]
    return Person(subject, answer["ppid"], answer["claim_code"], answer["revoke_code"])


def give(house: House, person: Person, to: Agency, *categories: str, **more: Any) -> Any:
    body = {"agency": to.id, "purpose": "referral", "categories": categories or ["summary"], **more}
    return house.my("POST", "/grants", house.session(person, stepped_up=True), body)


def test_grant_by_a_young_person_waits_and_says_why(house: House) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    given = give(house, person, clinic, "health").json()

    assert given["waits_for"] == advocate.id
    assert given["why"] == duty_rules().second_look_why["en"]
    assert live(house, person) == []
    [row] = house.my("GET", "/waiting", house.session(person)).json()["waiting"]
    assert (row["id"], row["why"], row["second_look_by"]) == (given["id"], given["why"], advocate.id)
    assert house.kinds(person)[-1] == "look.asked"
    french = young(house, advocate, language="fr")
    assert give(house, french, clinic, "health").json()["why"] == duty_rules().second_look_why["fr"]


def test_agreeing_second_look_by_named_agency_makes_her_grant(house: House) -> None:
    """Other agencies see nothing of it, the grant is what she wished, and its days count from the agreement."""
    advocate, other, clinic = house.agency("ngo"), house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    name = give(house, person, clinic, "health", "summary", days=7).json()["id"]
    path = f"/consent/v1/second-looks/{name}"

    for stranger in (other, clinic):
        assert house.call(stranger, path, {"agree": True}).status_code == 404
        assert house.call(stranger, "/consent/v1/second-looks", None, "GET").json() == {"waiting": []}
    [row] = house.call(advocate, "/consent/v1/second-looks", None, "GET").json()["waiting"]
    assert (row["id"], row["ppid"], row["agency"], row["categories"]) == (
        name,
        person.ppid,
        clinic.id,
        ["health", "summary"],
    )
    house.clock.move(timedelta(days=2))
    for one in (advocate, clinic):
        one.token = house.signer.token(one.id, one.key)
    assert house.call(advocate, path, {"agree": True}).status_code == 204

    [made] = live(house, person)
    assert (str(made.id), made.agency, made.categories) == (name, clinic.id, ["health", "summary"])
    assert made.valid_until == house.clock.now() + timedelta(days=7), "her days count from the agreement"
    assert house.open(clinic, house.envelope(made.id)).status_code == 200
    assert house.my("GET", "/waiting", house.session(person)).json() == {"waiting": []}
    assert house.call(advocate, path, {"agree": True}).status_code == 404


def test_declined_second_look_makes_no_grant(house: House) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    name = give(house, person, clinic).json()["id"]
    second_looks.give_second_look(house.context, advocate.id, UUID(name), agree=False)

    assert live(house, person) == []
    with pytest.raises(Problem, match="404"):
        second_looks.give_second_look(house.context, advocate.id, UUID(name), agree=True)
    [(row, _)] = pending.waits_of(house.context, person.subject, past=True)
    assert row.outcome == "declined"


@pytest.mark.parametrize("how", ["card", "her word", "her word about it", "one", "erase"])
def test_pending_grant_taken_back_never_becomes_a_grant(house: House, how: str) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    name = give(house, person, clinic).json()["id"]
    token = house.session(person, stepped_up=True)
    if how == "card":
        assert house.my("POST", "/revoke-card", body={"revoke_code": person.revoke_code}).status_code == 204
    elif how == "one":
        assert house.my("DELETE", f"/grants/{name}", token).status_code == 204
    elif how == "erase":
        house.give_pin(person)
        assert house.my("DELETE", "", token, {"pin": PIN}).status_code == 204
    else:
        only = {"agency": clinic.id} if how == "her word about it" else {}
        assert house.call(advocate, "/consent/v1/revocations", {"ppid": person.ppid, **only}).status_code == 204

    assert house.call(advocate, f"/consent/v1/second-looks/{name}", {"agree": True}).status_code == 404
    assert live(house, person) == []


def test_revocation_for_another_agency_keeps_pending_grant(house: House) -> None:
    advocate, clinic, other = house.agency("ngo"), house.agency("health"), house.agency("health")
    person = young(house, advocate)
    name = give(house, person, clinic).json()["id"]
    grants.revoke_all(house.context, person.subject, told_to=advocate.id, only_to=other.id)
    second_looks.give_second_look(house.context, advocate.id, UUID(name), agree=True)

    assert [str(row.id) for row in live(house, person)] == [name]


def test_taking_back_anothers_pending_grant_returns_404(house: House) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person, other = young(house, advocate), house.person()
    name = give(house, person, clinic).json()["id"]

    assert house.my("DELETE", f"/grants/{name}", house.session(other)).status_code == 404
    second_looks.give_second_look(house.context, advocate.id, UUID(name), agree=True)


def test_pending_grant_expires_after_fourteen_days(house: House) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    name = UUID(give(house, person, clinic).json()["id"])
    house.clock.move(timedelta(days=14))

    assert pending.waits_of(house.context, person.subject) == []
    with pytest.raises(Problem, match="404"):
        second_looks.give_second_look(house.context, advocate.id, name, agree=True)


def test_equal_wish_is_pending_once(house: House) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    first, second = give(house, person, clinic).json(), give(house, person, clinic).json()

    assert first == second
    assert len(house.rows(waiting_grant, waiting_grant.c.subject_id == person.subject)) == 1


@pytest.mark.parametrize("who", ["recipient", "stranger", "police", "suspended", "nobody"])
def test_second_look_by_an_unfit_agency_returns_400(house: House, who: str) -> None:
    """Unfit: the recipient, an unlinked one, police, a suspended one and one that does not exist."""
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    sector = "police" if who == "police" else "ngo"
    named = house.agency(sector, "suspended" if who == "suspended" else "active")
    if who in {"police", "suspended"}:
        linked_acts.link(house.context, named.id, links.make_link_code(house.context, person.subject).code)
    to, named_id = (advocate, advocate.id) if who == "recipient" else (clinic, named.id if who != "nobody" else "x")
    answer = give(house, person, to, second_look_by=named_id)

    assert (answer.status_code, answer.json()["errors"][0]["member"]) == (400, "/second_look_by")
    assert pending.waits_of(house.context, person.subject) == []


def test_second_look_may_be_by_another_linked_agency(house: House) -> None:
    police, mine, clinic = house.agency("police"), house.agency("indigenous"), house.agency("health")
    person = young(house, house.agency("ngo"))
    for one in (police, mine):
        linked_acts.link(house.context, one.id, links.make_link_code(house.context, person.subject).code)
    assert give(house, person, clinic, second_look_by=police.id).status_code == 400, "police give no second look"

    assert give(house, person, clinic, second_look_by=mine.id).json()["waits_for"] == mine.id


@pytest.mark.parametrize(
    ("band", "sector", "category", "waits"),
    [
        ("under_16", "housing", "summary", True),
        ("under_16", "police", "summary", True),
        ("age_16_17", "housing", "summary", False),
        ("age_16_17", "housing", "contact", True),
        ("age_16_17", "police", "summary", True),
        ("age_18_24", "police", "summary", False),
        ("age_55_up", "housing", "health", False),
        (None, "police", "health", False),
    ],
)
def test_policy_decides_which_grants_wait(
    house: House, band: str | None, sector: str, category: str, waits: bool
) -> None:
    advocate = house.agency("ngo")
    person = young(house, advocate, band)
    answer = give(house, person, house.agency(sector), category).json()

    assert ("waits_for" in answer, len(live(house, person))) == (waits, 0 if waits else 1)


def test_under_16_always_wait_and_duty_rules_use_known_codes() -> None:
    for sector in schemas.code_set("sectors"):
        assert duty_rules().needs_second_look("under_16", sector, ["summary"]), sector
    for rule in duty_rules().second_look_rules:
        assert rule.age_bands <= schemas.code_set("age_bands")
        assert rule.sectors <= schemas.code_set("sectors")
        assert rule.categories <= schemas.code_set("categories")
    assert duty_rules().second_look_sectors <= schemas.code_set("sectors")
    assert duty_rules().may_be_sealed <= schemas.code_set("legal_bases")
    assert set(duty_rules().when_ended.values()) <= schemas.code_set("notice_actions")
    assert duty_rules().when_ended.keys() == schemas.code_set("grant_end_reasons")


def test_registering_with_an_unknown_age_band_is_refused(house: House) -> None:
    with pytest.raises(Problem) as problem:
        sessions.register(house.context, house.agency().id, "en", "14")
    assert problem.value.faults[0].member == "/age_band"


def test_accepted_request_waits_for_a_second_look_too(house: House) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    asked = linked_acts.ask(house.context, advocate.id, person.ppid, Wish(clinic.id, "referral", ["health"]))
    answer = house.my("POST", f"/requests/{asked}", house.session(person, stepped_up=True), {"accept": True}).json()

    assert answer["waits_for"] == advocate.id
    assert live(house, person) == []
    second_looks.give_second_look(house.context, advocate.id, UUID(answer["grant"]), agree=True)
    assert [str(row.id) for row in live(house, person)] == [answer["grant"]]


def test_second_look_cannot_allow_what_policy_forbids(house: House) -> None:
    """The pending row is written directly, as if policy had become stricter since."""
    advocate, police = house.agency("ngo"), house.agency("police")
    person = young(house, advocate)
    assert give(house, person, police, "immigration").status_code == 400
    name = uuid4()
    with house.context.database.transaction() as connection:
        now = house.clock.now()
        row = {"agency": police.id, "purpose": "referral", "categories": ["immigration"], "days": 7}
        times = {"asked_at": now, "open_until": now + timedelta(days=1)}
        who = {"id": name, "subject_id": person.subject, "second_look_by": advocate.id}
        connection.execute(waiting_grant.insert(), {**row, **times, **who})

    with pytest.raises(Problem, match="400"):
        second_looks.give_second_look(house.context, advocate.id, name, agree=True)
    assert live(house, person) == []


def live(house: House, person: Person) -> list[Any]:
    return house.rows(grant, grant.c.subject_id == person.subject, grant.c.ended_at.is_(None))


SHUTS_OUT = {
    "the agency": lambda agency: Rule(agency=agency),
    "its sector": lambda _agency: Rule(sector="ngo"),
    "the agency, for one category": lambda agency: Rule(agency=agency, category="health"),
    "all, for one category": lambda _agency: Rule(category="health"),
    "all, for the purpose": lambda _agency: Rule(purpose="referral"),
    "a pause": None,
}


@pytest.mark.parametrize("how", SHUTS_OUT)
def test_shut_out_agency_sees_pending_grant_only_once_let_in(house: House, how: str) -> None:
    """While shut out, it gets the answer for a pending grant that does not exist, and nothing changes."""
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    name = give(house, person, clinic, "health", "summary").json()["id"]
    let_in = shut_out(house, person, advocate, how)
    entries = house.kinds(person)

    assert house.call(advocate, SECOND_LOOKS, None, "GET").json() == {"waiting": []}
    for agree in (True, False):
        answer, never = (house.call(advocate, f"{SECOND_LOOKS}/{one}", {"agree": agree}) for one in (name, uuid4()))
        assert (answer.status_code, answer.content) == (never.status_code, never.content) == (404, answer.content)
    assert (live(house, person), house.kinds(person)) == ([], entries)
    let_in()
    assert [row["id"] for row in house.call(advocate, SECOND_LOOKS, None, "GET").json()["waiting"]] == [name]
    assert house.call(advocate, f"{SECOND_LOOKS}/{name}", {"agree": True}).status_code == 204
    assert [str(row.id) for row in live(house, person)] == [name]


def test_unrelated_restriction_hides_no_pending_grant(house: House) -> None:
    """The restrictions concern another sector, category or purpose."""
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    name = give(house, person, clinic, "health").json()["id"]
    for rule in (Rule(sector="police"), Rule(agency=advocate.id, category="legal"), Rule(purpose="court_support")):
        grants.restrict(house.context, person.subject, rule)

    assert [str(row.id) for row, _ in second_looks.second_looks_for(house.context, advocate.id)] == [name]
    second_looks.give_second_look(house.context, advocate.id, UUID(name), agree=True)


@pytest.mark.parametrize("how", ["the agency", "its sector"])
def test_shut_out_agency_cannot_be_named_for_second_look(house: House, how: str) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    shut_out(house, person, advocate, how)
    [to] = [one for one in export.overview(house.context, person.subject)["agencies"] if one.id == clinic.id]

    assert pending.second_look_choices(house.context, person.subject, to, ["health"]) == []
    answer = give(house, person, clinic, "health")
    assert (answer.status_code, answer.json()["errors"][0]["member"]) == (400, "/second_look_by")


@pytest.mark.parametrize("how", [how for how in SHUTS_OUT if how not in {"the agency", "its sector"}])
def test_pending_grant_is_hidden_while_a_pause_or_rule_holds(house: House, how: str) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person = young(house, advocate)
    let_in = shut_out(house, person, advocate, how)
    assert give(house, person, clinic, "health").json()["waits_for"] == advocate.id

    assert second_looks.second_looks_for(house.context, advocate.id) == []
    let_in()
    assert len(second_looks.second_looks_for(house.context, advocate.id)) == 1


def test_agency_late_with_notices_sees_no_pending_grant(house: House) -> None:
    advocate, clinic = house.agency("ngo"), house.agency("health")
    person, other = young(house, advocate), house.person(advocate)
    name = UUID(give(house, person, clinic).json()["id"])
    grants.revoke_grant(house.context, other.subject, house.allow(other, advocate))
    house.clock.move(duty_rules().acknowledge_time)
    advocate.token = house.signer.token(advocate.id, advocate.key)

    assert second_looks.second_looks_for(house.context, advocate.id) == []
    with pytest.raises(Problem, match="404"):
        second_looks.give_second_look(house.context, advocate.id, name, agree=True)
    catch_up(house, advocate)
    second_looks.give_second_look(house.context, advocate.id, name, agree=True)


def shut_out(house: House, person: Person, agency: Agency, how: str) -> Callable[[], object]:
    """Shut an agency out in this way; return the act that lets it in again."""
    context, rule = house.context, SHUTS_OUT[how]
    if rule is None:
        grants.pause(context, person.subject)
        return lambda: grants.resume(context, person.subject)
    name = grants.restrict(context, person.subject, rule(agency.id))
    return lambda: grants.lift_restriction(context, person.subject, name)
