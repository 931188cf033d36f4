"""She leaves: the view is empty at once, the session is dead, the browser is told to forget, and Back shows nothing."""

import pytest
from playwright.sync_api import Page

from tests.support.window import NewWindow, Window

PAGES = ["", "/yes", "/never", "/past", "/mine", "/delete", "/counted", "/reach", "/paper", "/keys", "/about"]
EMPTY_WITHIN_MS = 300
MARK = "Example Outreach"


def dead(window: Window, token: str) -> bool:
    return window.house.my("GET", "/grants", token).status_code == 401


def cookies(window: Window) -> list[str]:
    return [str(cookie.get("name")) for cookie in window.page.context.cookies()]


def test_the_view_is_empty_before_the_server_has_even_answered(window: NewWindow) -> None:
    here = window()
    here.come_in()
    for path in PAGES:
        here.open(f"/my{path}")
        left = here.page.evaluate(
            """() => {
              const began = performance.now();
              document.getElementById("leave").dispatchEvent(new Event("submit", { cancelable: true }));
              return [document.body.innerText, document.querySelectorAll("main, nav").length, performance.now() - began];
            }"""
        )
        assert left[:2] == ["", 0], path
        assert left[2] < EMPTY_WITHIN_MS


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("path", PAGES)
def test_from_every_page_the_button_ends_it_all(window: NewWindow, path: str, script: bool) -> None:
    here = window(java_script_enabled=script)
    token = here.come_in()
    here.open(f"/my{path}")
    here.send("/my/leave")

    assert here.page.url == f"{here.house.url}/my/today"
    [told] = [answer for answer in here.answered if answer.url.endswith("/my/leave")]
    assert (told.status, told.all_headers().get("clear-site-data")) == (303, '"*"')
    assert dead(here, token)
    assert cookies(here) == []
    here.page.go_back()
    assert MARK not in here.page.content()
    assert here.page.locator("nav").count() == 0
    assert here.page.url in {f"{here.house.url}/my", f"{here.house.url}/my/about"}


@pytest.mark.parametrize("language", ["en", "fr"])
def test_who_left_looks_at_a_calendar_like_any_other(window: NewWindow, language: str) -> None:
    here = window(language)
    here.open("/my/today")
    lines = """cells => cells.map(cell => {
      const text = document.createRange();
      text.selectNodeContents(cell);
      return new Set([...text.getClientRects()].map(line => line.top)).size;
    })"""
    written = [count for count in here.page.locator("th, td").evaluate_all(lines) if count]
    assert len(written) >= 7 + 28
    assert set(written) == {1}, "a day or its name is broken over two lines"


def test_shift_three_times_leaves_and_other_keys_between_do_not(window: NewWindow) -> None:
    here = window()
    token = here.come_in()
    here.open("/my/mine")
    for key in ("Shift", "Shift", "a", "Shift", "Shift"):
        here.page.keyboard.press(key)
    assert not dead(here, token)

    with here.page.expect_navigation(url="**/my/today"):
        here.page.keyboard.press("Shift")
    assert dead(here, token)


def test_shift_three_times_in_more_than_five_seconds_is_writing(window: NewWindow) -> None:
    here = window()
    token = here.come_in()
    here.page.clock.install()
    here.open("/my/mine")
    for _ in range(6):
        here.page.keyboard.press("Shift")
        here.page.clock.run_for(2600)
    assert not dead(here, token)


@pytest.mark.parametrize("path", PAGES)
def test_leaving_is_the_first_thing_that_a_keyboard_or_screen_reader_meets(window: NewWindow, path: str) -> None:
    here = window(java_script_enabled=False)
    token = here.come_in()
    here.open(f"/my{path}")
    here.page.keyboard.press("Tab")
    first = here.page.locator("*:focus")
    assert first.inner_text() == "Leave now"
    assert here.page.get_by_role("button", name="Leave now").count() == 1
    with here.page.expect_navigation():
        here.page.keyboard.press("Enter")
    assert dead(here, token)


def test_after_ten_minutes_alone_the_page_goes_and_while_she_types_it_stays(window: NewWindow) -> None:
    here = window()
    token = here.come_in()
    here.page.clock.install()
    here.open("/my/yes")
    for _ in range(3):
        here.page.clock.run_for(5 * 60_000)
        with here.page.expect_request("**/my/still"):
            here.page.keyboard.press("a")
    assert here.page.url.endswith("/my/yes")
    assert len([request for request in here.asked if request.url.endswith("/my/still")]) == 3

    with here.page.expect_navigation(url="**/my/today"):
        here.page.clock.run_for(10 * 60_000)
    assert dead(here, token)


def test_what_is_typed_is_kept_nowhere_in_the_browser(window: NewWindow) -> None:
    here = window()
    here.come_in()
    here.open("/my/reach")
    here.page.fill("#address", "555-0100")
    here.open("/my")
    assert stored(here.page) == [0, 0, 0, 0]
    assert cookies(here) == ["s"]


def stored(page: Page) -> object:
    return page.evaluate(
        """async () => [localStorage.length, sessionStorage.length, (await indexedDB.databases()).length,
                        (await navigator.serviceWorker.getRegistrations()).length]"""
    )
