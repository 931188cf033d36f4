"""Her pages read each draft back in full and as text, bind her yes to it, and show what was sent."""

from typing import Any
from uuid import UUID

import pytest

from tests.support.consent import Agency, House, Person
from tests.support.visitor import NewVisitor, Visitor
from tests.support.word_for_word import ask, decide, send

NASTY = {"needs": '<b>bold</b> & "quoted"\n{{ 7 * 7 }} </textarea><script>x</script>'}


def meet(house: House) -> tuple[Agency, Agency, Person]:
    sender = house.agency("ngo")
    return sender, house.agency("health"), house.person(sender)


def looked_at(house: House, visitor: Visitor, request: UUID, to: Agency, **changed: Any) -> Any:
    wish = {"agency": to.id, "purpose": "referral", "category": "health", "days": "7", **changed}
    return visitor.send(visitor.get(f"/my/yes?request={request}"), "/my/yes/check", **wish)


def test_draft_is_read_back_in_full_as_text(house: House, arrive: NewVisitor) -> None:
    sender, to, person = meet(house)
    request = ask(house, sender, person, to, {"health": NASTY})
    visitor = arrive(token=house.session(person, stepped_up=True))
    choosing = visitor.get(f"/my/yes?request={request}")
    checking = looked_at(house, visitor, request, to)
    for page in (choosing, checking):
        assert NASTY["needs"] in page.reader.texts
        assert "<b>bold" not in page.response.text
        assert "<script>x" not in page.response.text
    assert "Just these words." in checking.text


@pytest.mark.parametrize(("only", "binds"), [("", True), ("this", True), ("kind", False)])
def test_yes_on_the_page_binds_as_chosen(house: House, arrive: NewVisitor, only: str, binds: bool) -> None:
    sender, to, person = meet(house)
    request = ask(house, sender, person, to, {"health": NASTY})
    visitor = arrive(token=house.session(person, stepped_up=True))
    checking = looked_at(house, visitor, request, to, only=only)
    done = visitor.send(checking, "/my/yes")
    assert done.status == 200
    assert ("Just the words that you read." in done.text) is binds
    answer = decide(house, sender, person, to, {"health": {"needs": "Other words."}})
    assert (answer.seal is None) is binds


def test_empty_note_leaves_nothing_in_its_place(house: House, arrive: NewVisitor) -> None:
    sender, to, person = meet(house)
    visitor = arrive(token=house.session(person, stepped_up=True))
    wish = {"agency": to.id, "purpose": "referral", "days": "7"}
    alone = visitor.send(visitor.get("/my/yes"), "/my/yes/check", **wish, category="summary")
    assert (alone.status, "There are no words to share yet." in alone.text) == (400, True)
    chosen = [("category", "summary"), ("category", "housing")]
    both = visitor.send(visitor.get("/my/yes"), "/my/yes/check", *chosen, **wish)
    assert "nothing is shared of it: Your note." in both.text
    visitor.send(both, "/my/yes")
    answer = decide(house, sender, person, to, {"summary": {"text": "Theirs."}, "housing": {"needs": "A room."}})
    assert answer.seal is not None
    assert answer.seal.categories == ("housing",)


def test_who_looked_says_it_once_with_a_way_to_the_text(house: House, arrive: NewVisitor) -> None:
    _, to, person = meet(house)
    grant = house.allow(person, to, "health")
    envelope = send(house, grant, to, {"health": NASTY})
    assert house.open(to, envelope).status_code == 200
    visitor = arrive(token=house.session(person))
    past = visitor.get("/my/past")
    assert past.text.count(f"Sample {to.id} read: Your health.") == 1
    assert "was about to read" not in past.text
    assert f"/my/sent/{grant}" in past.reader.links
    seen = visitor.get(f"/my/sent/{grant}")
    assert NASTY["needs"] in seen.reader.texts
    assert "was read here, on your page" in visitor.get("/my/past").text


def test_sent_page_of_an_ended_grant_shows_nothing(house: House, arrive: NewVisitor) -> None:
    _, to, person = meet(house)
    grant = house.allow(person, to, "health")
    send(house, grant, to, {"health": NASTY})
    token = house.session(person)
    house.my("DELETE", f"/grants/{grant}", token)
    visitor = arrive(token=token)
    assert "There is nothing to read here." in visitor.get(f"/my/sent/{grant}").text
    assert f"/my/sent/{grant}" not in visitor.get("/my/past").reader.links
