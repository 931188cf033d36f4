"""Replacing the passphrase on the pages: it needs the PIN, and the new passphrase is shown one time."""

import pytest

from services.consent.handlers.accounts import credentials, sessions
from tests.support.consent import House, during
from tests.support.visitor import NewVisitor, Visitor

pytestmark = pytest.mark.usefixtures("quick_secrets")

PIN = "271828"


@pytest.mark.parametrize(
    ("language", "told"),
    [("en", "Your old words no longer work."), ("fr", "Vos anciens mots ne marchent plus.")],
)
def test_new_passphrase_asks_for_pin_and_is_shown_once(
    house: House, arrive: NewVisitor, language: str, told: str
) -> None:
    visitor, before = _at_home(house, arrive, language)
    asked = visitor.send(visitor.get("/my/keys"), "/my/words")
    assert asked.status == 403
    made = visitor.send(asked, "/my/words", pin=PIN)

    assert (made.status, told in made.text) == (200, True)
    assert made.response.headers["cache-control"] == "no-store"
    [passphrase] = [text for text in made.reader.texts if house.context.secrets.could_be_passphrase(text)]
    sessions.come_in(house.context, passphrase)
    assert passphrase != before.passphrase
    assert passphrase not in f"{made.response.url} {made.response.headers}"
    assert visitor.get("/my/past").response.url.path == "/my/past", "this session goes on"


def test_replacing_passphrase_twice_at_once_returns_409(
    house: House, arrive: NewVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, before = _at_home(house, arrive, "en")

    def press() -> None:
        credentials.new_passphrase(house.context, sessions.find_session(house.context, before.session))

    during(monkeypatch, "passphrase_digest", press)
    seen = visitor.send(visitor.get("/my/keys"), "/my/words", pin=PIN)
    assert (seen.status, "Your words were just changed." in seen.text) == (409, True)
    assert "Nothing was changed." not in seen.text
    again = visitor.send(visitor.get("/my/keys"), "/my/words", pin=PIN)
    [passphrase] = [text for text in again.reader.texts if house.context.secrets.could_be_passphrase(text)]
    sessions.come_in(house.context, passphrase)


def _at_home(house: House, arrive: NewVisitor, language: str) -> tuple[Visitor, sessions.Claimed]:
    """Return a visitor who has just claimed her account, and what the claim returned."""
    person = house.person(language=language)
    before = sessions.claim(house.context, person.claim_code, PIN)
    return arrive(language, before.session), before
