"""After an error she is led to it first, and what she had filled in is still there to be put right."""

import pytest

from tests.support.consent import House
from tests.support.visitor import NewVisitor, Seen


def led_to(seen: Seen) -> dict[str, str]:
    """What has the focus when the page opens."""
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
def test_a_mistyped_code_is_still_there_to_be_looked_at(arrive: NewVisitor, page: str, filled: dict[str, str]) -> None:
    """ "Please look at it and try again": she cannot look at what is gone."""
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
def test_an_error_is_reached_first_and_its_field_says_which_error_is_its(
    house: House, arrive: NewVisitor, page: str, action: str, name: str
) -> None:
    person = house.person()
    house.allow(person, house.agency(), "summary")
    visitor = arrive(token=None if page == "/my" else house.session(person, stepped_up=True))
    seen = visitor.send(visitor.get(page), action)
    assert seen.status in {400, 401}
    assert led_to(seen)["role"] == "alert"
    if name:
        assert (field(seen, name)["aria-invalid"], field(seen, name)["aria-describedby"]) == ("true", "wrong")


def test_what_she_said_about_contact_stays_when_she_forgot_the_way(house: House, arrive: NewVisitor) -> None:
    visitor = arrive(token=house.session(house.person(), stepped_up=True))
    said = {"address": "555-0100", "window": "After lunch", "wording": "Your book is here."}
    seen = visitor.send(visitor.get("/my/reach"), "/my/reach", **said)
    assert {name: field(seen, name)["value"] for name in said} == said
    assert "None" not in seen.text.partition("Which way is safe?")[2], "what cannot be chosen is not offered"
