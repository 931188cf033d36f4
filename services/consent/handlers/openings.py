"""Openings: the only way in which content leaves. Decided, recorded and sent under one shared lock on the survivor.

The order is the point, and each step of it has a counter-example when it is left out (see docs/adr/0004): lock, decide
for the very grant the envelope names, commit the ledger's intent, open, send, record the outcome, unlock.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from services.common import metrics
from services.common.database import transaction_on
from services.common.envelope import NONCE, SUITE, Envelope, NotAnEnvelope, part_context, part_key, read
from services.common.errors import not_found, unavailable
from services.consent import events, ledger
from services.consent.domain import Decision, Request, decide
from services.consent.handlers import words
from services.consent.keys import KeyGone
from services.consent.ledger import Entry
from services.consent.locks import Busy
from services.consent.room import Room
from services.consent.store import keys as key_store
from services.consent.store import permissions, subjects
from services.consent.store.snapshots import read_snapshots

AT_ONCE = 24
"""Openings under way in one process: fewer than it has threads and connections, so that a revocation finds one free."""
_places = BoundedSemaphore(AT_ONCE)


@dataclass(slots=True)
class Opening:
    """An opening under way: its content is ready to be sent, and its lock is held until `finish`."""

    room: Room
    held: ExitStack
    connection: Connection
    id: UUID
    subject: UUID
    envelope: Envelope
    categories: frozenset[str]
    answer: dict[str, Any]

    @property
    def content(self) -> bytes:
        """The bytes that leave."""
        return json.dumps(self.answer, ensure_ascii=False).encode()

    def finish(self, outcome: str) -> None:
        """Record what became of it, then let go of the lock; the lock goes even when recording fails."""
        with self.held:
            _record_outcome(self, outcome)
        metrics.openings.add(1, {"outcome": outcome})


def begin_opening(room: Room, agency: str, text: str) -> Opening:
    """Do everything up to the first byte. Raises the one 404 for whatever may not be opened."""
    with ExitStack() as held:
        held.enter_context(_place())
        try:
            envelope = read(text)
            grant = _ids_of(envelope)
        except ValueError as error:
            raise not_found() from error
        with room.database.reading() as connection:
            subject = permissions.subjects_of(connection, [grant]).get(grant)
        if subject is None:
            raise not_found()
        try:
            connection = held.enter_context(room.locks.opening([subject]))
        except Busy as error:
            raise unavailable("Her permissions are just changing. Please try again in a moment.", 1) from error
        opening = _decide_and_record(room, connection, agency, subject, envelope)
        if opening is None:
            metrics.openings.add(1, {"outcome": "refused"})
            raise not_found()
        opening.held = held.pop_all()
    return _filled(opening)


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(blocking=False):
        raise unavailable("Too many boxes are being opened. Please try again in a moment.", 1)
    try:
        yield
    finally:
        _places.release()


def _ids_of(envelope: Envelope) -> UUID:
    """The grant that an envelope names; raises `ValueError` unless it names grant and event by ids and nothing else.

    A refusal goes into her ledger before the header is proven, so that a forged one could otherwise write to her there.
    """
    ids = (envelope.header.grant, envelope.header.id)
    if any(str(UUID(name)) != name for name in ids):
        raise NotAnEnvelope
    return UUID(envelope.header.grant)


def _decide_and_record(
    room: Room, connection: Connection, agency: str, subject: UUID, envelope: Envelope
) -> Opening | None:
    """Decide on the primary and commit the ledger's line; None after a refusal, which is recorded as well."""
    header, now = envelope.header, room.clock.now()
    grant, asked = UUID(header.grant), room.policy.categories & envelope.parts.keys()
    with transaction_on(connection):
        snapshot = read_snapshots(connection, room.roster, [subject], [agency]).of(subject, agency)
        recipient, purpose = _terms(connection, grant)
        if snapshot.epoch < header.epoch and recipient == agency:
            # This database has not yet seen what the envelope was sealed after; to decide on it could revive a grant.
            # Nobody else is told so: for them there is nothing here.
            raise unavailable("The hub is catching up. Please try again in a moment.", 1)
        request = Request(agency, purpose, asked, grant)
        decision = decide(snapshot, request, now, room.policy)
        permitted = decision.permitted if header.recipient == agency else frozenset[str]()
        name = room.clock.new_id()
        facts = {"opening": str(name), "referral": header.id, "grant": header.grant, "epoch": decision.epoch}
        facts |= {"policy": decision.policy_version, "rules": _rules(decision)}
        if permitted:
            entry = Entry("opening.intended", subject, agency, facts | {"categories": sorted(permitted)})
        else:
            foreign = {"foreign": True} if header.recipient != agency else {}
            entry = Entry("opening.refused", subject, agency, facts | foreign)
        position = ledger.append(connection, [entry], now)
    if not permitted:
        return None
    answer = {"decision": _told(decision), "epoch": decision.epoch, "ledger": position}
    return Opening(room, ExitStack(), connection, name, subject, envelope, permitted, answer)


def _filled(opening: Opening) -> Opening:
    """Unwrap the grant's key and open the parts; whatever cannot be opened is refused like what may not be."""
    try:
        with transaction_on(opening.connection):
            ppid = subjects.links_of(opening.connection, opening.subject).get(opening.envelope.header.recipient)
            grant = UUID(opening.envelope.header.grant)
            secrets = key_store.grant_secrets(opening.connection, opening.room.keys, [grant])
            parts = _open(opening, secrets.get(grant))
        opening.answer |= {"parts": parts, "ppid": ppid}
    except (KeyGone, InvalidTag, ValueError) as error:
        opening.finish("refused")
        raise not_found() from error
    except BaseException:
        opening.finish("indeterminate")
        raise
    return opening


def _open(opening: Opening, secret: bytes | None) -> dict[str, Any]:
    envelope, header = opening.envelope, opening.envelope.header
    if secret is None:
        raise KeyGone
    private = X25519PrivateKey.from_private_bytes(secret)
    content_key = SUITE.decrypt(envelope.key, private, info=header.context)
    parts = {
        category: json.loads(
            AESGCM(part_key(content_key, category)).decrypt(
                NONCE, envelope.parts[category], part_context(header, category)
            )
        )
        for category in sorted(opening.categories)
    }
    hers = words.approved(opening.connection, UUID(header.grant), secret) if "summary" in parts else None
    # What she wrote for this agency herself stands in place of what somebody sent as her words.
    return parts if hers is None else {**parts, "summary": {"text": hers}}


def _record_outcome(opening: Opening, outcome: str) -> None:
    room, header, now = opening.room, opening.envelope.header, opening.room.clock.now()
    disclosed = events.Disclosure(opening.id, header.id, header.grant, header.recipient, opening.categories)
    made = events.disclosure_made(room.clock, disclosed, outcome)
    facts = {"opening": str(opening.id), "referral": header.id}
    with transaction_on(opening.connection):
        if outcome != "refused":
            room.outbox.add(opening.connection, [made], now)
        ledger.append(opening.connection, [Entry(f"opening.{outcome}", opening.subject, header.recipient, facts)], now)


def _terms(connection: Connection, grant: UUID) -> tuple[str, str]:
    """To whom and what for a grant was given."""
    row = permissions.get_grant(connection, grant)
    return (row.agency, row.purpose) if row else ("", "")


def _rules(decision: Decision) -> dict[str, str]:
    return {category: verdict.rule for category, verdict in decision.verdicts.items()}


def _told(decision: Decision) -> dict[str, object]:
    """What the recipient learns of the decision: what it may have. Why it may not have the rest is not its business."""
    until = decision.valid_until.isoformat() if decision.valid_until else None
    return {"permitted": sorted(decision.permitted), "policy": decision.policy_version, "valid_until": until}
