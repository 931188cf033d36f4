"""Queries on the texts about her: drafts of requests, digests of what she approved, and the envelopes that were sent."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, exists, or_, select

from services.common.database.inserts import insert_new
from services.common.database.list_parameters import listed, one_of
from services.consent.models import (
    approved_text,
    approved_words,
    consent_request,
    request_draft,
    sent_envelope,
    waiting_grant,
)

AnyRow = Row[tuple[Any, ...]]
# Built once: they are asked for each posting.
_APPROVED = select(approved_text).where(one_of(approved_text.c.grant_id, "grants"))
_WITH_NOTE = select(approved_words.c.grant_id).where(one_of(approved_words.c.grant_id, "grants"))


def add_draft(connection: Connection, row: Mapping[str, object]) -> None:
    """Add the sealed drafts of a request."""
    connection.execute(request_draft.insert(), dict(row))


def drafts_of(connection: Connection, requests: Collection[UUID]) -> Sequence[AnyRow]:
    """Return the sealed drafts of those requests that have some."""
    return connection.execute(select(request_draft).where(request_draft.c.request_id.in_(requests))).all()


def forget_drafts(connection: Connection, now: datetime, subject_id: UUID | None = None) -> int:
    """Remove drafts, of one survivor or of all, whose request is answered or over; return how many.

    Those that a pending grant still holds her yes to are kept until its second look is over.
    """
    mine = () if subject_id is None else (request_draft.c.subject_id == subject_id,)
    over = exists().where(
        consent_request.c.id == request_draft.c.request_id,
        or_(consent_request.c.answered_at.is_not(None), consent_request.c.open_until <= now),
    )
    waits = exists().where(
        waiting_grant.c.only_this_of == request_draft.c.request_id,
        waiting_grant.c.ended_at.is_(None),
        waiting_grant.c.open_until > now,
    )
    return connection.execute(delete(request_draft).where(*mine, over, ~waits)).rowcount


def add_approved(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add the digests of the texts that a new grant allows."""
    insert_new(connection, approved_text, rows)


def approved_under(connection: Connection, grants: Collection[UUID]) -> dict[UUID, dict[str, bytes]]:
    """Return the digests of the allowed texts by grant and category."""
    found: dict[UUID, dict[str, bytes]] = {}
    for row in connection.execute(_APPROVED, {"grants": listed(grants)}):
        found.setdefault(row.grant_id, {})[row.category] = bytes(row.digest)
    return found


def with_note(connection: Connection, grants: Collection[UUID]) -> frozenset[UUID]:
    """Return those of the grants for which she wrote a note."""
    return frozenset(connection.scalars(_WITH_NOTE, {"grants": listed(grants)}))


def add_sent(connection: Connection, row: Mapping[str, Any]) -> None:
    """Keep the envelope of a referral."""
    connection.execute(sent_envelope.insert(), dict(row))


def sent_under(connection: Connection, grant_id: UUID, before: UUID | None, limit: int) -> Sequence[AnyRow]:
    """Return a page of the envelopes that were sent under a grant, newest first, from just before one of them."""
    query = select(sent_envelope).where(sent_envelope.c.grant_id == grant_id)
    if before is not None:
        query = query.where(sent_envelope.c.id < before)
    return connection.execute(query.order_by(sent_envelope.c.id.desc()).limit(limit)).all()


def grants_with_sent(connection: Connection, subject_id: UUID) -> frozenset[UUID]:
    """Return the grants under which something was sent about a survivor that can still be read."""
    return frozenset(
        connection.scalars(select(sent_envelope.c.grant_id).where(sent_envelope.c.subject_id == subject_id).distinct())
    )
