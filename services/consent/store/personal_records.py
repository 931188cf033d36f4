"""Queries on what she wrote or carries: notes, safe contact, letters, requests to correct."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, select, update

from services.common.database.inserts import upsert
from services.common.database.list_parameters import listed, one_of
from services.consent.models import approved_words, correction, letter, link, safe_contact

AnyRow = Row[tuple[Any, ...]]
_NOTES = select(approved_words.c.grant_id, approved_words.c.sealed).where(one_of(approved_words.c.grant_id, "grants"))


def save_note(connection: Connection, row: Mapping[str, object]) -> None:
    """Store her sealed note for a grant, in place of an earlier one."""
    upsert(connection, approved_words, [dict(row)])


def forget_note(connection: Connection, grant_id: UUID) -> None:
    """Remove her note for a grant."""
    connection.execute(delete(approved_words).where(approved_words.c.grant_id == grant_id))


def notes_for(connection: Connection, grants: Sequence[UUID]) -> dict[UUID, bytes]:
    """Return her sealed notes, by grant, for those grants that have one."""
    found = connection.execute(_NOTES, {"grants": listed(grants)})
    return {row.grant_id: bytes(row.sealed) for row in found}


def save_contact(connection: Connection, row: Mapping[str, object]) -> None:
    """Store her sealed safe contact, in place of an earlier one."""
    upsert(connection, safe_contact, [dict(row)])


def contact_of(connection: Connection, subject_id: UUID) -> AnyRow | None:
    """Return her sealed safe contact."""
    return connection.execute(select(safe_contact).where(safe_contact.c.subject_id == subject_id)).one_or_none()


def confirm_contact(connection: Connection, subject_id: UUID, now: datetime) -> None:
    """Record that she has confirmed her safe contact."""
    mine = update(safe_contact).where(safe_contact.c.subject_id == subject_id)
    connection.execute(mine.values(confirmed_at=now))


def forget_contact(connection: Connection, subject_id: UUID) -> None:
    """Remove her safe contact."""
    connection.execute(delete(safe_contact).where(safe_contact.c.subject_id == subject_id))


def add_letter(connection: Connection, row: Mapping[str, object]) -> None:
    """Add a letter."""
    connection.execute(letter.insert(), dict(row))


def letters_of(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """Return a survivor's letters, newest first."""
    query = select(letter).where(letter.c.subject_id == subject_id)
    return connection.execute(query.order_by(letter.c.id.desc())).all()


def end_letter(connection: Connection, subject_id: UUID, letter_id: UUID, now: datetime) -> str | None:
    """End a letter that is still good; return its agency, None if there is none."""
    mine = (letter.c.id == letter_id, letter.c.subject_id == subject_id, letter.c.digest.is_not(None))
    ending = update(letter).where(*mine).values(ended_at=now, digest=None)
    named: str | None = connection.scalar(ending.returning(letter.c.agency))
    return named


def use_letter(connection: Connection, digest: bytes, now: datetime) -> AnyRow | None:
    """Use a letter up and return its row; None if no good one has this digest."""
    good = (letter.c.digest == digest, letter.c.valid_until > now)
    using = update(letter).where(*good).values(used_at=now, digest=None)
    return connection.execute(using.returning(letter)).one_or_none()


def add_correction(connection: Connection, row: Mapping[str, object]) -> None:
    """Add a request to correct."""
    connection.execute(correction.insert(), dict(row))


def corrections_of(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """Return a survivor's requests to correct, newest first."""
    query = select(correction).where(correction.c.subject_id == subject_id)
    return connection.execute(query.order_by(correction.c.id.desc())).all()


def corrections_for(connection: Connection, agency: str, limit: int) -> Sequence[AnyRow]:
    """Return an agency's open requests to correct, oldest first, with its ppid for each survivor if it has one."""
    hers = (link.c.subject_id == correction.c.subject_id) & (link.c.agency == correction.c.agency)
    query = select(correction, link.c.ppid).outerjoin(link, hers).where(correction.c.agency == agency)
    return connection.execute(query.where(correction.c.done_at.is_(None)).order_by(correction.c.id).limit(limit)).all()


def finish_correction(connection: Connection, agency: str, correction_id: UUID, now: datetime) -> AnyRow | None:
    """Mark a request to correct as done and return it; None if this agency has no such open request."""
    its = (correction.c.id == correction_id, correction.c.agency == agency, correction.c.done_at.is_(None))
    return connection.execute(update(correction).where(*its).values(done_at=now).returning(correction)).one_or_none()
