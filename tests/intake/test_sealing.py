"""Sealed parts: only the grant's key opens them, only unchanged, and their length reveals little."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import schemas
from services.common.encoding import base64url, from_base64url
from services.common.envelope import (
    PADDING,
    PREFIX,
    Envelope,
    Header,
    NotAnEnvelope,
    part_context,
    part_key,
    read,
    write,
)
from services.intake.sealing import seal
from tests.support.running_intake import open_parts

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
GRANT = "0192f0c1-5b7e-7a30-8c11-2f64d1a0b9e3"
HEADER = Header("0192f0c1-0000-7a30-8c11-2f64d1a0b9e3", "agency-bbbbbbbbbb", GRANT, 3, "referral.requested.v1")
PARTS = {"summary": {"text": "Sample Aspen’s words."}, "housing": {"needs": "A room of her own."}}
TAG_BYTES = 16
FAILURES = (InvalidTag, ValueError)  # `NotAnEnvelope` and what HPKE raises for a key that is none are `ValueError`s

categories = st.sampled_from(sorted(schemas.code_set("categories")))
# Whatever JSON can say; the schemas allow far less.
content = st.text(max_size=40)
values = st.recursive(content | st.integers() | st.booleans() | st.none(), st.lists, max_leaves=4)
contents = st.dictionaries(content, values, max_size=3)
texts = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
headers = st.builds(
    Header, id=texts, recipient=texts, grant=st.uuids().map(str), epoch=st.integers(0, 2**31), type=texts
)


def opened(envelope: Envelope) -> dict[str, Any]:
    return open_parts(KEY, envelope)


@given(headers, st.dictionaries(categories, contents, min_size=1))
def test_whatever_is_sealed_opens_to_the_same_parts(header: Header, parts: Mapping[str, Any]) -> None:
    envelope = read(seal(header, PUBLIC, parts))
    assert envelope.header == header
    assert opened(envelope) == parts


@given(st.binary(min_size=32, max_size=32))
def test_no_other_key_opens_it(other: bytes) -> None:
    key = X25519PrivateKey.from_private_bytes(other)
    assume(key.public_key() != PUBLIC)
    with pytest.raises(InvalidTag):
        open_parts(key, read(seal(HEADER, PUBLIC, PARTS)))


@pytest.mark.parametrize("name", sorted(asdict(HEADER)))
def test_envelope_with_a_changed_header_field_stays_shut(name: str) -> None:
    changed: dict[str, Any] = {
        "id": "0192f0c1-1111-7a30-8c11-2f64d1a0b9e3",
        "recipient": "agency-cccccccccc",
        "grant": "0192f0c1-2222-7a30-8c11-2f64d1a0b9e3",
        "epoch": 4,
        "type": "referral.requested.v2",
    }
    envelope = read(seal(HEADER, PUBLIC, PARTS))
    assert opened(envelope) == PARTS
    with pytest.raises(InvalidTag):
        opened(replace(envelope, header=replace(HEADER, **{name: changed[name]})))


@given(headers)
def test_envelope_under_another_header_stays_shut(header: Header) -> None:
    assume(header != HEADER)
    with pytest.raises(InvalidTag):
        opened(replace(read(seal(HEADER, PUBLIC, PARTS)), header=header))


def test_parts_cannot_change_places_within_an_envelope() -> None:
    envelope = read(seal(HEADER, PUBLIC, PARTS))
    swapped = {"summary": envelope.parts["housing"], "housing": envelope.parts["summary"]}
    for category, part in swapped.items():
        with pytest.raises(InvalidTag):
            opened(replace(envelope, parts={category: part}))


def test_a_part_cannot_be_called_by_another_category() -> None:
    envelope = read(seal(HEADER, PUBLIC, PARTS))
    for category in sorted(schemas.code_set("categories") - {"summary"}):
        with pytest.raises(InvalidTag):
            opened(replace(envelope, parts={category: envelope.parts["summary"]}))


def test_part_cannot_move_to_another_envelope_of_its_grant() -> None:
    first, second = (read(seal(HEADER, PUBLIC, PARTS)) for _ in range(2))
    with pytest.raises(InvalidTag):
        opened(replace(first, parts=second.parts))
    with pytest.raises(InvalidTag):
        opened(replace(first, key=second.key))


def test_a_part_left_out_takes_nothing_from_the_others() -> None:
    envelope = read(seal(HEADER, PUBLIC, PARTS))
    assert opened(replace(envelope, parts={"summary": envelope.parts["summary"]})) == {"summary": PARTS["summary"]}


def test_not_one_bit_of_a_part_can_be_changed() -> None:
    envelope = read(seal(HEADER, PUBLIC, {"summary": {"text": "x"}}))
    part = envelope.parts["summary"]
    for place in range(len(part) * 8):
        with pytest.raises(InvalidTag):
            opened(replace(envelope, parts={"summary": _flipped(part, place)}))


def test_not_one_bit_of_the_wrapped_key_can_be_changed() -> None:
    envelope = read(seal(HEADER, PUBLIC, {"summary": {"text": "x"}}))
    for place in range(len(envelope.key) * 8):
        # X25519 passes over the topmost bit of a public key (RFC 7748, section 5); HPKE binds it all the same.
        with pytest.raises(FAILURES):
            opened(replace(envelope, key=_flipped(envelope.key, place)))


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
@settings(max_examples=300)
def test_envelope_with_a_changed_byte_fails_or_says_the_same(place: int, change: int) -> None:
    document = bytearray(from_base64url(seal(HEADER, PUBLIC, PARTS).removeprefix(PREFIX)))
    document[place % len(document)] ^= change
    _opens_to_nothing_else(PREFIX + base64url(bytes(document)))


@given(st.data())
@settings(max_examples=200)
def test_truncated_envelope_fails(data: st.DataObject) -> None:
    text = seal(HEADER, PUBLIC, PARTS)
    with pytest.raises(NotAnEnvelope):
        read(text[: data.draw(st.integers(0, len(text) - 2))])


def test_a_part_cut_short_fails() -> None:
    envelope = read(seal(HEADER, PUBLIC, {"summary": {"text": "x"}}))
    for length in range(len(envelope.parts["summary"])):
        with pytest.raises(FAILURES):
            opened(replace(envelope, parts={"summary": envelope.parts["summary"][:length]}))


def test_each_part_of_an_envelope_has_its_own_key() -> None:
    keys = {part_key(bytes(32), category) for category in schemas.code_set("categories")}
    assert len(keys) == len(schemas.code_set("categories"))
    assert {len(key) for key in keys} == {32}


@given(headers, headers, categories, categories)
def test_part_is_bound_to_the_whole_header_and_its_category(
    first: Header, second: Header, one: str, other: str
) -> None:
    same = (first, one) == (second, other)
    assert (part_context(first, one) == part_context(second, other)) is same
    assert part_context(first, one) == part_context(replace(first), one)


def test_equal_content_is_sealed_differently_each_time() -> None:
    envelopes = [read(seal(HEADER, PUBLIC, PARTS)) for _ in range(20)]
    assert len({envelope.key for envelope in envelopes}) == len(envelopes)
    assert len({part for envelope in envelopes for part in envelope.parts.values()}) == 2 * len(envelopes)


def test_equal_content_in_two_categories_is_sealed_differently() -> None:
    same = {"needs": "Someone to come along."}
    envelope = read(seal(HEADER, PUBLIC, {"family": same, "legal": same}))
    assert envelope.parts["family"] != envelope.parts["legal"]


@given(st.integers(0, 2000))
def test_sealed_length_tells_only_the_steps_of_padding(length: int) -> None:
    part = {"text": "x" * length}
    content = len(json.dumps(part, separators=(",", ":")))
    sealed = read(seal(HEADER, PUBLIC, {"summary": part})).parts["summary"]
    steps, rest = divmod(len(sealed) - TAG_BYTES, PADDING)
    assert rest == 0
    assert (steps - 1) * PADDING < content <= steps * PADDING


def test_short_contents_have_equal_sealed_lengths() -> None:
    assert len({len(seal(HEADER, PUBLIC, {"summary": {"text": "x" * length}})) for length in range(1, 200)}) == 1


def test_no_clear_text_is_readable_in_an_envelope() -> None:
    text = seal(HEADER, PUBLIC, {"summary": {"text": "canary-word " * 20}})
    assert b"canary" not in from_base64url(text.removeprefix(PREFIX))


def test_malformed_public_key_is_refused_before_sealing() -> None:
    for wrong in (b"", b"short", bytes(33), bytes(32)):
        with pytest.raises(ValueError):  # noqa: PT011 - the library's message is not ours to promise
            seal(HEADER, X25519PublicKey.from_public_bytes(wrong), PARTS)


def _flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _opens_to_nothing_else(text: str) -> None:
    """Check that every part that still opens has the sealed content under the sealed header."""
    try:
        envelope = read(text)
    except NotAnEnvelope:
        return
    for category, part in envelope.parts.items():
        try:
            content = opened(replace(envelope, parts={category: part}))
        except FAILURES:
            continue
        assert (envelope.header, content) == (HEADER, {category: PARTS[category]})


def test_envelope_round_trip_changes_nothing() -> None:
    text = seal(HEADER, PUBLIC, PARTS)
    assert write(read(text)) == text
