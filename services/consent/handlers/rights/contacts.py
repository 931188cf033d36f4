"""Her safe contact: how she may be reached, if at all. Sealed, told to nobody, and good only if confirmed lately."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag

from services.common.authenticated_encryption import seal, unseal
from services.common.envelope import pad
from services.common.errors import Fault, invalid
from services.consent.context import Context
from services.consent.handlers.accounts.sessions import hold_subject
from services.consent.store import keys as key_store
from services.consent.store import personal_records

GOOD_FOR = timedelta(days=30)
LONGEST = {"channel": 32, "address": 200, "window": 200, "wording": 200}


@dataclass(frozen=True, slots=True)
class SafeContact:
    """Her wish, and whether it was confirmed lately enough to be used."""

    wish: Mapping[str, str]
    fresh: bool


def save(context: Context, subject: UUID, wish: Mapping[str, str]) -> None:
    """Keep how she may be reached, confirmed as of now, in place of an earlier wish; raise 400 for too long a text."""
    wrong = [Fault(f"/{name}", "Too long.") for name, most in LONGEST.items() if len(wish[name]) > most]
    if wrong:
        raise invalid(*wrong)
    key = os.urandom(32)
    content = pad(json.dumps(dict(wish), ensure_ascii=False).encode())
    sealed = seal(key, content, subject.bytes)
    with context.database.transaction() as connection:
        hold_subject(connection, subject)
        number = key_store.newest_for(connection, context.keys)
        row = {"subject_id": subject, "key_encryption_key": number, "wrapped": context.keys.wrap(number, key)}
        personal_records.save_contact(connection, {**row, "sealed": sealed, "confirmed_at": context.clock.now()})


def confirm(context: Context, subject: UUID) -> None:
    """Confirm that the contact is still safe."""
    with context.database.transaction() as connection:
        personal_records.confirm_contact(connection, subject, context.clock.now())


def forget(context: Context, subject: UUID) -> None:
    """Remove the contact."""
    with context.database.transaction() as connection:
        personal_records.forget_contact(connection, subject)


def read(context: Context, subject: UUID) -> SafeContact | None:
    """Return her wish; None if she has none, or it can no longer be opened."""
    with context.database.reading() as connection:
        row = personal_records.contact_of(connection, subject)
        key = key_store.contact_secrets(connection, context.keys, [subject]).get(subject)
    if row is None or not key:
        return None
    try:
        content = unseal(key, row.sealed, subject.bytes)
    except InvalidTag:
        return None
    return SafeContact(json.loads(content), row.confirmed_at > context.clock.now() - GOOD_FOR)
