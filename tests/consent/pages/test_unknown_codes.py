"""Codes that a newer hub wrote do not break the pages: grants with them can be read and revoked."""

import pytest
from sqlalchemy import update

from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.models import grant, restriction
from tests.support.consent import PIN, House
from tests.support.visitor import NewVisitor

NEWER = "what-a-newer-hub-wrote"


@pytest.mark.parametrize(
    ("language", "unknown", "nothing"),
    [("en", "something that has no name here", "nothing"), ("fr", "quelque chose qui n’a pas de nom ici", "rien")],
)
def test_grants_with_unknown_codes_can_be_read_and_revoked(
    house: House, arrive: NewVisitor, language: str, unknown: str, nothing: str
) -> None:
    agency, person = house.agency(), house.person(language=language)
    house.give_pin(person)
    unnamed, unreadable = house.allow(person, agency), house.allow(person, agency, "health")
    grants.restrict(house.context, person.subject, Rule(sector="police"))
    with house.context.database.transaction() as connection:
        for name, categories in ((unnamed, ["summary", NEWER]), (unreadable, None)):
            changed = update(grant).where(grant.c.id == name)
            connection.execute(changed.values(categories=categories, purpose=NEWER))
        connection.execute(update(restriction).values(sector=NEWER, category=NEWER, purpose=NEWER))
    visitor = arrive(language, house.session(person, stepped_up=True))

    home = visitor.get("/my")
    assert (home.status, unknown in home.text, f": {nothing}." in home.text) == (200, True, True)
    for path in ("/my/never", "/my/mine", "/my/past", f"/my/yes/{unnamed}", f"/my/yes/{unreadable}"):
        seen = visitor.get(path)
        assert (path, seen.status, NEWER in seen.text) == (path, 200, False)
    copy = visitor.send(visitor.get("/my/mine"), "/my/read", pin=PIN)
    assert (copy.status, unknown in copy.text) == (200, True)
    receipt = house.my("GET", f"/receipts/{unnamed}", house.session(person)).json()["receipts"][0]["receipt"]
    assert receipt["pii_processing"]["pii_information"][1] == {"pii_type": NEWER, "label": NEWER}

    for name in (unnamed, unreadable):
        assert visitor.send(visitor.get("/my"), f"/my/stop/{name}").status == 200
    assert house.rows(grant, grant.c.subject_id == person.subject, grant.c.ended_at.is_(None)) == []
