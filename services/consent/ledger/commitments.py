"""The two halves of a ledger entry: a public leaf of commitments, and the sealed half that opens them.

The leaf alone tells nothing. With the entry and its salt, anybody can check that the leaf commits to exactly this entry.
"""

import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.common.authenticated_encryption import seal, unseal
from services.common.encoding import base64url, canonical, from_base64url


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


def _commitment(salt: bytes, name: str, value: object) -> str:
    # Each member has a salt of its own, so that one can be shown without the others.
    return base64url(hmac.digest(hmac.digest(salt, name.encode(), "sha256"), canonical(value), "sha256"))
