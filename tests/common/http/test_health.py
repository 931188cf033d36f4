"""A process is live while it runs, and ready only while its database answers."""

from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from services.common.database.engine import Database
from services.common.http import health
from services.common.http.app import create_app
from tests.support.server_failures import end_sessions


def client(database: Database, *, ready: bool = True) -> TestClient:
    return TestClient(create_app("test", "", [health.router("/test", database, lambda: ready)]))


def test_process_with_its_database_is_live_and_ready(database: Database) -> None:
    with client(database) as http:
        assert http.get("/test/health/live").json() == {"status": "live"}
        assert http.get("/test/health/ready").json() == {"status": "ready"}


def test_unready_process_says_when_to_try_again(database: Database) -> None:
    with client(database, ready=False) as http:
        assert http.get("/test/health/live").status_code == 200
        answer = http.get("/test/health/ready")
        assert answer.status_code == 503
        assert "retry-after" in answer.headers


def test_process_without_its_database_is_live_but_not_ready(tmp_path: Path) -> None:
    (tmp_path / "folder.sqlite").mkdir()
    with closing(Database(f"sqlite:///{tmp_path / 'folder.sqlite'}")) as database, client(database) as http:
        assert http.get("/test/health/live").status_code == 200
        assert http.get("/test/health/ready").status_code == 503


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_process_is_ready_again_once_its_database_is_back(database: Database, database_url: str) -> None:
    with client(database) as http:
        assert http.get("/test/health/ready").status_code == 200
        end_sessions(database_url)
        # The first request finds the lost connection, the second opens a new one.
        assert http.get("/test/health/ready").status_code in {200, 503}
        assert http.get("/test/health/ready").status_code == 200
