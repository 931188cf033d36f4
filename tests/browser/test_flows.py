"""Every flow of hers, in both languages, with scripts and without, enlarged four times, and by the keyboard alone."""

from typing import Any

import pytest

from services.consent.handlers import agencies, rights
from services.consent.handlers.grants import Wish
from services.consent.models import subject
from services.consent.store import subjects
from tests.support.tour import ENLARGED, PIN, WORDS, NewWindow, Window, tour

FIRST_VIEW, WHOLE_VISIT = 30_000, 150_000


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_flow_works_without_scripts_on_a_screen_enlarged_four_times(window: NewWindow, language: str) -> None:
    here = window(language, java_script_enabled=False, **ENLARGED)
    states = list(tour(here))
    assert states[-1] == "deleted"
    assert not any(request.url.endswith("/my/still") for request in here.asked), "no script has run"
    [row] = here.house.rows(subject, subject.c.id == here.person.subject)
    assert (row.state, here.house.kinds(here.person)) == ("erased", []), "and no line is tied to her any more"


def test_by_the_keyboard_alone_she_says_yes_and_takes_it_back(window: NewWindow) -> None:
    here = window(java_script_enabled=False)
    here.come_in()
    asked = Wish(here.other.id, "referral", ["summary", "housing"])
    agencies.ask(here.house.room, here.agency.id, here.person.ppid, asked)
    with here.house.room.database.transaction() as connection:
        subjects.change_subject(connection, here.person.subject, pin_hash=here.house.room.secrets.pin_hash(PIN))
    here.open("/my")
    go(here, 'a[href^="/my/yes?request="]', "Enter")
    reach(here, "#agency")
    here.page.keyboard.press("ArrowDown")
    reach(here, "#purpose-1")
    here.page.keyboard.press("Space")
    reach(here, 'input[value="summary"]')
    here.page.keyboard.press("Space")
    reach(here, "#words")
    here.page.keyboard.type(WORDS)
    go(here, 'form[action="/my/yes/check"] button', "Enter")
    go(here, 'form[action="/my/yes"] button', "Enter")
    reach(here, "#pin")
    here.page.keyboard.type(PIN)
    with here.page.expect_navigation():
        here.page.keyboard.press("Enter")
    assert WORDS in here.page.inner_text("main")
    [grant] = rights.overview(here.house.room, here.person.subject)["grants"]
    assert grant.categories == ["summary"]

    here.open("/my")
    go(here, 'form[action^="/my/stop/"] button', "Space")
    [grant] = rights.overview(here.house.room, here.person.subject)["grants"]
    assert grant.end_reason == "revoked"
    here.open("/my")
    go(here, 'form[action="/my/pause"] button', "Enter")
    assert rights.overview(here.house.room, here.person.subject)["state"] == "paused"


def test_saying_not_now_is_as_easy_as_saying_yes_and_nothing_is_chosen_for_her(window: NewWindow) -> None:
    here = window()
    here.come_in()
    agencies.ask(here.house.room, here.agency.id, here.person.ppid, Wish(here.other.id, "referral", ["summary"]))
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
    assert rights.overview(here.house.room, here.person.subject)["grants"] == []


def test_the_code_on_a_slip_that_is_scanned_leaves_no_trace_in_the_address(window: NewWindow) -> None:
    here = window()
    here.open(f"/my/start#{here.person.claim_code}")
    assert here.page.input_value("#code") == here.person.claim_code
    assert here.page.url == f"{here.house.url}/my/start"
    assert not any(here.person.claim_code in request.url.partition("#")[0] for request in here.asked)


def test_a_page_costs_little_on_a_bad_line(window: NewWindow) -> None:
    here = window()
    line = here.page.context.new_cdp_session(here.page)
    line.send("Network.enable")
    received: list[int] = []

    def count(event: Any) -> None:
        received.append(int(event["encodedDataLength"]))

    line.on("Network.loadingFinished", count)
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
    assert sum(received) < WHOLE_VISIT


def test_the_language_can_be_changed_on_the_way_in_and_later(window: NewWindow) -> None:
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


def go(window: Window, selector: str, key: str) -> None:
    """Walk to something by the Tab key and press another key on it, which leads to another page."""
    reach(window, selector)
    with window.page.expect_navigation():
        window.page.keyboard.press(key)


def reach(window: Window, selector: str) -> None:
    """Walk by the Tab key until it has the focus, and see that nothing covers it."""
    wanted = window.page.locator(selector).first
    for _ in range(80):
        window.page.keyboard.press("Tab")
        if wanted.evaluate("mark => mark === document.activeElement"):
            break
    else:
        raise AssertionError(f"{selector} cannot be reached by the keyboard")
    assert wanted.evaluate("mark => getComputedStyle(mark).outlineStyle") != "none"
    covered = """mark => {
      const { x, y, width, height } = mark.getBoundingClientRect();
      const top = document.elementFromPoint(x + width / 2, y + height / 2);
      return !(top === mark || mark.contains(top) || top?.contains(mark));
    }"""
    assert not wanted.evaluate(covered)
