"""Fixtures that run the consent service on each database in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.consent import credentials
from tests.support.clocks import NOON
from tests.support.consent import House
from tests.support.consent import house as open_house


@contextmanager
def _house_on(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[House]:
    url = f"sqlite:///{folder / 'consent.sqlite'}"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_server").empty_database()
    with open_house(url, folder) as made:
        yield made


@pytest.fixture
def quick_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have PINs and passphrases checked by the same function at its least cost: for tests of what follows from a check."""
    for name, least in (("iterations", 1), ("memory_cost", 8)):
        monkeypatch.setitem(credentials.SLOW, name, least)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with _house_on(request.param, request, tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture
def house(shared_house: House) -> House:
    """Return a consent service that other tests share: use only people and agencies that your test adds."""
    shared_house.clock.move(NOON - shared_house.clock.now())
    return shared_house


@pytest.fixture(params=["sqlite", "postgresql"])
def own_house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Yield a consent service for one test alone, which may damage it."""
    with _house_on(request.param, request, tmp_path) as made:
        yield made
