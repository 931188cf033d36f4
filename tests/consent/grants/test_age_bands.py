"""Test stating an age band: only an agency fit for second looks may, it decides from then on, and grants stay."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.consent.handlers.accounts import links
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants import second_looks
from services.consent.handlers.grants.grants import Rule, Wish, give_grant, pause, restrict
from services.consent.handlers.rights import erasure, export
from services.consent.models import grant
from services.consent.store import subjects
from tests.support.consent import Agency, House, Person

STATE = "/consent/v1/age-bands"


@pytest.fixture
def advocate(house: House) -> Agency:
    return house.agency("ngo")


@pytest.fixture
def young(house: House, advocate: Agency) -> Person:
    made = house.call(advocate, "/consent/v1/subjects", {"age_band": "under_16"}).json()
    with house.context.database.reading() as connection:
        subject = subjects.linked(connection, [(advocate.id, made["ppid"])])[advocate.id, made["ppid"]]
    return Person(subject, made["ppid"], made["claim_code"], made["revoke_code"])


def band(house: House, person: Person) -> str:
    return str(export.overview(house.context, person.subject)["age_band"])


def live(house: House, person: Person) -> int:
    return len(house.rows(grant, grant.c.subject_id == person.subject, grant.c.ended_at.is_(None)))


def test_stated_age_band_decides_later_grants_and_is_recorded(house: House, advocate: Agency, young: Person) -> None:
    """A pending grant goes on waiting, and a grant that she has given stays, whichever band is stated."""
    clinic = house.agency("health")
    waits = give_grant(house.context, young.subject, Wish(clinic.id, "referral", ["health"]))
    assert live(house, young) == 0
    for _ in range(2):  # a repeated statement has no effect
        assert house.call(advocate, STATE, {"ppid": young.ppid, "age_band": "age_18_24"}).status_code == 204
    give_grant(house.context, young.subject, Wish(clinic.id, "service_delivery", ["health"]))
    assert live(house, young) == 1
    assert [row.id for row, _ in second_looks.second_looks_for(house.context, advocate.id)] == [waits], (
        "a pending grant goes on waiting"
    )
    [entry] = [row for row in house.ledger(young) if row.kind == "age.stated"]
    assert (entry.agency, entry.detail["age_band"]) == (advocate.id, "age_18_24")

    house.call(advocate, STATE, {"ppid": young.ppid, "age_band": "under_16"})
    give_grant(house.context, young.subject, Wish(clinic.id, "court_support", ["health"]))
    assert live(house, young) == 1, "younger again: the new grant waits, and the given one stays"


@pytest.mark.parametrize("sector", ["police", "housing", "justice"])
def test_age_band_from_sector_without_second_look_returns_404(house: House, young: Person, sector: str) -> None:
    agency = house.agency(sector)
    ppid = linked_acts.link(house.context, agency.id, links.make_link_code(house.context, young.subject).code)
    assert house.call(agency, STATE, {"ppid": ppid, "age_band": "age_18_24"}).status_code == 404
    assert band(house, young) == "under_16"


def test_age_band_for_unlinked_or_erased_survivor_returns_404(house: House, advocate: Agency, young: Person) -> None:
    stranger = house.agency("ngo")
    for ppid in (young.ppid, "a" * 26):
        answer = house.call(stranger, STATE, {"ppid": ppid, "age_band": "age_18_24"})
        assert (answer.status_code, answer.json()["title"]) == (404, "Not found.")
    erasure.erase(house.context, young.subject)
    house.clock.move(timedelta(seconds=1))
    assert house.call(advocate, STATE, {"ppid": young.ppid, "age_band": "age_18_24"}).status_code == 404


@pytest.mark.parametrize("rule", [Rule(agency="it"), Rule(sector="ngo"), None], ids=["agency", "sector", "pause"])
def test_age_band_from_shut_out_agency_returns_404(
    house: House, advocate: Agency, young: Person, rule: Rule | None
) -> None:
    if rule is None:
        pause(house.context, young.subject)
    else:
        restrict(house.context, young.subject, replace(rule, agency=rule.agency and advocate.id))
    told, never = (house.call(advocate, STATE, {"ppid": ppid, "age_band": "age_18_24"}) for ppid in (young.ppid, "a"))

    assert (told.status_code, told.content) == (never.status_code, never.content) == (404, told.content)
    assert band(house, young) == "under_16"


def test_age_band_from_partly_restricted_agency_is_accepted(house: House, advocate: Agency, young: Person) -> None:
    """The agency is restricted for one category and one purpose only."""
    for rule in (Rule(agency=advocate.id, category="health"), Rule(agency=advocate.id, purpose="referral")):
        restrict(house.context, young.subject, rule)
    assert house.call(advocate, STATE, {"ppid": young.ppid, "age_band": "age_18_24"}).status_code == 204


@pytest.mark.parametrize("age", ["14", "", "age_18", "under 16"])
def test_age_band_outside_the_codes_returns_400(house: House, advocate: Agency, young: Person, age: str) -> None:
    answer = house.call(advocate, STATE, {"ppid": young.ppid, "age_band": age})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["member"] == "/age_band"
    assert band(house, young) == "under_16"
