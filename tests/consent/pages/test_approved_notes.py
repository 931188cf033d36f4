"""Notes on the pages: their length is counted with line breaks as one character, and receipts mark their language."""

from services.consent.handlers.grants import notes
from tests.support.consent import House
from tests.support.visitor import NewVisitor


def test_note_of_the_longest_length_with_crlf_is_accepted(house: House, arrive: NewVisitor) -> None:
    agency, person = house.agency(), house.person()
    visitor = arrive(token=house.session(person, stepped_up=True))
    note = "Please\n" * (notes.LONGEST // 7)
    sent = note.replace("\n", "\r\n")
    wish = {"agency": agency.id, "purpose": "referral", "category": "summary", "days": "7"}
    assert len(note) <= notes.LONGEST < len(sent)

    read_back = visitor.send(visitor.get("/my/yes"), "/my/yes/check", words=sent, **wish)
    assert read_back.status == 200, read_back.text
    fields = dict(read_back.form("/my/yes").fields)
    given = visitor.post("/my/yes", **{**fields, "words": sent})
    assert (given.status, given.text.count("Please")) == (200, notes.LONGEST // 7)
    assert visitor.send(visitor.get("/my/yes"), "/my/yes/check", words=f"{sent}too long", **wish).status == 400


def test_receipt_marks_the_language_of_its_privacy_notice(house: House, arrive: NewVisitor) -> None:
    """The survivor now reads French; the notice she read in English stays English, and screen readers must know."""
    person = house.person()
    grant, token = house.allow(person, house.agency(), "housing"), house.session(person)
    visitor = arrive(token=token)
    visitor.send(visitor.get("/my"), "/my/language", to="fr")
    seen = visitor.get(f"/my/yes/{grant}")
    assert ("html", {"lang": "fr", "dir": "ltr"}) in seen.reader.marks
    assert "Saying no changes nothing." in seen.text
    assert ("ul", {"lang": "en"}) in seen.reader.marks
