"""Her own words: a note that fits the field is taken as it is, whatever a browser sends for the end of a line."""

from services.consent.handlers import words
from tests.support.consent import House
from tests.support.visitor import NewVisitor


def test_a_note_as_long_as_the_field_takes_is_never_too_long(house: House, arrive: NewVisitor) -> None:
    agency, person = house.agency(), house.person()
    visitor = arrive(token=house.session(person, stepped_up=True))
    note = "Please\n" * (words.LONGEST // 7)
    sent = note.replace("\n", "\r\n")
    wish = {"agency": agency.id, "purpose": "referral", "category": "summary", "days": "7"}
    assert len(note) <= words.LONGEST < len(sent)

    read_back = visitor.send(visitor.get("/my/yes"), "/my/yes/check", words=sent, **wish)
    assert read_back.status == 200, read_back.text
    fields = dict(read_back.form("/my/yes").fields)
    given = visitor.post("/my/yes", **{**fields, "words": sent})
    assert (given.status, given.text.count("Please")) == (200, words.LONGEST // 7)
    assert visitor.send(visitor.get("/my/yes"), "/my/yes/check", words=f"{sent}too long", **wish).status == 400
