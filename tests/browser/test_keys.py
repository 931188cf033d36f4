"""Passkeys in Chromium: they sign in, are listed with first and last use, and can be removed."""

import pytest
from playwright.sync_api import CDPSession

from services.consent.handlers.accounts import sessions
from tests.support.window import PIN, NewWindow, Window

PHONE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def here(window: NewWindow) -> Window:
    made = window()
    claimed = sessions.claim(made.house.context, made.person.claim_code, PIN)
    made.sit_down(claimed.session)
    return made


def phone(window: Window) -> tuple[CDPSession, str]:
    """Attach a virtual authenticator that verifies its user; return the CDP session and the authenticator's id."""
    cdp = window.page.context.new_cdp_session(window.page)
    cdp.send("WebAuthn.enable")
    return cdp, str(cdp.send("WebAuthn.addVirtualAuthenticator", {"options": PHONE})["authenticatorId"])


def add_a_key(window: Window) -> None:
    window.open("/my/keys")
    window.send("/my/keys/new")
    window.send_with_pin("/my/keys/add")


def test_passkey_signs_in_until_it_is_removed(here: Window) -> None:
    phone(here)
    add_a_key(here)
    assert "First used" in here.page.inner_text("main")
    assert "Last used" not in here.page.inner_text("main")

    here.send("/my/leave")
    here.open("/my")
    here.send("/my/in/key")
    assert here.page.locator('form[action="/my/pause"]').count() == 1
    here.open("/my/keys")
    assert "Last used" in here.page.inner_text("main")
    here.send_with_pin("/my/keys/remove")
    assert "There is no key." in here.page.inner_text("main")
    assert here.house.kinds(here.person)[-2:] == ["passkey.added", "passkey.removed"]

    here.send("/my/leave")
    here.open("/my")
    here.send("/my/in/key")
    assert here.page.locator('form[action="/my/pause"]').count() == 0
    assert here.page.get_by_role("alert").first.is_visible()


def test_passkey_does_not_replace_the_pin(here: Window) -> None:
    phone(here)
    add_a_key(here)
    here.send("/my/leave")
    here.open("/my")
    here.send("/my/in/key")
    here.open("/my/counted")
    here.send("/my/counted/yes")
    assert here.page.locator("#pin").count() == 1


def test_phone_without_user_verification_adds_no_passkey(here: Window) -> None:
    cdp, name = phone(here)
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": name, "isUserVerified": False})
    here.open("/my/keys")
    here.send("/my/keys/new")
    here.page.locator('#key [name="pin"]').fill(PIN)
    here.page.locator("#key button").click()
    here.page.locator("#key-trouble").wait_for(state="visible")
    here.open("/my/keys")
    assert "There is no key." in here.page.inner_text("main")


def test_assertion_for_one_browser_fails_in_another(here: Window, window: NewWindow) -> None:
    """The challenge is bound to the cookie, so a copied assertion is worthless elsewhere."""
    phone(here)
    add_a_key(here)
    here.send("/my/leave")
    here.open("/my")
    here.page.route("**/my/in/key", lambda route: route.abort())
    with here.page.expect_request("**/my/in/key") as sent:
        here.page.locator("#key button").click()
    stolen = sent.value.post_data_json or {}
    thief = window()
    thief.open("/my")
    for name in ("key", "credential"):
        script = "([name, value]) => { document.querySelector('#key').elements[name].value = value }"
        thief.page.evaluate(script, [name, stolen[name]])
    with thief.page.expect_navigation():
        thief.page.evaluate("document.querySelector('#key').submit()")
    assert thief.page.locator('form[action="/my/pause"]').count() == 0


def test_sign_in_without_scripts_offers_passphrase_only(window: NewWindow) -> None:
    here = window(java_script_enabled=False)
    claimed = sessions.claim(here.house.context, here.person.claim_code, PIN)
    here.open("/my")
    assert not here.page.locator("#key").is_visible()
    here.send("/my/in", words=claimed.passphrase)
    assert here.page.locator('form[action="/my/pause"]').count() == 1
