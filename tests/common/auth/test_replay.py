"""A single-use identifier is accepted once, by any process and with any number of concurrent callers."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import select

from services.common.auth.replay import ReplayGuard
from services.common.database.engine import Database
from tests.support.clocks import NOON
from tests.support.plumbing import metadata, plumbing

TIMEOUT = 20.0


@pytest.fixture
def guard(database: Database) -> ReplayGuard:
    metadata.create_all(database.engine)
    return ReplayGuard(database, plumbing.replay)


def test_identifier_is_new_once(guard: ReplayGuard) -> None:
    assert guard.first_use("a", NOON)
    assert not guard.first_use("a", NOON)
    assert guard.first_use("b", NOON)


def test_identifier_used_by_another_process_is_refused(guard: ReplayGuard, database_url: str) -> None:
    guard.first_use("a", NOON)
    with closing(Database(database_url)) as another:
        assert not ReplayGuard(another, plumbing.replay).first_use("a", NOON)


def test_identifier_used_concurrently_is_accepted_once(guard: ReplayGuard) -> None:
    together = threading.Barrier(8)

    def ask(_number: int) -> bool:
        together.wait(TIMEOUT)
        return guard.first_use("same", NOON)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(8))) == [False] * 7 + [True]


def test_an_identifier_is_forgotten_only_after_it_has_expired(guard: ReplayGuard) -> None:
    guard.first_use("a", NOON)
    guard.forget(NOON)
    assert not guard.first_use("a", NOON)
    guard.forget(NOON + timedelta(seconds=1))
    assert guard.first_use("a", NOON)


@pytest.mark.parametrize("identifier", ["", "é❄", "a\x00b", "x" * 100_000])
def test_any_text_can_be_an_identifier(guard: ReplayGuard, identifier: str) -> None:
    assert guard.first_use(identifier, NOON)
    assert not guard.first_use(identifier, NOON)


def test_an_identifier_is_not_kept_in_clear(guard: ReplayGuard, database: Database) -> None:
    guard.first_use("sample-aspen", NOON)
    with database.reading() as connection:
        kept = connection.execute(select(plumbing.replay)).one()
    assert len(kept.digest) == 32
    assert b"sample-aspen" not in bytes(kept.digest)
