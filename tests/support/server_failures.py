"""Failures of real servers that a test started: a frozen Kafka broker, and ended PostgreSQL sessions."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from deploy.testing.kafka import KafkaServer
from services.common.database.engine import Database


@contextmanager
def frozen(server: KafkaServer) -> Iterator[None]:
    """Freeze the broker's process: connections stay open and get no answer."""
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
            # A session counts as ended even if it is gone before its own termination.
            connection.execute(text(f"SELECT pg_terminate_backend(pid, 5000) {others}")).all()
            assert not set(ended) & set(connection.scalars(text(f"SELECT pid {others}")))
    finally:
        killer.close()
