"""Accessibility of every page in every state: axe-core at WCAG 2.2 A and AA, contrast, width, reading ease, order."""

import re

import pytest
from playwright.sync_api import Page

from tests.browser.test_reports import out_of_reach
from tests.support.axe import CONTRAST, faults
from tests.support.hubs import TestHub
from tests.support.reading import english_grade, french_ease
from tests.support.tour import tour
from tests.support.window import NewWindow, Window

STATES_AT_LEAST = 60
# Words that no title, address or icon may contain.
TELLING = (
    "traffick|traite|exploit|surviv|victim|abuse|abus|violen|crisis|crise|shelter|refuge|police|"
    "consent|escape|safe|help|aide|urgence|emergency|support|sex|fireweed"
)


@pytest.mark.parametrize("path", ["/reporting/en/", "/reporting/fr/"])
def test_public_page_has_no_accessibility_fault(hub: TestHub, page: Page, path: str) -> None:
    assert (answer := page.goto(hub.origins.url(path)))
    assert answer.status == 200
    assert faults(page) == []


def test_axe_finds_known_faults(page: Page) -> None:
    page.set_content("<!doctype html><html><body><input><p style='color: #ccc'>Hello</p></body></html>")
    assert {fault.partition(":")[0] for fault in faults(page)} >= {"html-has-lang", "label", "color-contrast"}


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_survivor_page_state_is_accessible(window: NewWindow, language: str) -> None:
    """At 320 pixels. Also checked: no sideways scrolling, easy text, and no request to another origin."""
    here = window(language)
    seen, wrong = [], {}
    for state in tour(here):
        seen.append(state)
        visible = [*faults(here.page), *_too_faint_at_night(here), *_too_wide(here)]
        visible += _set_as_in_english(here)
        audible = [*_not_led_to_the_error(here), *_sounds_alike(here)]
        if found := [*visible, *audible, *_too_hard(here), *_telling(here), *_no_way_out(here)]:
            wrong[state] = found
    assert wrong == {}
    assert len(seen) == len(set(seen)) >= STATES_AT_LEAST
    assert [request.url for request in here.asked if not request.url.startswith(f"{here.house.url}/")] == []


def _too_faint_at_night(window: Window) -> list[str]:
    """List faults of contrast in dark mode, and a background that is not dark."""
    window.page.emulate_media(color_scheme="dark")
    found = [f"at night, {fault}" for fault in faults(window.page, CONTRAST)]
    paper = window.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightest = max(map(int, re.findall(r"[0-9]+", paper)[:3]))
    window.page.emulate_media(color_scheme="light")
    return found if brightest < 64 else [*found, f"bright at night: {paper}"]


def _too_wide(window: Window) -> list[str]:
    """List widths at which the page scrolls sideways: 320 pixels, and 360 enlarged twice. Wide parts scroll by themselves."""
    found = []
    for width in (180, 320):
        window.page.set_viewport_size({"width": width, "height": 640})
        needed = window.page.evaluate("document.scrollingElement.scrollWidth")
        found += [f"{needed} pixels wide on {width}"] if needed > width else []
        found += out_of_reach(window.page)
    return found


def _too_hard(window: Window) -> list[str]:
    """List a text that is too hard. Stored content, names to choose from and long codes are left out."""
    if window.page.url.endswith("/my/today"):  # a calendar: one date and no text
        return []
    text = window.page.evaluate(
        """() => [...document.querySelectorAll('h1, h2, p, li, label, legend, button, dt')]
              .filter(mark => !mark.closest('[lang=en] dl, .secret, .number') && !mark.querySelector('p, li'))
              .map(mark => {
                const read = mark.cloneNode(true);
                read.querySelectorAll('select').forEach(names => names.remove());
                return read.textContent.trim();
              }).filter(text => text)"""
    )
    assert text
    if window.language == "en":
        grade = english_grade(text)
        return [f"grade {grade:.1f}"] if grade > 6 else []
    ease = french_ease(text)
    return [f"ease {ease:.0f}"] if ease < 80 else []


def _no_way_out(window: Window) -> list[str]:
    """List a page whose first control is not *Leave now*; the page after leaving needs none."""
    if window.page.url.endswith("/my/today"):
        return []
    first = window.page.locator("a, button, input:not([type=hidden]), select, textarea").first
    is_way_out = "mark => mark.matches('form#leave[action=\"/my/leave\"] > button') && mark.checkVisibility()"
    return [] if first.evaluate(is_way_out) else ["leaving does not come first"]


def _set_as_in_english(window: Window) -> list[str]:
    """List colons without a space before them on a French page. Stored content is left out."""
    if window.language == "en":
        return []
    text = window.page.evaluate(
        """() => {
          const page = document.body.cloneNode(true);
          page.querySelectorAll('[lang=en], script').forEach(mark => mark.remove());
          return page.textContent;
        }"""
    )
    return re.findall(r"\S*[^\W\d]: ", text)


def _not_led_to_the_error(window: Window) -> list[str]:
    """List a page whose error lacks the focus on opening; screen readers read and small screens show the focus first."""
    error = window.page.locator("main .wrong:not([hidden])")
    if not error.count() or error.evaluate("mark => mark === document.activeElement"):
        return []
    return ["the error does not have the focus"]


def _sounds_alike(window: Window) -> list[str]:
    """List links and buttons of one name that lead to two places, and names that do not begin with the visible text."""
    return [
        str(fault)
        for fault in window.page.evaluate(
            """() => {
              const places = {}, wrong = [];
              for (const mark of document.querySelectorAll('main a, main form button')) {
                const seen = mark.textContent.trim(), name = mark.ariaLabel || seen;
                if (!name.startsWith(seen)) wrong.push(`${seen} is called ${name}`);
                const form = mark.closest('form');
                const place = mark.href ? new URL(mark.href).pathname
                  : form.getAttribute('action') + (form.querySelector('[name=key]')?.value ?? '');
                if ((places[name] ??= place) !== place) wrong.push(`${name} leads to ${places[name]} and ${place}`);
              }
              return wrong;
            }"""
        )
    ]


def _telling(window: Window) -> list[str]:
    """List words in title, address and icon that would tell a bystander what the page is about."""
    icon = window.page.locator("link[rel=icon]").get_attribute("href") or ""
    path = window.page.url.removeprefix(window.house.url)
    if path.startswith("/consent/workers/"):  # a page for workers, not on her phone
        return []
    shown = f"{window.page.title()} {path} {icon}"
    found = window.page.evaluate("([text, words]) => text.toLowerCase().match(words)", [shown, TELLING])
    return [f"tells {found[0]}"] if found else []
