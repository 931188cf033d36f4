"""Texts encode bytes and JSON, and decode to the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.encoding import base32, base64url, canonical, from_base64url, random_name

texts = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(st.binary())
def test_base64url_reads_back_and_has_no_padding(data: bytes) -> None:
    text = base64url(data)
    assert from_base64url(text) == data
    assert not set(text) & set("+/=")


@pytest.mark.parametrize("text", ["A", "é", "AAAAA"])
def test_invalid_base64url_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the library's
        from_base64url(text)


@given(st.binary())
def test_base32_is_lower_case_letters_and_digits(data: bytes) -> None:
    assert set(base32(data)) <= set("abcdefghijklmnopqrstuvwxyz234567")


@given(st.integers(1, 64))
def test_a_random_name_is_as_long_as_asked(size: int) -> None:
    assert len(random_name(size)) == size


def test_random_names_differ() -> None:
    assert len({random_name(16) for _ in range(1000)}) == 1000


@given(json_values)
def test_canonical_json_means_the_same(document: object) -> None:
    assert json.loads(canonical(document)) == document


@given(st.dictionaries(texts, json_values, max_size=6))
def test_one_meaning_has_one_spelling(document: dict[str, object]) -> None:
    assert canonical(dict(reversed(document.items()))) == canonical(document)
