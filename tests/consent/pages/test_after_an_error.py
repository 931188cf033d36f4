"""After an error, the message has the focus and the form keeps what was filled in."""

import pytest

from tests.support.consent import PIN, House
from tests.support.visitor import NewVisitor, Seen


def led_to(seen: Seen) -> dict[str, str]:
    """Return the attributes of the element that has the focus when the page opens."""
    [mark] = [given for _, given in seen.reader.marks if "autofocus" in given]
    return mark


def field(seen: Seen, name: str) -> dict[str, str]:
    return next(given for _, given in seen.reader.marks if given.get("name") == name)


@pytest.mark.parametrize(
    ("page", "filled"),
    [
        ("/my/start", {"code": "mistyped slip", "pin": "123456"}),
        ("/my/start", {"code": "a good one", "pin": "12"}),
        ("/my/card", {"code": "mistyped card"}),
        ("/my/check", {"code": "mistyped letter"}),
    ],
)
def test_mistyped_code_stays_in_the_form(arrive: NewVisitor, page: str, filled: dict[str, str]) -> None:
    """The page says "Please look at it and try again", so the code must still be there."""
    visitor = arrive()
    seen = visitor.send(visitor.get(page), page, **filled)
    assert seen.status >= 400
    assert field(seen, "code")["value"] == filled["code"]
    assert led_to(seen) == {"class": "wrong", "id": "wrong", "role": "alert", "tabindex": "-1", "autofocus": ""}
    if "pin" in filled:
        assert "value" not in field(seen, "pin"), "a PIN is never sent back"


@pytest.mark.parametrize(
    ("page", "action", "name"),
    [
        ("/my", "/my/in", "words"),
        ("/my/never", "/my/never", "who"),
        ("/my/mine", "/my/right", "what"),
        ("/my/paper", "/my/paper/letter", "agency"),
        ("/my/reach", "/my/reach", "channel"),
        ("/my/delete", "/my/delete", "sure"),
        ("/my/keys", "/my/pin", "new"),
        ("/my/yes", "/my/yes/check", ""),
    ],
)
def test_error_has_focus_and_its_field_refers_to_it(
    house: House, arrive: NewVisitor, page: str, action: str, name: str
) -> None:
    person = house.person()
    house.give_pin(person)
    house.allow(person, house.agency(), "summary")
    visitor = arrive(token=None if page == "/my" else house.session(person, stepped_up=True))
    filled = {"pin": PIN} if action in {"/my/delete", "/my/pin"} else {}
    seen = visitor.send(visitor.get(page), action, **filled)
    assert seen.status in {400, 401}
    assert led_to(seen)["role"] == "alert"
    if name:
        assert (field(seen, name)["aria-invalid"], field(seen, name)["aria-describedby"]) == ("true", "wrong")


def test_contact_form_without_channel_keeps_other_fields(house: House, arrive: NewVisitor) -> None:
    visitor = arrive(token=house.session(house.person(), stepped_up=True))
    said = {"address": "555-0100", "window": "After lunch", "wording": "Your book is here."}
    seen = visitor.send(visitor.get("/my/reach"), "/my/reach", **said)
    assert {name: field(seen, name)["value"] for name in said} == said
    assert "None" not in seen.text.partition("Which way is safe?")[2], "what cannot be chosen is not offered"
