"""The ledger page: entries have the numbers of the export, and entries with a lost key show only their kind."""

import re

import pytest

from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from services.consent.ledger import entries as ledger
from services.consent.pages.ledger_text import UNTOLD
from tests.support.consent import House
from tests.support.visitor import NewVisitor


@pytest.mark.parametrize(
    ("language", "line", "told"),
    [
        ("en", r"Line (\d+)", "If a number is missing, that line is not about you"),
        ("fr", r"Ligne (\d+)", "S’il manque un numéro, cette ligne ne parle pas de vous"),
    ],
)
def test_ledger_page_numbers_entries_as_the_export_does(
    house: House, arrive: NewVisitor, language: str, line: str, told: str
) -> None:
    """The page also explains why some numbers are missing: those entries are not about her."""
    agency = house.agency()
    person = house.person(agency, language)
    grant = house.allow(person, agency)
    house.person(agency)
    grants.revoke_grant(house.context, person.subject, grant)
    token = house.session(person, stepped_up=True)
    seen = arrive(language, token).get("/my/past")
    shown = [int(number) for number in re.findall(line, seen.text)]
    kept = house.copy(person)["ledger"]

    assert shown == sorted((one["position"] for one in kept if one["kind"] not in UNTOLD), reverse=True)
    assert set(range(min(shown), max(shown))) - set(shown), "some are missing"
    assert told in seen.text


@pytest.mark.parametrize(
    ("language", "told"),
    [
        (
            "en",
            [
                "You paused everything.",
                "An agency may no longer see what you shared. The rest of this line can no longer be read.",
                "An agency got what it asked to read. The rest of this line can no longer be read.",
                "An agency was about to read something of yours. The rest of this line can no longer be read.",
                "Its short name is “request.made”. The rest of this line can no longer be read.",
                "You said yes to an agency. The rest of this line can no longer be read.",
            ],
        ),
        ("fr", ["Un organisme a reçu le texte demandé. On ne peut plus lire le reste de cette ligne."]),
    ],
)
def test_entry_with_lost_key_states_only_its_kind(
    house: House, arrive: NewVisitor, language: str, told: list[str]
) -> None:
    """It says what happened, that the rest cannot be read, and nothing that is not true."""
    agency = house.agency()
    person = house.person(agency, language)
    grant = house.allow(person, agency)
    linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"]))
    assert house.open(agency, house.envelope(grant)).status_code == 200
    grants.revoke_grant(house.context, person.subject, grant)
    grants.pause(house.context, person.subject)
    with house.context.database.transaction() as connection:
        ledger.begin_anew(connection, person.subject)

    seen = arrive(language, house.session(person)).get("/my/past").text
    places = [seen.find(line) for line in told]
    assert -1 not in places, told[places.index(-1)]
    assert places == sorted(places)
    assert not re.search(r"has left|est parti|None|, for |: \.|\. \.", seen)
