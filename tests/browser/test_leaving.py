"""Leave now: the view is empty at once, the session ends, site data is cleared, and Back shows nothing."""

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


def test_leaving_empties_the_view_before_the_answer(window: NewWindow) -> None:
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
def test_leave_button_on_every_page_ends_the_session(window: NewWindow, path: str, script: bool) -> None:
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
def test_page_after_leaving_is_a_plain_calendar(window: NewWindow, language: str) -> None:
    """It looks like any other calendar: no day or name is broken over two lines."""
    here = window(language)
    here.open("/my/today")
    rows_of_text = """cells => cells.map(cell => {
      const text = document.createRange();
      text.selectNodeContents(cell);
      return new Set([...text.getClientRects()].map(line => line.top)).size;
    })"""
    written = [count for count in here.page.locator("th, td").evaluate_all(rows_of_text) if count]
    assert len(written) >= 7 + 28
    assert set(written) == {1}, "a day or its name is broken over two lines"


def test_three_shifts_in_a_row_leave(window: NewWindow) -> None:
    """With another key between them they do not."""
    here = window()
    token = here.come_in()
    here.open("/my/mine")
    for key in ("Shift", "Shift", "a", "Shift", "Shift"):
        here.page.keyboard.press(key)
    assert not dead(here, token)

    with here.page.expect_navigation(url="**/my/today"):
        here.page.keyboard.press("Shift")
    assert dead(here, token)


def test_three_slow_shifts_do_not_leave(window: NewWindow) -> None:
    """More than five seconds for three presses counts as writing."""
    here = window()
    token = here.come_in()
    here.page.clock.install()
    here.open("/my/mine")
    for _ in range(6):
        here.page.keyboard.press("Shift")
        here.page.clock.run_for(2600)
    assert not dead(here, token)


@pytest.mark.parametrize("path", PAGES)
def test_leave_button_is_first_in_the_tab_order(window: NewWindow, path: str) -> None:
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


def test_idle_page_leaves_after_ten_minutes_without_typing(window: NewWindow) -> None:
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


def test_typed_text_is_not_stored_in_the_browser(window: NewWindow) -> None:
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
