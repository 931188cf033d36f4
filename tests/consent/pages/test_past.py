"""The lines of "Who looked" bear the numbers that they have in her copy, and the page says why some are missing."""

import re

import pytest

from services.consent.handlers import grants
from services.consent.pages.sentences import UNTOLD
from tests.support.consent import House
from tests.support.visitor import NewVisitor


@pytest.mark.parametrize(
    ("language", "line", "told"),
    [
        ("en", r"Line (\d+)", "If a number is missing, that line is not about you"),
        ("fr", r"Ligne (\d+)", "S’il manque un numéro, cette ligne ne parle pas de vous"),
    ],
)
def test_a_line_has_the_number_of_her_copy_and_the_page_says_why_some_are_missing(
    house: House, arrive: NewVisitor, language: str, line: str, told: str
) -> None:
    agency = house.agency()
    person = house.person(agency, language)
    grant = house.allow(person, agency)
    house.person(agency)
    grants.revoke_grant(house.room, person.subject, grant)
    token = house.session(person, stepped_up=True)
    seen = arrive(language, token).get("/my/past")
    shown = [int(number) for number in re.findall(line, seen.text)]
    kept = house.my("GET", "/export", token).json()["ledger"]

    assert shown == sorted((one["position"] for one in kept if one["kind"] not in UNTOLD), reverse=True)
    assert set(range(min(shown), max(shown))) - set(shown), "some are missing"
    assert told in seen.text
