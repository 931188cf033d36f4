"""The front page in a real browser: axe finds nothing, and nothing is wider than a small phone, light or dark."""

from typing import Literal

import pytest
from playwright.sync_api import Browser

from deploy.testing.ports import free_port
from services.common.http.server import BackgroundServer, ByPrefix, listen, origin
from services.front.main import PREFIXES, build
from tests.support.axe import faults

PAGES = ["/", "/en", "/fr", "/developers/en", "/developers/fr"]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.mark.slow
def test_pages_pass_axe_at_320_pixels_and_fit(chromium: Browser) -> None:
    listener = listen(free_port())
    server = BackgroundServer(ByPrefix(dict.fromkeys(PREFIXES, build())), listener)
    server.start()
    try:
        for scheme in SCHEMES:
            context = chromium.new_context(viewport={"width": 320, "height": 640}, color_scheme=scheme)
            page = context.new_page()
            for path in PAGES:
                page.goto(origin(listener) + path)
                assert faults(page) == [], path
                assert page.evaluate("document.documentElement.scrollWidth") <= 320
            context.close()
    finally:
        server.stop()
