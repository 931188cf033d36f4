"""Takes docs/screenshots anew, on a phone of 320 pixels: `make screenshots`."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, sync_playwright

from tests.support.consent import house
from tests.support.tour import tour
from tests.support.window import FLAGS, Window, a_window

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "screenshots"
# Each page once; of most, only its fullest state.
ENGLISH = """welcome start words home-empty home-asked yes read-back pin receipt home yes-look waits stopped never past
    past-late mine copy counted reach-safe paper-letters letter new-card keys delete deleted about card check today workers"""
PAGES = {"en": ENGLISH.split(), "fr": ["welcome", "words", "home", "yes", "read-back", "waits", "past-late", "about"]}

# Of a page that holds everything, the beginning.
LONGEST = 5000


def main() -> int:
    """Walk through her pages in each language and keep a picture of each."""
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
        browser.close()
    return 0


def _height(window: Window) -> int:
    return int(window.page.evaluate("document.documentElement.scrollHeight"))


if __name__ == "__main__":
    sys.exit(main())
