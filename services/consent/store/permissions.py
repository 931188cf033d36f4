"""Queries on grants, their keys, restrictions and requests for consent."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, select, union, update

from services.common.database.list_parameters import listed, one_of
from services.consent.models import compelled, consent_request, grant, grant_key, restriction, waiting_grant

AnyRow = Row[tuple[Any, ...]]
# Put together once: they are asked for each opening.
_OWNERS = select(grant.c.id, grant.c.subject_id, grant.c.agency, grant.c.ended_at).where(one_of(grant.c.id, "grants"))
_TERMS = select(grant.c.id, grant.c.agency, grant.c.purpose).where(one_of(grant.c.id, "grants"))


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


def owners(connection: Connection, grant_ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, str, bool]]:
    """Who gave these grants to whom, and whether they have ended: once true it stays so, and no lock is needed to read it."""
    found = connection.execute(_OWNERS, {"grants": listed(grant_ids)})
    return {row.id: (row.subject_id, row.agency, row.ended_at is not None) for row in found}


def terms_of(connection: Connection, grant_ids: Iterable[UUID]) -> dict[UUID, tuple[str, str]]:
    """To whom and what for grants were given, ended ones included."""
    found = connection.execute(_TERMS, {"grants": listed(grant_ids)})
    return {name: (agency, purpose) for name, agency, purpose in found}


def live_grants(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """A survivor's grants that have not ended, oldest first."""
    query = select(grant).where(grant.c.subject_id == subject_id, grant.c.ended_at.is_(None))
    return connection.execute(query.order_by(grant.c.id)).all()


def holders(connection: Connection, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Survivors with a grant that has not ended, or with something that waits to become one, in order, page by page."""
    open_ones = [select(table.c.subject_id).where(table.c.ended_at.is_(None)) for table in (grant, waiting_grant)]
    found = union(*open_ones).subquery()
    query = select(found.c.subject_id).order_by(found.c.subject_id).limit(limit)
    return connection.scalars(query if after is None else query.where(found.c.subject_id > after)).all()


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


def requests_by(connection: Connection, subject_id: UUID, asking: str, since: datetime) -> Sequence[AnyRow]:
    """What an agency has asked a survivor since then, answered or not, newest first."""
    mine = (consent_request.c.subject_id == subject_id, consent_request.c.asked_by == asking)
    query = select(consent_request).where(*mine, consent_request.c.asked_at > since)
    return connection.execute(query.order_by(consent_request.c.id.desc())).all()


def requests_to(connection: Connection, subject_id: UUID, open_at: datetime | None) -> Sequence[AnyRow]:
    """What waits for a survivor's answer at an instant, oldest first; without one, everything she was ever asked."""
    query = select(consent_request).where(consent_request.c.subject_id == subject_id)
    if open_at is not None:
        query = query.where(consent_request.c.answered_at.is_(None), consent_request.c.open_until > open_at)
    return connection.execute(query.order_by(consent_request.c.id)).all()


def answer_request(
    connection: Connection, subject_id: UUID, request_id: UUID, *, accepted: bool, now: datetime
) -> AnyRow | None:
    """Answer a request once; the request, None when there is none that waits."""
    mine = (consent_request.c.id == request_id, consent_request.c.subject_id == subject_id)
    waits = (consent_request.c.answered_at.is_(None), consent_request.c.open_until > now)
    statement = update(consent_request).where(*mine, *waits)
    answered = statement.values(answered_at=now, accepted=accepted).returning(consent_request)
    return connection.execute(answered).one_or_none()


def forget_permissions(connection: Connection, subject_id: UUID) -> None:
    """Remove what she wished, was asked and what was compelled; ended grants stay: codes only, and her ledger names them."""
    for table in (restriction, consent_request, waiting_grant, compelled):
        connection.execute(delete(table).where(table.c.subject_id == subject_id))
