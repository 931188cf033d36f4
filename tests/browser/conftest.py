"""One Chromium and one consent service for the whole run, and windows that know nothing of each other."""

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
from tests.support.released import release
from tests.support.shelves import FIRST_DAY, Front, drafts, front, serve_pages
from tests.support.window import FLAGS, NewWindow, Window, a_window

# The name by which this machine can have keys: a browser gives none to a number.
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
    """A page in a window that knows nothing of other tests."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHub]:
    folder: Path = tmp_path_factory.mktemp("hub")
    with embedded_hub(folder) as running:
        yield running


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("rooms")
    with house(f"sqlite:///{folder / 'consent.sqlite'}", folder, NAME) as made:
        yield made


@pytest.fixture
def window(chromium: Browser, rooms: House) -> Iterator[NewWindow]:
    """Opens windows at her pages, each for somebody of its own; they close with the test."""
    with ExitStack() as opened:

        def new(language: str = "en", **wishes: Any) -> Window:
            made = a_window(chromium, rooms, language, **wishes)
            opened.callback(made.page.context.close)
            return made

        yield new


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The public pages over publications of a made-up cohort; their origin."""
    folder: Path = tmp_path_factory.mktemp("reports")
    with front(f"sqlite:///{folder / 'reporting.sqlite'}", folder, drafts()) as face, serve_pages(face) as base:
        declare(face)
        yield base


def declare(face: Front) -> None:
    """Say that there is room everywhere, for each need: the live table at its longest and widest."""
    said = {"agency": "agency-a", "unit": "appointment", "available": 10_000, "total": 10_000, "as_of": FIRST_DAY}
    with face.database.transaction() as connection:
        for region, need in product(sorted(schemas.code_set("regions")), sorted(schemas.code_set("needs"))):
            keep_capacity(connection, {**said, "region": region, "need": need, "program": f"{region}-{need}"})


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The public pages over what the gate let out; their origin."""
    folder: Path = tmp_path_factory.mktemp("released")
    url = f"sqlite:///{folder / 'reporting.sqlite'}"
    release(url, folder)
    with front(url, folder) as face, serve_pages(face) as base:
        yield base
