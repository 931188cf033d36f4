"""Queries on grants, their keys, restrictions and requests for consent."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, select, update

from services.consent.models import consent_request, grant, grant_key, restriction

AnyRow = Row[tuple[Any, ...]]


def add_grant(connection: Connection, row: Mapping[str, object], key_number: int, wrapped: bytes) -> None:
    """A new grant with its wrapped private key."""
    connection.execute(grant.insert(), dict(row))
    key = {"grant_id": row["id"], "subject_id": row["subject_id"]}
    connection.execute(grant_key.insert(), key | {"key_encryption_key": key_number, "wrapped": wrapped})


def grants_of(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """Every grant of a survivor, newest first."""
    return connection.execute(select(grant).where(grant.c.subject_id == subject_id).order_by(grant.c.id.desc())).all()


def get_grant(connection: Connection, grant_id: UUID) -> AnyRow | None:
    """One grant."""
    return connection.execute(select(grant).where(grant.c.id == grant_id)).one_or_none()


def subjects_of(connection: Connection, grant_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """The survivors who gave these grants; a pair never changes, so no lock is needed to read it."""
    query = select(grant.c.id, grant.c.subject_id).where(grant.c.id.in_(set(grant_ids)))
    return {row.id: row.subject_id for row in connection.execute(query)}


def live_grants(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """A survivor's grants that have not ended, oldest first."""
    query = select(grant).where(grant.c.subject_id == subject_id, grant.c.ended_at.is_(None))
    return connection.execute(query.order_by(grant.c.id)).all()


def lapsed_grants(connection: Connection, now: datetime, limit: int) -> Sequence[AnyRow]:
    """Grants whose time is over but whose end was not yet recorded."""
    query = select(grant).where(grant.c.valid_until <= now, grant.c.ended_at.is_(None))
    return connection.execute(query.order_by(grant.c.valid_until).limit(limit)).all()


def end_grants(connection: Connection, ids: Sequence[UUID], reason: str, epoch: int, now: datetime) -> None:
    """End grants for good and destroy their keys."""
    ending = update(grant).where(grant.c.id.in_(ids), grant.c.ended_at.is_(None))
    connection.execute(ending.values(ended_at=now, ended_epoch=epoch, end_reason=reason))
    destroying = update(grant_key).where(grant_key.c.grant_id.in_(ids))
    connection.execute(destroying.values(wrapped=None, destroyed_at=now))


def add_restriction(connection: Connection, row: Mapping[str, object]) -> None:
    """A new restriction."""
    connection.execute(restriction.insert(), dict(row))


def restrictions_of(connection: Connection, subject_id: UUID, *, lifted: bool = False) -> Sequence[AnyRow]:
    """A survivor's restrictions in force, newest first; with `lifted`, those that she lifted as well."""
    query = select(restriction).where(restriction.c.subject_id == subject_id)
    if not lifted:
        query = query.where(restriction.c.lifted_at.is_(None))
    return connection.execute(query.order_by(restriction.c.id.desc())).all()


def lift_restriction(connection: Connection, subject_id: UUID, restriction_id: UUID, now: datetime) -> bool:
    """Lift one restriction; whether there was one to lift."""
    mine = (restriction.c.id == restriction_id, restriction.c.subject_id == subject_id)
    statement = update(restriction).where(*mine, restriction.c.lifted_at.is_(None)).values(lifted_at=now)
    return connection.execute(statement).rowcount == 1


def add_request(connection: Connection, row: Mapping[str, object]) -> None:
    """A new request for consent."""
    connection.execute(consent_request.insert(), dict(row))


def requests_to(connection: Connection, subject_id: UUID, *, answered: bool = False) -> Sequence[AnyRow]:
    """What waits for a survivor's answer, oldest first; with `answered`, what she has answered as well."""
    query = select(consent_request).where(consent_request.c.subject_id == subject_id)
    if not answered:
        query = query.where(consent_request.c.answered_at.is_(None))
    return connection.execute(query.order_by(consent_request.c.id)).all()


def answer_request(
    connection: Connection, subject_id: UUID, request_id: UUID, *, accepted: bool, now: datetime
) -> AnyRow | None:
    """Answer a request once; the request, None when there is none that waits."""
    mine = (consent_request.c.id == request_id, consent_request.c.subject_id == subject_id)
    statement = update(consent_request).where(*mine, consent_request.c.answered_at.is_(None))
    answered = statement.values(answered_at=now, accepted=accepted).returning(consent_request)
    return connection.execute(answered).one_or_none()


def forget_permissions(connection: Connection, subject_id: UUID) -> None:
    """Remove what she wished and was asked; ended grants stay, since they hold only codes and her ledger names them."""
    for table in (restriction, consent_request):
        connection.execute(delete(table).where(table.c.subject_id == subject_id))
