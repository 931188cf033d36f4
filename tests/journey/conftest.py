"""Provides a hub for journeys: embedded and distributed in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hubs import TestHub, distributed_hub, embedded_hub

EMBEDDED = pytest.param("embedded", marks=pytest.mark.backend("sqlite", "local_log"))
DISTRIBUTED = pytest.param("distributed", marks=[pytest.mark.backend("postgresql", "kafka"), pytest.mark.slow])


@pytest.fixture(params=[EMBEDDED, DISTRIBUTED], scope="module")
def running_hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHub]:
    folder: Path = tmp_path_factory.mktemp("hub")
    if request.param == "embedded":
        with embedded_hub(folder) as hub:
            yield hub
        return
    postgres, kafka = request.getfixturevalue("postgres_server"), request.getfixturevalue("kafka_server")
    with distributed_hub(folder, postgres, kafka) as hub:
        yield hub
