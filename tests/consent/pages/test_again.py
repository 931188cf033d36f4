"""Her page tells her that a yes ends soon, shows the same yes whole, and gives it again after the PIN."""

from datetime import timedelta

import pytest

from services.consent.models import grant as grant_table
from tests.support.consent import PIN, House
from tests.support.visitor import NewVisitor
from tests.support.word_for_word import allow, ask, send

NASTY = {"needs": '<b>bold</b> & "quoted"'}


def test_yes_that_ends_soon_leads_to_the_same_yes(house: House, arrive: NewVisitor) -> None:
    sender, to = house.agency("ngo"), house.agency("health")
    person = house.person(sender)
    house.give_pin(person)
    first = allow(house, person, ask(house, sender, person, to, {"health": NASTY}), days=30)
    send(house, first, sender, {"health": NASTY})
    way = f"/my/again/{first}"
    assert way not in arrive(token=house.session(person)).get("/my").reader.links
    house.clock.move(timedelta(days=25))
    visitor = arrive(token=house.session(person))
    home = visitor.get("/my")
    assert "It ends soon." in home.text
    assert way in home.reader.links
    shown = visitor.get(way)
    assert NASTY["needs"] in shown.reader.texts
    assert "<b>bold" not in shown.response.text
    asked = visitor.send(shown, way)
    assert "Your PIN, please" in asked.text
    done = visitor.send(asked, way, pin=PIN)
    assert "What you said yes to" in done.text
    assert "Just the words that you read." in done.text
    rows = house.rows(grant_table, grant_table.c.subject_id == person.subject)
    assert [row.only_this for row in rows] == [True, True]


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "This yes cannot be shown to you whole any more."),
        ("fr", "Ce oui ne peut plus vous être montré en entier."),
    ],
)
def test_yes_that_cannot_be_shown_whole_says_so(house: House, arrive: NewVisitor, language: str, told: str) -> None:
    sender, to = house.agency("ngo"), house.agency("health")
    person = house.person(sender, language)
    first = allow(house, person, ask(house, sender, person, to, {"health": NASTY}))
    seen = arrive(language, token=house.session(person)).get(f"/my/again/{first}")
    assert (seen.status, told in seen.text) == (409, True)
    assert len(house.rows(grant_table, grant_table.c.subject_id == person.subject)) == 1
