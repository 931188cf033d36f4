"""On her page of keys she types a new PIN twice, gives the one she has, and reads that it is done; neither is shown."""

import pytest

from services.consent.handlers.accounts import credentials, sessions
from tests.support.consent import House, during
from tests.support.visitor import NewVisitor, Visitor

PIN, NEW = "271828", "161803"


@pytest.mark.parametrize(
    ("language", "which", "told", "line"),
    [
        ("en", "not the new one", "Your old PIN no longer works.", "You set a new PIN. The old one no longer works."),
        ("fr", "pas le nouveau", "Votre ancien NIP ne marche plus.", "Vous avez choisi un autre NIP."),
    ],
)
def test_she_types_a_new_pin_and_gives_the_one_she_has(
    house: House, arrive: NewVisitor, language: str, which: str, told: str, line: str
) -> None:
    visitor = _at_home(house, arrive, language)
    asked = visitor.send(visitor.get("/my/keys"), "/my/pin", new=NEW, again=NEW)
    assert (asked.status, which in asked.text) == (403, True)
    done = visitor.send(asked, "/my/pin", pin=PIN)

    assert (done.status, told in done.text) == (200, True)
    assert done.response.headers["cache-control"] == "no-store"
    assert NEW not in done.response.text
    assert line in visitor.get("/my/past").text, "after a broken line she finds out here"
    assert visitor.send(visitor.get("/my/paper"), "/my/paper/card").status == 200, "this visit goes on with its PIN"


def test_the_new_pin_is_no_answer_to_the_question_for_the_old_one(house: House, arrive: NewVisitor) -> None:
    visitor = _at_home(house, arrive)
    asked = visitor.send(visitor.get("/my/keys"), "/my/pin", new=NEW, again=NEW)
    assert visitor.send(asked, "/my/pin", pin=NEW).status == 403
    assert "You set a new PIN." not in visitor.get("/my/past").text


def test_what_is_no_pin_or_not_typed_alike_changes_nothing_and_she_can_type_again(
    house: House, arrive: NewVisitor
) -> None:
    visitor = _at_home(house, arrive)
    seen = visitor.send(visitor.send(visitor.get("/my/keys"), "/my/pin"), "/my/pin", pin=PIN)
    for new, again in ((NEW, "161804"), (NEW, ""), ("", NEW)):
        seen = visitor.send(seen, "/my/pin", new=new, again=again)
        assert (seen.status, "The two PINs are not the same." in seen.text) == (400, True)
    for none in ("", "16180", "sample"):
        seen = visitor.send(seen, "/my/pin", new=none, again=none)
        assert (seen.status, "A PIN has six numbers." in seen.text) == (400, True)

    assert "You set a new PIN." not in visitor.get("/my/past").text
    assert visitor.send(seen, "/my/pin", new=NEW, again=NEW).status == 200


def test_sent_once_more_after_a_broken_line_it_is_the_same_pin_that_is_set(house: House, arrive: NewVisitor) -> None:
    visitor = _at_home(house, arrive)
    asked = visitor.send(visitor.get("/my/keys"), "/my/pin", new=NEW, again=NEW)
    assert [visitor.send(asked, "/my/pin", pin=PIN).status for _ in range(2)] == [200, 200]
    house.clock.move(sessions.STEP_UP_TIME)
    assert visitor.send(asked, "/my/pin", pin=PIN).status == 403, "the old one is worth nothing by then"
    assert visitor.send(visitor.get("/my/keys"), "/my/pin", new=PIN, again=PIN, pin=NEW).status == 200


def test_pressed_twice_at_once_she_is_told_that_her_pin_has_changed(
    house: House, arrive: NewVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = _at_home(house, arrive)
    asked = visitor.send(visitor.get("/my/keys"), "/my/pin", new=NEW, again=NEW)

    def press() -> None:
        credentials.new_pin(house.context, sessions.find_session(house.context, visitor.http.cookies["s"]), NEW)

    during(monkeypatch, "pin_hash", press)
    seen = visitor.send(asked, "/my/pin", pin=PIN)
    assert (seen.status, "Your PIN was just changed." in seen.text) == (409, True)
    assert "Nothing was changed." not in seen.text


def _at_home(house: House, arrive: NewVisitor, language: str = "en") -> Visitor:
    """Somebody who has just come in for the first time."""
    before = sessions.claim(house.context, house.person(language=language).claim_code, PIN)
    return arrive(language, before.session)
