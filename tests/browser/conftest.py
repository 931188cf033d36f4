"""One Chromium and one consent service for the whole run, and a separate browser context for each test."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import schemas
from services.reporting.store.capacity import keep_capacity
from tests.support.consent import House, house
from tests.support.hubs import TestHub, embedded_hub
from tests.support.published_quarter import release
from tests.support.shelves import FIRST_DAY, Front, drafts, front, serve_pages
from tests.support.window import FLAGS, NewWindow, Window, a_window

# Browsers allow passkeys for a host name only, not for an IP address.
NAME = "localhost"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "Chromium is not installed; `make test` says how"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """Yield a page in a browser context of its own."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHub]:
    folder: Path = tmp_path_factory.mktemp("hub")
    with embedded_hub(folder) as running:
        yield running


@pytest.fixture(scope="session")
def consent_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("consent")
    with house(f"sqlite:///{folder / 'consent.sqlite'}", folder, NAME) as made:
        yield made


@pytest.fixture
def window(chromium: Browser, consent_service: House) -> Iterator[NewWindow]:
    """Yield a function that opens a window for a new survivor; all windows close with the test."""
    with ExitStack() as opened:

        def new(language: str = "en", **wishes: Any) -> Window:
            made = a_window(chromium, consent_service, language, **wishes)
            opened.callback(made.page.context.close)
            return made

        yield new


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the origin of the public pages over publications of a made-up cohort."""
    folder: Path = tmp_path_factory.mktemp("reports")
    with front(f"sqlite:///{folder / 'reporting.sqlite'}", folder, drafts()) as face, serve_pages(face) as base:
        declare(face)
        yield base


def declare(face: Front) -> None:
    """Declare capacity in each region for each need, so that the live table has its largest size."""
    said = {"agency": "agency-a", "unit": "appointment", "available": 10_000, "total": 10_000, "as_of": FIRST_DAY}
    with face.database.transaction() as connection:
        for region, need in product(sorted(schemas.code_set("regions")), sorted(schemas.code_set("needs"))):
            keep_capacity(connection, {**said, "region": region, "need": need, "program": f"{region}-{need}"})


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the origin of the public pages over a publication that the workflow released."""
    folder: Path = tmp_path_factory.mktemp("released")
    url = f"sqlite:///{folder / 'reporting.sqlite'}"
    release(url, folder)
    with front(url, folder) as face, serve_pages(face) as base:
        yield base
