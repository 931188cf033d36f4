"""Survivor flows in Chromium: both languages, with and without scripts, enlarged, by keyboard, and their size."""

from typing import Any

import pytest

from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants.grants import Wish
from services.consent.handlers.rights import export
from services.consent.models import subject
from services.consent.store import subjects
from tests.support.tour import NOTE, tour
from tests.support.window import ENLARGED, PIN, NewWindow

FIRST_VIEW, WHOLE_SESSION = 30_000, 150_000


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_flow_works_by_keyboard_without_scripts(window: NewWindow, language: str) -> None:
    """The screen is enlarged four times."""
    here = window(language, keyboard=True, java_script_enabled=False, **ENLARGED)
    states = list(tour(here))
    assert states[-1] == "deleted"
    assert not any(request.url.endswith("/my/still") for request in here.asked), "no script has run"
    [row] = here.house.rows(subject, subject.c.id == here.person.subject)
    assert (row.state, here.house.kinds(here.person)) == ("erased", []), "and no ledger entry is tied to her any more"


def test_grant_and_revocation_work_by_keyboard(window: NewWindow) -> None:
    here = window(java_script_enabled=False)
    here.come_in()
    asked = Wish(here.other.id, "referral", ["summary", "housing"])
    linked_acts.ask(here.house.context, here.agency.id, here.person.ppid, asked)
    with here.house.context.database.transaction() as connection:
        subjects.change_subject(connection, here.person.subject, pin_hash=here.house.context.secrets.pin_hash(PIN))
    here.open("/my")
    here.press(here.page.locator('a[href^="/my/yes?request="]').first, "Enter")
    here.reach(here.page.locator("#agency").first)
    here.page.keyboard.press("ArrowDown")
    here.reach(here.page.locator("#purpose-1").first)
    here.page.keyboard.press("Space")
    here.reach(here.page.locator('input[value="summary"]').first)
    here.page.keyboard.press("Space")
    here.reach(here.page.locator("#words").first)
    here.page.keyboard.type(NOTE)
    here.press(here.page.locator('form[action="/my/yes/check"] button').first, "Enter")
    here.press(here.page.locator('form[action="/my/yes"] button').first, "Enter")
    here.reach(here.page.locator("#pin").first)
    here.page.keyboard.type(PIN)
    with here.page.expect_navigation():
        here.page.keyboard.press("Enter")
    assert NOTE in here.page.inner_text("main")
    [grant] = export.overview(here.house.context, here.person.subject)["grants"]
    assert grant.categories == ["summary"]

    here.open("/my")
    here.press(here.page.locator('form[action^="/my/stop/"] button').first, "Space")
    [grant] = export.overview(here.house.context, here.person.subject)["grants"]
    assert grant.end_reason == "revoked"
    here.open("/my")
    here.press(here.page.locator('form[action="/my/pause"] button').first, "Enter")
    assert export.overview(here.house.context, here.person.subject)["state"] == "paused"


def test_declining_is_as_easy_and_nothing_is_preselected(window: NewWindow) -> None:
    """ "Not now" stands beside "Look at it", both large enough to tap."""
    here = window()
    here.come_in()
    linked_acts.ask(here.house.context, here.agency.id, here.person.ppid, Wish(here.other.id, "referral", ["summary"]))
    here.open("/my")
    buttons = here.page.locator("li .side").first.locator("button, a.button")
    sizes = [box["height"] for one in buttons.all() if (box := one.bounding_box())]
    assert [one.inner_text() for one in buttons.all()] == ["Not now", "Look at it"]
    assert len(sizes) == 2
    assert min(sizes) >= 44

    with here.page.expect_navigation():
        buttons.nth(1).click()
    chosen = here.page.locator("main input:checked")
    assert chosen.count() == 0
    assert here.page.locator("#agency").input_value() == ""
    assert here.page.locator("#days").input_value() == "7"
    here.open("/my")
    requests = here.page.locator('form[action^="/my/requests/"]')
    here.send(requests.first.get_attribute("action") or "")
    assert requests.count() == 0
    assert export.overview(here.house.context, here.person.subject)["grants"] == []


def test_scanned_claim_code_is_removed_from_the_address(window: NewWindow) -> None:
    here = window()
    here.open(f"/my/start#{here.person.claim_code}")
    assert here.page.input_value("#code") == here.person.claim_code
    assert here.page.url == f"{here.house.url}/my/start"
    assert not any(here.person.claim_code in request.url.partition("#")[0] for request in here.asked)


def test_first_view_and_whole_session_stay_small(window: NewWindow) -> None:
    here = window()
    cdp = here.page.context.new_cdp_session(here.page)
    cdp.send("Network.enable")
    received: list[int] = []

    def count(event: Any) -> None:
        received.append(int(event["encodedDataLength"]))

    cdp.on("Network.loadingFinished", count)
    here.open("/my")
    here.page.wait_for_load_state("networkidle")
    assert 1_000 < sum(received) < FIRST_VIEW

    here.open("/my/start")
    here.send("/my/start", code=here.person.claim_code, pin=PIN)
    for path in ("", "/yes", "/never", "/past", "/mine", "/reach", "/paper", "/counted", "/keys", "/about"):
        here.open(f"/my{path}")
    choices: Any = {"purpose": "referral", "category": ["summary", "housing"]}
    here.open("/my/yes")
    here.send("/my/yes/check", agency=here.other.id, **choices)
    here.send("/my/yes")
    here.send("/my/yes", pin=PIN)
    here.send("/my/leave")
    here.page.wait_for_load_state("networkidle")
    assert len(received) > 15
    assert sum(received) < WHOLE_SESSION


def test_language_can_be_changed_before_and_after_sign_in(window: NewWindow) -> None:
    here = window("fr")
    here.open("/my")
    assert here.page.locator("html").get_attribute("lang") == "fr"
    here.page.get_by_role("link", name="English").click()
    assert here.page.locator("html").get_attribute("lang") == "en"
    here.come_in()
    here.open("/my")
    here.send("/my/language")
    here.open("/my/past")
    assert here.page.locator("html").get_attribute("lang") == "en"
