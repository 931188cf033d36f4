"""What a line of the ledger says, split in two: a public leaf of commitments, and the sealed half that opens them.

Whoever has only the leaf learns nothing; whoever is given the line and its salt can check that the leaf says just this.
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
    """What happened, to or by which agency, in codes and ids."""

    at: str
    kind: str
    agency: str | None
    detail: Mapping[str, Any]

    @property
    def members(self) -> dict[str, Any]:
        """What it says, by name; `asdict` would copy each detail, which takes longer than all that follows."""
        return {"at": self.at, "kind": self.kind, "agency": self.agency, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Halves:
    """A record as it is kept."""

    leaf: bytes
    sealed: bytes | None


def instant(moment: datetime) -> str:
    """A time as records spell it."""
    return moment.isoformat(timespec="microseconds")


def public_leaf(record: Record) -> bytes:
    """The leaf of a record that is about no one: as it is."""
    return canonical(record.members)


def committed_leaf(record: Record, salt: bytes) -> bytes:
    """The leaf of a record about a survivor: a commitment to each member, none of which says anything without its salt."""
    return canonical({name: _commitment(salt, name, value) for name, value in record.members.items()})


def sealed_record(record: Record, key: bytes | None) -> Halves:
    """Both halves of a record about a survivor; the sealed one only while she has a key, since nobody may read it after."""
    salt = os.urandom(32)
    leaf = committed_leaf(record, salt)
    if key is None:
        return Halves(leaf, None)
    content = canonical({**record.members, "salt": base64url(salt)})
    return Halves(leaf, seal(key, content, leaf))


def opened_record(halves: Halves, key: bytes) -> tuple[Record, bytes]:
    """The record and its salt; raises `InvalidTag` unless this key sealed it for this leaf."""
    content = json.loads(unseal(key, halves.sealed or b"", halves.leaf))
    salt = from_base64url(content.pop("salt"))
    return Record(**content), salt


def shown(record: Record, salt: bytes) -> dict[str, Any]:
    """A line with its salt, for whoever she shows it to."""
    return {**record.members, "detail": dict(record.detail), "salt": base64url(salt)}


def leaf_shown(line: Mapping[str, Any]) -> bytes:
    """The leaf that a line, as `shown`, must have in the tree; raises `ValueError` when it is not such a line."""
    try:
        record = Record(line["at"], line["kind"], line["agency"], line["detail"])
        return committed_leaf(record, from_base64url(line["salt"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a line of a ledger with its salt") from error


def _commitment(salt: bytes, name: str, value: object) -> str:
    # Each member has a salt of its own, so that one can be shown without the others.
    return base64url(hmac.digest(hmac.digest(salt, name.encode(), "sha256"), canonical(value), "sha256"))
