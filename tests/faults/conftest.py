"""Servers whose every byte is read afterwards."""

from collections.abc import Iterator

import pytest

from deploy.testing.postgresql import PostgresServer, temporary_postgres


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of this test's own: every byte of it is read, so it had better not hold what other tests left."""
    with temporary_postgres() as server:
        yield server
