"""What intake seals, only the grant's key opens, only as it was sealed, and its length tells little."""

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
from tests.support.front_door import open_parts

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
GRANT = "0192f0c1-5b7e-7a30-8c11-2f64d1a0b9e3"
HEADER = Header("0192f0c1-0000-7a30-8c11-2f64d1a0b9e3", "agency-bbbbbbbbbb", GRANT, 3, "referral.requested.v1")
PARTS = {"summary": {"text": "Sample Aspen’s words."}, "housing": {"needs": "A room of her own."}}
TAG_BYTES = 16
FAILURES = (InvalidTag, ValueError)  # `NotAnEnvelope` and what HPKE raises for a key that is none are `ValueError`s

categories = st.sampled_from(sorted(schemas.code_set("categories")))
# Whatever JSON can say; the schemas allow far less.
words = st.text(max_size=40)
values = st.recursive(words | st.integers() | st.booleans() | st.none(), st.lists, max_leaves=4)
contents = st.dictionaries(words, values, max_size=3)
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
def test_a_box_with_any_header_field_changed_stays_shut(name: str) -> None:
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
def test_a_box_under_any_other_header_stays_shut(header: Header) -> None:
    assume(header != HEADER)
    with pytest.raises(InvalidTag):
        opened(replace(read(seal(HEADER, PUBLIC, PARTS)), header=header))


def test_parts_cannot_change_places_within_a_box() -> None:
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


def test_a_part_cannot_move_to_another_box_of_the_same_grant() -> None:
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
def test_a_box_with_any_byte_of_its_document_changed_fails_or_says_the_same(place: int, change: int) -> None:
    document = bytearray(from_base64url(seal(HEADER, PUBLIC, PARTS).removeprefix(PREFIX)))
    document[place % len(document)] ^= change
    _opens_to_nothing_else(PREFIX + base64url(bytes(document)))


@given(st.data())
@settings(max_examples=200)
def test_a_box_cut_short_fails(data: st.DataObject) -> None:
    text = seal(HEADER, PUBLIC, PARTS)
    with pytest.raises(NotAnEnvelope):
        read(text[: data.draw(st.integers(0, len(text) - 2))])


def test_a_part_cut_short_fails() -> None:
    envelope = read(seal(HEADER, PUBLIC, {"summary": {"text": "x"}}))
    for length in range(len(envelope.parts["summary"])):
        with pytest.raises(FAILURES):
            opened(replace(envelope, parts={"summary": envelope.parts["summary"][:length]}))


def test_each_part_of_a_box_has_a_key_of_its_own() -> None:
    keys = {part_key(bytes(32), category) for category in schemas.code_set("categories")}
    assert len(keys) == len(schemas.code_set("categories"))
    assert {len(key) for key in keys} == {32}


@given(headers, headers, categories, categories)
def test_each_part_is_sealed_in_the_context_of_its_whole_header_and_its_category(
    first: Header, second: Header, one: str, other: str
) -> None:
    same = (first, one) == (second, other)
    assert (part_context(first, one) == part_context(second, other)) is same
    assert part_context(first, one) == part_context(replace(first), one)


def test_the_same_words_look_different_each_time() -> None:
    boxes = [read(seal(HEADER, PUBLIC, PARTS)) for _ in range(20)]
    assert len({box.key for box in boxes}) == len(boxes)
    assert len({part for box in boxes for part in box.parts.values()}) == 2 * len(boxes)


def test_the_same_words_in_two_categories_look_different_within_one_box() -> None:
    same = {"needs": "Someone to come along."}
    box = read(seal(HEADER, PUBLIC, {"family": same, "legal": same}))
    assert box.parts["family"] != box.parts["legal"]


@given(st.integers(0, 2000))
def test_a_parts_length_tells_only_how_many_steps_of_padding_it_fills(length: int) -> None:
    part = {"text": "x" * length}
    content = len(json.dumps(part, separators=(",", ":")))
    sealed = read(seal(HEADER, PUBLIC, {"summary": part})).parts["summary"]
    steps, rest = divmod(len(sealed) - TAG_BYTES, PADDING)
    assert rest == 0
    assert (steps - 1) * PADDING < content <= steps * PADDING


def test_short_words_and_shorter_ones_cannot_be_told_apart_by_length() -> None:
    assert len({len(seal(HEADER, PUBLIC, {"summary": {"text": "x" * length}})) for length in range(1, 200)}) == 1


def test_no_word_of_a_part_is_readable_in_its_box() -> None:
    text = seal(HEADER, PUBLIC, {"summary": {"text": "canary-word " * 20}})
    assert b"canary" not in from_base64url(text.removeprefix(PREFIX))


def test_what_is_not_a_public_key_is_refused_before_anything_is_sealed() -> None:
    for wrong in (b"", b"short", bytes(33), bytes(32)):
        with pytest.raises(ValueError):  # noqa: PT011 - the library's message is not ours to promise
            seal(HEADER, X25519PublicKey.from_public_bytes(wrong), PARTS)


def _flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _opens_to_nothing_else(text: str) -> None:
    """Every part that still opens says what was sealed, under the header that was sealed."""
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


def test_writing_and_reading_a_box_changes_nothing() -> None:
    text = seal(HEADER, PUBLIC, PARTS)
    assert write(read(text)) == text
