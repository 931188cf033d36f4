"""On her page of keys she asks for new words, gives her PIN and reads them this one time, in her language."""

import pytest

from services.consent.handlers.accounts import credentials, sessions
from tests.support.consent import House, during
from tests.support.visitor import NewVisitor, Visitor

PIN = "271828"


@pytest.mark.parametrize(
    ("language", "told"),
    [("en", "Your old words no longer work."), ("fr", "Vos anciens mots ne marchent plus.")],
)
def test_she_asks_for_new_words_gives_her_pin_and_reads_them_once(
    house: House, arrive: NewVisitor, language: str, told: str
) -> None:
    visitor, before = _at_home(house, arrive, language)
    asked = visitor.send(visitor.get("/my/keys"), "/my/words")
    assert asked.status == 403
    made = visitor.send(asked, "/my/words", pin=PIN)

    assert (made.status, told in made.text) == (200, True)
    assert made.response.headers["cache-control"] == "no-store"
    [words] = [text for text in made.reader.words if house.context.secrets.could_be_passphrase(text)]
    sessions.come_in(house.context, words)
    assert words != before.passphrase
    assert words not in f"{made.response.url} {made.response.headers}"
    assert visitor.get("/my/past").response.url.path == "/my/past", "this visit goes on"


def test_pressed_twice_at_once_she_is_told_that_her_words_have_changed(
    house: House, arrive: NewVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, before = _at_home(house, arrive, "en")

    def press() -> None:
        credentials.new_passphrase(house.context, sessions.find_session(house.context, before.session))

    during(monkeypatch, "passphrase_digest", press)
    seen = visitor.send(visitor.get("/my/keys"), "/my/words", pin=PIN)
    assert (seen.status, "Your words were just changed." in seen.text) == (409, True)
    assert "Nothing was changed." not in seen.text
    again = visitor.send(visitor.get("/my/keys"), "/my/words")
    [words] = [text for text in again.reader.words if house.context.secrets.could_be_passphrase(text)]
    sessions.come_in(house.context, words)


def _at_home(house: House, arrive: NewVisitor, language: str) -> tuple[Visitor, sessions.Claimed]:
    """Somebody who has just come in for the first time."""
    person = house.person(language=language)
    before = sessions.claim(house.context, person.claim_code, PIN)
    return arrive(language, before.session), before
