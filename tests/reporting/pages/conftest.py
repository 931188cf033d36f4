"""Reporting's public pages over publications of a made-up cohort, shared by all tests that only read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support.shelves import Front, drafts, front


@pytest.fixture(scope="session")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder: Path = tmp_path_factory.mktemp("face")
    with front(f"sqlite:///{folder / 'reporting.sqlite'}", folder, drafts()) as made:
        yield made


@pytest.fixture(scope="session")
def web(face: Front) -> Iterator[TestClient]:
    with TestClient(face.app, follow_redirects=False) as client:
        yield client
