"""An entry has two halves: commitments that reveal nothing, and a sealed record that needs her key and the same leaf."""

import json
import os

import pytest
from cryptography.exceptions import InvalidTag

from services.consent.ledger.commitments import (
    Halves,
    Record,
    committed_leaf,
    leaf_shown,
    opened_record,
    public_leaf,
    sealed_record,
    shown,
)

RECORD = Record("2026-01-01T12:00:00.000000+00:00", "opening.delivered", "agency-x", {"grant": "g", "epoch": 3})
KEY = os.urandom(32)


def test_sealed_half_yields_record_and_salt_of_leaf() -> None:
    halves = sealed_record(RECORD, KEY)
    record, salt = opened_record(halves, KEY)

    assert record == RECORD
    assert committed_leaf(record, salt) == halves.leaf == leaf_shown(shown(record, salt))


def test_neither_half_reveals_record() -> None:
    halves = sealed_record(RECORD, KEY)
    for text in (b"2026", b"opening", b"agency-x", b"grant"):
        assert text not in halves.leaf
        assert text not in (halves.sealed or b"")


def test_wrong_key_wrong_leaf_and_damage_raise_invalid_tag() -> None:
    halves, other = sealed_record(RECORD, KEY), sealed_record(RECORD, KEY)
    sealed = halves.sealed or b""
    wrong = [
        (halves, os.urandom(32)),
        (Halves(other.leaf, sealed), KEY),
        (Halves(halves.leaf, sealed[:-1] + bytes([sealed[-1] ^ 1])), KEY),
        (Halves(halves.leaf, sealed[:5]), KEY),
        (Halves(halves.leaf, None), KEY),
    ]
    for damaged, key in wrong:
        with pytest.raises(InvalidTag):
            opened_record(damaged, key)


def test_equal_members_have_different_commitments() -> None:
    """Showing one member must not reveal an equal one."""
    leaf = json.loads(committed_leaf(Record("same", "same", "same", {}), bytes(32)))
    assert len(set(leaf.values())) == len(leaf) == 4


def test_sealing_without_key_keeps_only_commitments() -> None:
    halves = sealed_record(RECORD, None)
    assert halves.sealed is None
    assert sorted(json.loads(halves.leaf)) == ["agency", "at", "detail", "kind"]


def test_entry_without_subject_is_public() -> None:
    assert json.loads(public_leaf(Record("t", "keys.rotated", None, {"number": 2})))["detail"] == {"number": 2}


@pytest.mark.parametrize("entry", [{}, {"at": "t"}, {**shown(RECORD, KEY), "salt": None}])
def test_malformed_entry_raises_value_error(entry: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a line"):
        leaf_shown(entry)
