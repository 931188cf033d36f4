"""Replacing the PIN on the pages: it needs the old PIN, and no answer shows either."""

import pytest

from services.consent.handlers.accounts import credentials, sessions
from tests.support.consent import House, during
from tests.support.visitor import NewVisitor, Visitor

pytestmark = pytest.mark.usefixtures("quick_secrets")

PIN, NEW = "271828", "161803"


@pytest.mark.parametrize(
    ("language", "which", "told", "entry"),
    [
        ("en", "not the new one", "Your old PIN no longer works.", "You set a new PIN. The old one no longer works."),
        ("fr", "pas le nouveau", "Votre ancien NIP ne marche plus.", "Vous avez choisi un autre NIP."),
    ],
)
def test_setting_new_pin_asks_for_the_old_one(
    house: House, arrive: NewVisitor, language: str, which: str, told: str, entry: str
) -> None:
    visitor = _at_home(house, arrive, language)
    asked = visitor.send(visitor.get("/my/keys"), "/my/pin", new=NEW, again=NEW)
    assert (asked.status, which in asked.text) == (403, True)
    done = visitor.send(asked, "/my/pin", pin=PIN)

    assert (done.status, told in done.text) == (200, True)
    assert done.response.headers["cache-control"] == "no-store"
    assert NEW not in done.response.text
    assert entry in visitor.get("/my/past").text, "if the answer is lost, she finds out here"
    assert visitor.send(visitor.get("/my/counted"), "/my/counted/yes").status == 200, "it goes on with its PIN"


def test_new_pin_in_place_of_the_old_one_returns_403(house: House, arrive: NewVisitor) -> None:
    visitor = _at_home(house, arrive)
    asked = visitor.send(visitor.get("/my/keys"), "/my/pin", new=NEW, again=NEW)
    assert visitor.send(asked, "/my/pin", pin=NEW).status == 403
    assert "You set a new PIN." not in visitor.get("/my/past").text


def test_malformed_or_mistyped_new_pin_changes_nothing(house: House, arrive: NewVisitor) -> None:
    """The form says what is wrong and can be sent again."""
    visitor = _at_home(house, arrive)
    seen = visitor.get("/my/keys")
    for new, again in ((NEW, "161804"), (NEW, ""), ("", NEW)):
        seen = visitor.send(seen, "/my/pin", pin=PIN, new=new, again=again)
        assert (seen.status, "The two PINs are not the same." in seen.text) == (400, True)
    for none in ("", "16180", "sample"):
        seen = visitor.send(seen, "/my/pin", pin=PIN, new=none, again=none)
        assert (seen.status, "A PIN has six numbers." in seen.text) == (400, True)

    assert "You set a new PIN." not in visitor.get("/my/past").text
    assert visitor.send(seen, "/my/pin", pin=PIN, new=NEW, again=NEW).status == 200


def test_new_pin_sent_again_finds_the_old_one_void(house: House, arrive: NewVisitor) -> None:
    """The first answer may be lost; after the step-up time the old PIN is refused."""
    visitor = _at_home(house, arrive)
    asked = visitor.send(visitor.get("/my/keys"), "/my/pin", new=NEW, again=NEW)
    assert [visitor.send(asked, "/my/pin", pin=PIN).status for _ in range(2)] == [200, 403]
    assert visitor.get("/my/past").text.count("You set a new PIN.") == 1
    assert visitor.send(visitor.get("/my/keys"), "/my/pin", new=PIN, again=PIN, pin=NEW).status == 200


def test_setting_pin_twice_at_once_returns_409(
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
    """Return a visitor who has just claimed her account."""
    before = sessions.claim(house.context, house.person(language=language).claim_code, PIN)
    return arrive(language, before.session)
