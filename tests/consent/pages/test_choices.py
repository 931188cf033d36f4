"""Her pages show a request about several agencies once, preselect none, and give the grant to the one she chooses."""

from typing import Any

import pytest

from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants.grants import Wish
from services.consent.models import grant as grant_table
from tests.support.consent import Agency, House, Person
from tests.support.visitor import NewVisitor

YES = {"purpose": "referral", "category": "contact", "days": "7"}


def asked(house: House, language: str = "en") -> tuple[Person, list[Agency], Any]:
    asking = house.agency("ngo")
    person, among = house.person(asking, language), [house.agency() for _ in range(3)]
    wish = Wish("", "referral", ["contact"])
    return person, among, linked_acts.ask(house.context, asking.id, person.ppid, wish, [one.id for one in among])


@pytest.mark.parametrize(("language", "word"), [("en", " or "), ("fr", " ou ")])
def test_request_for_several_is_shown_once(house: House, arrive: NewVisitor, language: str, word: str) -> None:
    person, among, request = asked(house, language)
    home = arrive(language, token=house.session(person)).get("/my")
    assert home.reader.links.count(f"/my/yes?request={request}") == 1
    first, second, third = (f"Sample {name}" for name in sorted(one.id for one in among))
    assert f"{first}, {second}{word}{third}" in home.text


def test_choosing_page_offers_the_choices_and_preselects_none(house: House, arrive: NewVisitor) -> None:
    person, among, request = asked(house)
    other = house.agency()
    visitor = arrive(token=house.session(person, stepped_up=True))
    choosing = visitor.get(f"/my/yes?request={request}")
    offered = {given["value"] for tag, given in choosing.reader.marks if tag == "option"}
    assert {one.id for one in among} <= offered
    assert other.id not in offered
    unchosen = visitor.send(choosing, "/my/yes/check", **YES)
    assert (unchosen.status, "Please choose who." in unchosen.text) == (400, True)


def test_chosen_agency_gets_the_grant(house: House, arrive: NewVisitor) -> None:
    person, among, request = asked(house)
    visitor = arrive(token=house.session(person, stepped_up=True))
    checking = visitor.send(visitor.get(f"/my/yes?request={request}"), "/my/yes/check", agency=among[1].id, **YES)
    assert f"Sample {among[1].id} may see:" in checking.text
    done = visitor.send(checking, "/my/yes")
    assert "What you said yes to" in done.text
    kept = house.rows(grant_table, grant_table.c.subject_id == person.subject)
    assert [row.agency for row in kept] == [among[1].id]
    past = visitor.get("/my/past").text
    assert all(f"Sample {one.id}" in past for one in among)
