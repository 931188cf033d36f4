"""Visitors of her pages, whose connections end with their test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.consent import House
from tests.support.visitor import Visitor


@pytest.fixture
def arrive(house: House) -> Iterator[Callable[..., Visitor]]:
    """Somebody new at her pages, reading in a language, with a session if one is named."""
    with ExitStack() as leaving:

        def new(language: str = "en", token: str | None = None) -> Visitor:
            visitor = Visitor(house.url, language)
            leaving.callback(visitor.close)
            if token:
                visitor.http.cookies.set("s", token, domain="127.0.0.1", path="/my")
            return visitor

        yield new
