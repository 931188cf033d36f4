"""Servers whose files are searched after a test."""

from collections.abc import Iterator

import pytest

from deploy.testing.postgresql import PostgresServer, temporary_postgres


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """Run a server for one test: its files are searched, so they must not hold data of other tests."""
    with temporary_postgres() as server:
        yield server
