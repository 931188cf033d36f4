"""A written envelope reads back, malformed ones are refused, and no part can be moved to another envelope."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

import schemas
from services.common.encoding import base64url
from services.common.envelope import (
    CONTENT_KEY_BYTES,
    MAX_LENGTH,
    NONCE,
    PADDING,
    PREFIX,
    Envelope,
    Header,
    NotAnEnvelope,
    pad,
    part_context,
    part_key,
    read,
    write,
)

GRANT = "01890000-0000-7000-8000-000000000001"
HEADER = Header("referral-1", "agency-a", GRANT, 3, "referral.requested.v1")
VALID = Envelope(HEADER, bytes(64), {"summary": b"sealed", "housing": b""})
CATEGORIES = sorted(schemas.code_set("categories"))

texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=40)
headers = st.builds(
    Header,
    id=texts,
    recipient=texts,
    grant=st.uuids().map(str),
    epoch=st.integers(0, 2**53),
    type=texts,
)
envelopes = st.builds(
    Envelope,
    header=headers,
    key=st.binary(max_size=80),
    parts=st.dictionaries(st.sampled_from(CATEGORIES), st.binary(max_size=200), max_size=5),
)


def document(**changed: Any) -> dict[str, Any]:
    """Return the text of an envelope with some members changed."""
    inner = {name: getattr(HEADER, name) for name in ("id", "recipient", "grant", "epoch", "type")}
    return {"header": inner, "key": base64url(bytes(64)), "parts": {"summary": base64url(b"sealed")}, **changed}


def written(value: Any) -> str:
    return PREFIX + base64url(json.dumps(value).encode())


@given(envelopes)
def test_written_envelope_reads_back(envelope: Envelope) -> None:
    assert read(write(envelope)) == envelope


@given(envelopes)
def test_written_envelope_is_safe_in_json_and_urls(envelope: Envelope) -> None:
    assert set(write(envelope).removeprefix(PREFIX)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


@given(st.none() | st.booleans() | st.integers() | st.binary() | texts | texts.map(lambda text: PREFIX + text))
def test_other_values_are_not_an_envelope(text: object) -> None:
    with pytest.raises(NotAnEnvelope):
        read(text)


# Plain values are drawn on their own too: recursive strategies draw few of them, and only plain values can be valid.
any_text = st.text(max_size=5) | st.sampled_from(["\x00", "a\ud800"])
plain_values = st.none() | st.booleans() | st.integers() | st.floats() | any_text
json_values = plain_values | st.recursive(
    plain_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["header", "key", "parts", "more"]), json_values)
def test_envelope_with_any_content_is_read_or_refused(name: str, value: object) -> None:
    try:
        envelope = read(written(document(**{name: value})))
    except NotAnEnvelope:
        return
    # The context of a parsed envelope can be computed, which is its first use.
    assert all(part_context(envelope.header, category) for category in envelope.parts)


@given(st.sampled_from([field.name for field in fields(Header)]), json_values)
def test_header_with_any_content_is_read_or_refused(name: str, value: object) -> None:
    try:
        envelope = read(written(document(header={**document()["header"], name: value})))
    except NotAnEnvelope:
        return
    assert envelope.header.context


BROKEN: Mapping[str, Any] = {
    "not an object": [],
    "no header": {"key": "", "parts": {}},
    "no key": {"header": document()["header"], "parts": {}},
    "no parts": {"header": document()["header"], "key": ""},
    "header of another kind": document(header=[]),
    "a header member too many": document(header={**document()["header"], "more": 1}),
    "a header member too few": document(header={"id": "x"}),
    "grant is no id": document(header={**document()["header"], "grant": "sample"}),
    "grant is a number": document(header={**document()["header"], "grant": 5}),
    "epoch is a text": document(header={**document()["header"], "epoch": "3"}),
    "epoch is a truth": document(header={**document()["header"], "epoch": True}),
    "epoch is a fraction": document(header={**document()["header"], "epoch": 3.0}),
    "recipient is a list": document(header={**document()["header"], "recipient": ["agency-a"]}),
    "recipient is not printable": document(header={**document()["header"], "recipient": "agency\x00a"}),
    "recipient is half a character": document(header={**document()["header"], "recipient": "\ud800"}),
    "category is half a character": document(parts={"\ud800": ""}),
    "key of another kind": document(key=[1]),
    "key is no base64": document(key="é"),
    "parts of another kind": document(parts=[]),
    "a part of another kind": document(parts={"summary": {"a": 1}}),
}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
def test_envelope_with_malformed_content_is_refused(value: object) -> None:
    with pytest.raises(NotAnEnvelope):
        read(written(value))


@pytest.mark.parametrize(
    "text",
    [
        PREFIX,
        PREFIX + "%",
        PREFIX + base64url(b"[" * 100_000),
        PREFIX + base64url(b"\xff\xfe"),
        PREFIX + "A" * 1_000_000,
    ],
)
def test_text_that_does_not_decode_is_refused(text: str) -> None:
    with pytest.raises(NotAnEnvelope):
        read(text)


def test_too_long_envelope_is_refused_unread() -> None:
    long = write(replace(VALID, parts={"summary": bytes(MAX_LENGTH)}))
    assert len(long) > MAX_LENGTH
    with pytest.raises(NotAnEnvelope):
        read(long)


def test_another_version_is_refused() -> None:
    with pytest.raises(NotAnEnvelope):
        read(write(VALID).replace(PREFIX, "fw2."))


def test_a_refusal_repeats_nothing() -> None:
    with pytest.raises(NotAnEnvelope) as caught:
        read("sample-aspen-canary")
    assert "canary" not in str(caught.value)


other: Mapping[str, st.SearchStrategy[Any]] = {
    "id": texts,
    "recipient": texts,
    "grant": st.uuids().map(str),
    "epoch": st.integers(0, 2**53),
    "type": texts,
}


@given(headers, st.sampled_from(sorted(other)), st.data())
def test_the_context_differs_when_any_header_field_differs(header: Header, name: str, data: st.DataObject) -> None:
    value = data.draw(other[name])
    changed = Header(**{**asdict(header), name: value})
    same = value == getattr(header, name)
    assert (part_context(header, "summary") == part_context(changed, "summary")) == same


@given(headers, headers, texts, texts)
def test_every_place_has_its_own_context(one: Header, two: Header, first: str, second: str) -> None:
    same = (one, first) == (two, second)
    assert (part_context(one, first) == part_context(two, second)) == same


def test_adjacent_header_values_are_kept_apart() -> None:
    assert replace(HEADER, id="a", type="bc").context != replace(HEADER, id="ab", type="c").context


def test_every_category_has_a_key_of_its_own() -> None:
    keys = {part_key(bytes(CONTENT_KEY_BYTES), category) for category in CATEGORIES}
    assert len(keys) == len(CATEGORIES)
    assert part_key(b"\x01" * CONTENT_KEY_BYTES, "summary") not in keys


def test_part_opens_only_in_its_envelope_and_category() -> None:
    content_key = bytes(range(CONTENT_KEY_BYTES))
    sealed = AESGCM(part_key(content_key, "summary")).encrypt(NONCE, b"{}", part_context(HEADER, "summary"))
    assert AESGCM(part_key(content_key, "summary")).decrypt(NONCE, sealed, part_context(HEADER, "summary")) == b"{}"
    moved = [
        (part_key(content_key, "housing"), part_context(HEADER, "housing")),
        (part_key(content_key, "summary"), part_context(HEADER, "housing")),
        (part_key(content_key, "summary"), part_context(replace(HEADER, recipient="agency-b"), "summary")),
        (part_key(content_key, "summary"), part_context(replace(HEADER, epoch=4), "summary")),
        (part_key(bytes(CONTENT_KEY_BYTES), "summary"), part_context(HEADER, "summary")),
    ]
    for key, context in moved:
        with pytest.raises(InvalidTag):
            AESGCM(key).decrypt(NONCE, sealed, context)


@given(st.dictionaries(texts, texts, max_size=5))
def test_padding_is_ignored_by_json_and_hides_the_length(part: Mapping[str, str]) -> None:
    padded = pad(json.dumps(part).encode())
    assert json.loads(padded) == part
    assert len(padded) % PADDING == 0


def test_texts_of_nearby_lengths_have_equal_size() -> None:
    assert {len(pad(b"x" * length)) for length in range(1, PADDING + 1)} == {PADDING}
    assert len(pad(b"")) in {0, PADDING}


def test_a_grant_in_the_header_is_an_id() -> None:
    assert UUID(read(write(VALID)).header.grant) == UUID(GRANT)
