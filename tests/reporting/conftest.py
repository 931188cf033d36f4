"""The reporting service's handlers on each database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.counted import CountingContext


@pytest.fixture
def counting(database_url: str, tmp_path: Path) -> Iterator[CountingContext]:
    made = CountingContext.open(database_url, tmp_path)
    yield made
    made.close()
