"""Texts that she approved word for word under a grant: kept as keyed digests, and compared with what would be sent.

The key of the digests is derived from the grant's private key. When the grant ends that key is destroyed, and then a
digest tells nothing about any text, not even to somebody who guesses it.
"""

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.common import part_texts
from services.consent.context import Context
from services.consent.store import keys as key_store
from services.consent.store import texts

HERS = "summary"
"""The category that she can write herself: then nobody else's words are sealed in it."""


@dataclass(frozen=True, slots=True)
class Approved:
    """What she approved, for some grants: the key of the digests and the digests by category, and where her note stands."""

    keys: Mapping[UUID, bytes]
    digests: Mapping[UUID, Mapping[str, bytes]]
    with_note: frozenset[UUID]

    def fitting(self, grant: UUID, posted: Mapping[str, str]) -> frozenset[str]:
        """Return the categories in which nothing but what she approved would be sealed, by the digests of posted parts."""
        known, key = self.digests.get(grant, {}), self.keys.get(grant)
        same = {
            category
            for category, told in posted.items()
            if key and category in known and hmac.compare_digest(_keyed(key, told), known[category])
        }
        return frozenset(same | ({HERS} if grant in self.with_note else set()))


def bind(connection: Connection, grant: UUID, subject: UUID, private: bytes, parts: Mapping[str, Any]) -> None:
    """Keep which texts a new grant allows."""
    key = _key(private)
    rows = [
        {"grant_id": grant, "category": name, "subject_id": subject, "digest": _keyed(key, _digest(name, part))}
        for name, part in sorted(parts.items())
    ]
    texts.add_approved(connection, rows)


def read(context: Context, connection: Connection, bound: Collection[UUID], noted: Collection[UUID] = ()) -> Approved:
    """Return what she approved under the grants in `bound`, and which of these and of `noted` carry her note."""
    digests = texts.approved_under(connection, bound) if bound else {}
    secrets = key_store.grant_secrets(connection, context.keys, list(digests))
    asked = {*bound, *noted}
    keys = {grant: _key(secret) for grant, secret in secrets.items()}
    return Approved(keys, digests, texts.with_note(connection, asked) if asked else frozenset())


def among(approved: Approved, grant: UUID, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return those parts that she approved under a grant, word for word; not one that stands for her own note."""
    fitting = approved.fitting(grant, {name: _digest(name, part) for name, part in parts.items()})
    return {name: parts[name] for name in fitting & approved.digests.get(grant, {}).keys() & parts.keys()}


def holds(approved: Approved, grant: UUID, parts: Mapping[str, Any]) -> bool:
    """Tell whether a grant allows exactly these texts, and no other."""
    same = approved.fitting(grant, {name: _digest(name, part) for name, part in parts.items()})
    return approved.digests.get(grant, {}).keys() == parts.keys() and parts.keys() <= same


def are_approved(approved: Approved, grant: UUID, parts: Mapping[str, Any]) -> bool:
    """Tell whether every part is one that she approved under a grant; an empty part stands where her note goes."""
    told = {name: _digest(name, part) for name, part in parts.items() if part}
    known = approved.digests.get(grant, {})
    return told.keys() <= known.keys() and told.keys() <= approved.fitting(grant, told)


def _digest(category: str, part: Mapping[str, Any]) -> str:
    return part_texts.digest(category, part)


def _key(private: bytes) -> bytes:
    return hmac.digest(private, b"fireweed/approved-texts/v1", "sha256")


def _keyed(key: bytes, told: str) -> bytes:
    return hmac.digest(key, told.encode(), "sha256")
