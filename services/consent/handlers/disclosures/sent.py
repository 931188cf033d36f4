"""Keeps the envelope of every referral under a live grant, and opens it for her own eyes: word for word what was sent.

Her reading goes the way of an opening: under the shared lock, recorded in the ledger before anything is opened (`sent.read`,
repeats counted), with the key of the grant. It leaves to her alone, so no outcome is recorded and no event is sent. Once the
grant has ended its key is destroyed, and nobody reads any of it here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection

from services.common.database.engine import transaction_on
from services.common.errors import not_found, unavailable
from services.common.messaging.cloudevents import Event
from services.consent.context import Context
from services.consent.envelopes import Unopenable, as_delivered, open_envelope, read_envelope
from services.consent.handlers.grants import notes
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.locks import Busy
from services.consent.store import keys as key_store
from services.consent.store import permissions, subjects, texts

PAGE = 20


@dataclass(frozen=True, slots=True)
class Sent:
    """One referral as it was sent; `parts` is None if it can no longer be opened."""

    referral: str | None
    sender: str
    sent_at: datetime
    parts: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class SentPage:
    """A page of what was sent under a grant, newest first, and the `before` of the next page."""

    grant: Any
    sent: Sequence[Sent]
    following: UUID | None


def keep(context: Context, connection: Connection, event: Event) -> None:
    """Handle `referral.sealed.v1`: keep the envelope while its grant lives; what came too late is not kept."""
    grant = UUID(event.data["grant"])
    owner = permissions.owners(connection, [grant]).get(grant)
    if owner is None or not subjects.hold(connection, [owner[0]]):
        return
    # Read again, now that no end can come in between: an envelope kept after it would stay.
    owner = permissions.owners(connection, [grant]).get(grant)
    if owner is None or owner[2] or owner[1] != event.data["to"]:
        return
    row: dict[str, Any] = {"id": context.clock.new_id(), "grant_id": grant, "subject_id": owner[0]}
    row |= {"sender": event.data["from"], "sent_at": event.time, "envelope": event.data["envelope"]}
    texts.add_sent(connection, row)


def read(context: Context, subject: UUID, grant: UUID, before: UUID | None = None) -> SentPage:
    """Return what was sent about her under one of her grants, opened; raise 404 if it is not hers, 503 while she changes it.

    A grant that has ended shows nothing.
    """
    try:
        with context.locks.opening([subject]) as connection:
            with transaction_on(connection):
                row = permissions.get_grant(connection, grant)
                if row is None or row.subject_id != subject:
                    raise not_found()
                now = context.clock.now()
                lives = row.ended_at is None and row.valid_until > now
                kept = texts.sent_under(connection, grant, before, PAGE) if lives else []
                if kept:
                    ledger.append(connection, [Entry("sent.read", subject, row.agency, {"grant": str(grant)})], now)
            return SentPage(row, _opened(context, connection, grant, kept), _next(kept))
    except Busy as error:
        raise unavailable("Something of yours is just changing. Please try again in a moment.", 1) from error


def readable(context: Context, subject: UUID) -> frozenset[UUID]:
    """Return her grants under which something was sent that she can still read."""
    with context.database.reading() as connection:
        return texts.grants_with_sent(connection, subject)


def _next(kept: Sequence[Any]) -> UUID | None:
    return kept[-1].id if len(kept) == PAGE else None


def _opened(context: Context, connection: Connection, grant: UUID, kept: Sequence[Any]) -> list[Sent]:
    if not kept:
        return []
    with transaction_on(connection):
        secrets = key_store.grant_secrets(connection, context.keys, [grant])
        note = notes.approved(connection, secrets).get(grant)
    private = X25519PrivateKey.from_private_bytes(secrets[grant]) if grant in secrets else None
    return [_sent(row, private, note) for row in kept]


def _sent(row: Any, private: X25519PrivateKey | None, note: str | None) -> Sent:
    envelope = read_envelope(row.envelope)
    envelope.categories = envelope.parts
    try:
        parts = as_delivered(open_envelope(envelope, private), note)
    except Unopenable:
        return Sent(None, row.sender, row.sent_at, None)
    return Sent(envelope.header.id, row.sender, row.sent_at, parts)
