"""Nobody is kept out by how a page is made: axe-core finds nothing at WCAG 2.2 A and AA."""

import pytest
from playwright.sync_api import Page

from tests.support.axe import faults
from tests.support.hubs import TestHub


@pytest.mark.parametrize("path", ["/my", "/reporting/en/", "/reporting/fr/"])
def test_a_page_that_anybody_may_open_is_for_everybody(hub: TestHub, page: Page, path: str) -> None:
    assert (answer := page.goto(hub.origins.url(path)))
    assert answer.status == 200
    assert faults(page) == []


def test_axe_sees_what_is_wrong(page: Page) -> None:
    page.set_content("<!doctype html><html><body><input><p style='color: #ccc'>Hello</p></body></html>")
    assert {fault.partition(":")[0] for fault in faults(page)} >= {"html-has-lang", "label", "color-contrast"}
