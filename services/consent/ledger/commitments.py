"""The two halves of a ledger entry: a leaf of commitments, and the sealed half that opens them; and the leaf of an act.

A leaf alone tells nothing. With the entry and its salt, anybody can check that the leaf commits to exactly this entry. All
entries of one act about a survivor share one public leaf, so that the tree does not tell how many there are.
"""

import hmac
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.common.authenticated_encryption import seal, unseal
from services.common.encoding import base64url, canonical, from_base64url
from services.common.transparency_log.merkle import (
    Edge,
    Node,
    folded,
    grow,
    inclusion_proof,
    leaf_hash,
    root_from_inclusion,
)


@dataclass(frozen=True, slots=True)
class Record:
    """The content of an entry: what happened, to or by which agency, in codes and ids."""

    at: str
    kind: str
    agency: str | None
    detail: Mapping[str, Any]

    @property
    def members(self) -> dict[str, Any]:
        """The members by name; `asdict` would copy each detail, which takes longer than all that follows."""
        return {"at": self.at, "kind": self.kind, "agency": self.agency, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Halves:
    """The stored form of a record."""

    leaf: bytes
    sealed: bytes | None


def instant(moment: datetime) -> str:
    """Return a time as records spell it (ISO 8601 with microseconds)."""
    return moment.isoformat(timespec="microseconds")


def public_leaf(record: Record) -> bytes:
    """Return the leaf of a record that is about no survivor: its members in clear."""
    return canonical(record.members)


def committed_leaf(record: Record, salt: bytes) -> bytes:
    """Return the leaf of a record about a survivor: a commitment to each member, which tells nothing without its salt."""
    return canonical({name: _commitment(salt, name, value) for name, value in record.members.items()})


def act_leaf(leaves: Sequence[bytes]) -> bytes:
    """Return the public leaf of an act: one commitment to the leaves of its entries, however many they are."""
    edge, _ = grow(Edge(), map(leaf_hash, leaves))
    return _leaf_of_root(edge.root())


def padding_leaf() -> bytes:
    """Return a leaf that commits to nothing and looks like that of an act."""
    return _leaf_of_root(os.urandom(32))


def way_to_act(leaves: Sequence[bytes], index: int) -> bytes:
    """Return the way from the entry at an index of its act to the act's public leaf, as the `extra` of a proof."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    way = inclusion_proof(index, len(hashes), _reader(hashes))
    return canonical({"index": index, "size": len(hashes), "hashes": [base64url(hash_) for hash_ in way]})


def leaf_by_way(leaf: bytes, way: bytes) -> bytes:
    """Return the public leaf to which a way leads from an entry's leaf; raise `ValueError` if it is malformed."""
    try:
        told = json.loads(way)
        hashes = [from_base64url(hash_) for hash_ in told["hashes"]]
        return _leaf_of_root(root_from_inclusion(told["index"], told["size"], leaf_hash(leaf), hashes) or b"")
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not the way from an entry to its leaf") from error


def sealed_record(record: Record, key: bytes | None) -> Halves:
    """Return both halves of a record about a survivor; without a key only the leaf, since nobody may read the rest."""
    salt = os.urandom(32)
    leaf = committed_leaf(record, salt)
    if key is None:
        return Halves(leaf, None)
    content = canonical({**record.members, "salt": base64url(salt)})
    return Halves(leaf, seal(key, content, leaf))


def opened_record(halves: Halves, key: bytes) -> tuple[Record, bytes]:
    """Return the record and its salt; raise `InvalidTag` unless this key sealed it for this leaf."""
    content = json.loads(unseal(key, halves.sealed or b"", halves.leaf))
    salt = from_base64url(content.pop("salt"))
    return Record(**content), salt


def shown(record: Record, salt: bytes) -> dict[str, Any]:
    """Return an entry with its salt, for anybody she shows it to."""
    return {**record.members, "detail": dict(record.detail), "salt": base64url(salt)}


def leaf_shown(entry: Mapping[str, Any]) -> bytes:
    """Return the leaf that a shown entry must have in the tree; raise `ValueError` if it is malformed."""
    try:
        record = Record(entry["at"], entry["kind"], entry["agency"], entry["detail"])
        return committed_leaf(record, from_base64url(entry["salt"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a line of a ledger with its salt") from error


def _leaf_of_root(root: bytes) -> bytes:
    return canonical({"act": base64url(root)})


def _reader(hashes: Sequence[bytes]) -> Node:
    def node(height: int, index: int) -> bytes:
        width = 1 << height
        if height == 0:
            return hashes[index]
        return folded(hashes[index * width : (index + 1) * width])

    return node


def _commitment(salt: bytes, name: str, value: object) -> str:
    # Each member has a salt of its own, so that one can be shown without the others.
    return base64url(hmac.digest(hmac.digest(salt, name.encode(), "sha256"), canonical(value), "sha256"))
