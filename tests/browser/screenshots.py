"""Writes docs/screenshots (`make screenshots`): survivor pages at 320 pixels, public pages at 1100."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, sync_playwright

from tests.support.consent import house
from tests.support.shelves import drafts, front, serve_pages
from tests.support.tour import tour
from tests.support.window import FLAGS, Window, a_window

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "screenshots"
# Each page once, most only in the state that shows most.
ENGLISH = """welcome start words home-empty home-asked yes read-back pin receipt home yes-look waits stopped never past
    past-late mine copy counted reach-safe paper-letters letter new-card keys delete deleted about card check today workers"""
REPORTS = {
    "en-reports": "en/",
    "en-reports-need": "en/r/2026/F2",
    "en-reports-table": "en/r/2026/need-city",
    "en-reports-method": "en/method",
    "en-reports-quality": "en/r/2027-Q1/quality",
    "fr-reports-recommendation": "fr/r/2027-Q1/R3",
}
PAGES = {"en": ENGLISH.split(), "fr": ["welcome", "words", "home", "yes", "read-back", "waits", "past-late", "about"]}

# Longer pages are cut off here.
LONGEST = 5000


def main() -> int:
    """Walk through the survivor pages in each language and save a picture of each, then of the reports."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for language, pages in PAGES.items():
            with house(f"sqlite:///{folder}/{language}.sqlite", Path(folder), "localhost") as made:
                window = a_window(browser, made, language)
                for state in tour(window):
                    if state in pages:
                        top = FloatRect(x=0, y=0, width=320, height=min(LONGEST, _height(window)))
                        window.page.screenshot(path=FOLDER / f"{language}-{state}.png", full_page=True, clip=top)
        reports(browser, Path(folder))
        browser.close()
    return 0


def _height(window: Window) -> int:
    return int(window.page.evaluate("document.documentElement.scrollHeight"))


def reports(browser: Browser, folder: Path) -> None:
    """Save pictures of the public pages over publications of a made-up cohort."""
    with front(f"sqlite:///{folder}/reports.sqlite", folder, drafts()) as face, serve_pages(face) as base:
        page = browser.new_context(viewport={"width": 1100, "height": 800}).new_page()
        for name, path in REPORTS.items():
            page.goto(f"{base}/reporting/{path}")
            page.screenshot(path=FOLDER / f"{name}.png", full_page=True)


if __name__ == "__main__":
    sys.exit(main())
