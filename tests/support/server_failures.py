"""Mishaps of a real server that a test started."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from deploy.testing.kafka import KafkaServer
from services.common.database.engine import Database


@contextmanager
def frozen(server: KafkaServer) -> Iterator[None]:
    """The broker's machine stands still: connections stay open and nothing is answered."""
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server._process.pid, signal.SIGCONT)


def end_sessions(url: str) -> None:
    """End every connection to one PostgreSQL database, as a restart of the server would."""
    killer = Database(url)
    try:
        with killer.reading() as connection:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ended = list(connection.scalars(text(f"SELECT pid {others}")))
            # One that is gone already, since its process met the end of another, counts as ended.
            connection.execute(text(f"SELECT pg_terminate_backend(pid, 5000) {others}")).all()
            assert not set(ended) & set(connection.scalars(text(f"SELECT pid {others}")))
    finally:
        killer.close()
