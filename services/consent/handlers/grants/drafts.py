"""The drafts that an agency sends with a request: checked, sealed under a key of their own, and read back to her."""

import hmac
import json
import os
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any
from unicodedata import category as kind_of
from uuid import UUID

from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection

from services.common.authenticated_encryption import seal, unseal
from services.common.encoding import canonical
from services.common.envelope import pad
from services.common.errors import Fault, invalid
from services.common.messaging import contracts
from services.consent.context import Context
from services.consent.store import keys as key_store
from services.consent.store import texts

Drafts = Mapping[str, Mapping[str, Any]]
"""Parts by category, each as `referral.requested.v1` carries it."""
PLAIN = "summary"
"""The one category whose part is a single text, which may be given as such."""
# Line ends and tabs are shown as they are. Other control characters are not shown, and those that turn the direction of
# writing, or spell in invisible letters, let a page show something else than what is sent. So does every character that
# Unicode calls ignorable by default: a second message can be written in them.
_SHOWN = frozenset("\n\t")
_UNREADABLE_KINDS = frozenset({"Cc", "Cf", "Cs", "Co"})
_UNSEEN_BLOCKS = (range(0x180B, 0x1810), range(0xFE00, 0xFE0F), range(0xFFF0, 0xFFF9), range(0xE0000, 0xE1000))
_UNSEEN = frozenset(chr(code) for block in _UNSEEN_BLOCKS for code in block) | frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0"
)
# Persian and Indic scripts, and emoji, are written with these; after any other letter they would be unseen too.
_JOINERS, _EMOJI = frozenset("\u200c\u200d\ufe0f"), ("\ufe0f", "\u200d")


def checked(given: Mapping[str, Any], categories: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the drafts as parts; raise 400 for one that could not be posted, or that she could not read in full."""
    parts = {name: {"text": part} if name == PLAIN and isinstance(part, str) else part for name, part in given.items()}
    # A name is repeated only if it is a code: another one may be personal.
    faults = [] if parts.keys() <= set(categories) else [Fault("/drafts", "Not one of the categories asked for.")]
    for category in sorted(parts.keys() & set(categories)):
        wrong = contracts.part_faults(category, parts[category])
        faults += [Fault(f"/drafts/{category}{member}", detail, accepted) for member, detail, accepted in wrong]
        if not wrong and not _can_be_read(parts[category]):
            faults.append(Fault(f"/drafts/{category}", "Holds characters that cannot be seen.", "text as it is shown"))
    if faults:
        raise invalid(*faults)
    return parts


def keep(context: Context, connection: Connection, request: UUID, subject: UUID, parts: Drafts) -> None:
    """Seal the drafts of a new request; only this service can open them, and nobody once their key is destroyed."""
    key, number = os.urandom(32), key_store.newest_for(connection, context.keys)
    row = {"request_id": request, "subject_id": subject, "key_encryption_key": number}
    sealed = seal(key, pad(canonical(parts)), request.bytes)
    texts.add_draft(connection, {**row, "wrapped": context.keys.wrap(number, key), "sealed": sealed})


def read(context: Context, connection: Connection, requests: Collection[UUID]) -> dict[UUID, Drafts]:
    """Return the drafts of those requests that have some which can be opened."""
    rows = texts.drafts_of(connection, requests) if requests else []
    secrets = key_store.draft_secrets(connection, context.keys, [row.request_id for row in rows])
    found: dict[UUID, Drafts] = {}
    for row in rows:
        try:
            found[row.request_id] = json.loads(unseal(secrets[row.request_id] or b"", row.sealed, row.request_id.bytes))
        except (InvalidTag, ValueError, KeyError):
            continue
    return found


def show(context: Context, requests: Collection[UUID]) -> dict[UUID, Drafts]:
    """Return to her the drafts of her requests, by request."""
    with context.database.reading() as connection:
        return read(context, connection, requests)


def digest(context: Context, connection: Connection, subject: UUID, parts: Drafts) -> bytes | None:
    """Return a digest by which equal drafts are known again, keyed with her ledger key; None without drafts or that key."""
    secret = key_store.audit_secrets(connection, context.keys, [subject]).get(subject) if parts else None
    return hmac.digest(hmac.digest(secret, b"drafts", "sha256"), canonical(parts), "sha256") if secret else None


def forget_done(context: Context) -> int:
    """Remove the drafts of requests that are answered or over; return how many."""
    with context.database.transaction() as connection:
        return texts.forget_drafts(connection, context.clock.now())


def _can_be_read(part: Mapping[str, Any]) -> bool:
    """Tell whether every character of a part is shown, and nothing in it changes how the rest is shown."""
    pairs = {pair for text in _strings(part) for pair in pairwise(f"\n{text}")}
    return all(_joins(*pair) if pair[1] in _JOINERS else _is_shown(pair[1]) for pair in pairs)


def _is_shown(letter: str) -> bool:
    return letter in _SHOWN or (kind_of(letter) not in _UNREADABLE_KINDS and letter not in _UNSEEN)


def _joins(before: str, joiner: str) -> bool:
    return not before.isascii() and (before not in _JOINERS or (before, joiner) == _EMOJI)


def _strings(value: Any) -> list[str]:
    """Return every text within a value."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return [text for item in value for text in _strings(item)] if isinstance(value, list) else [str(value)]
