"""Provides intake alone on each database, with a consent service that a test directs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clocks import StillClock
from tests.support.running_intake import Decider, RunningIntake, decider, running_intake


@pytest.fixture
def consent() -> Iterator[Decider]:
    with decider() as made:
        yield made


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(scope="module")
def shared_intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningIntake]:
    """Yield one intake for the tests of a module that need no empty database; consent cannot be asked."""
    with running_intake(tmp_path_factory.mktemp("intake"), "http://127.0.0.1:1", StillClock()) as made:
        yield made


@pytest.fixture
def running(database_url: str, tmp_path: Path, consent: Decider, clock: StillClock) -> Iterator[RunningIntake]:
    """Yield intake on SQLite and on PostgreSQL; its clock stands still."""
    with running_intake(tmp_path, consent.url, clock, database_url) as made:
        yield made
