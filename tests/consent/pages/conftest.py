"""One consent service on SQLite for all tests of pages (pages have no queries of their own), and visitors."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.consent import House
from tests.support.consent import house as open_house
from tests.support.visitor import NewVisitor, Visitor


@pytest.fixture(scope="session")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("pages")
    with open_house(f"sqlite:///{folder / 'consent.sqlite'}", folder) as made:
        yield made


@pytest.fixture
def arrive(house: House) -> Iterator[NewVisitor]:
    """Yield a function that makes a visitor with a language and, if given, a session; all close with the test."""
    with ExitStack() as leaving:

        def new(language: str = "en", token: str | None = None) -> Visitor:
            visitor = Visitor(house.url, language)
            leaving.callback(visitor.close)
            if token:
                visitor.http.cookies.set("s", token, domain="127.0.0.1", path="/my")
            return visitor

        yield new
