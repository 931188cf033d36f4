"""Queries on grants, their keys, restrictions and requests for consent."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, select, union, update

from services.common.database.inserts import insert_new
from services.common.database.list_parameters import listed, one_of
from services.consent.models import (
    approved_text,
    compelled,
    consent_request,
    erased_grant,
    grant,
    grant_key,
    restriction,
    sent_envelope,
    waiting_grant,
)

AnyRow = Row[tuple[Any, ...]]
# Built once: they are asked for each opening.
_OWNERS = select(grant.c.id, grant.c.subject_id, grant.c.agency, grant.c.ended_at).where(one_of(grant.c.id, "grants"))
_ERASED = select(erased_grant.c.digest).where(one_of(erased_grant.c.digest, "digests"))
_TERMS = select(grant.c.id, grant.c.agency, grant.c.purpose, grant.c.agency_epoch, grant.c.only_this).where(
    one_of(grant.c.id, "grants")
)


def add_grant(connection: Connection, row: Mapping[str, object], key_number: int, wrapped: bytes) -> None:
    """Add a grant with its wrapped private key."""
    connection.execute(grant.insert(), dict(row))
    key = {"grant_id": row["id"], "subject_id": row["subject_id"]}
    connection.execute(grant_key.insert(), key | {"key_encryption_key": key_number, "wrapped": wrapped})


def grants_of(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """Return every grant of a survivor, newest first."""
    return connection.execute(select(grant).where(grant.c.subject_id == subject_id).order_by(grant.c.id.desc())).all()


def get_grant(connection: Connection, grant_id: UUID) -> AnyRow | None:
    """Return one grant."""
    return connection.execute(select(grant).where(grant.c.id == grant_id)).one_or_none()


def owners(connection: Connection, grant_ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, str, bool]]:
    """Return survivor, agency and whether it has ended, by grant. An end is final, so reading this needs no lock."""
    found = connection.execute(_OWNERS, {"grants": listed(grant_ids)})
    return {row.id: (row.subject_id, row.agency, row.ended_at is not None) for row in found}


def erased_among(connection: Connection, digests: Iterable[str]) -> set[str]:
    """Return those digests that are of grants of erased survivors."""
    return set(connection.scalars(_ERASED, {"digests": listed(digests)}))


def terms_of(connection: Connection, grant_ids: Iterable[UUID]) -> dict[UUID, tuple[str, str, int, bool]]:
    """Return by grant, ended ones included: agency, purpose, the epoch that the agency is told, whether it binds to texts."""
    found = connection.execute(_TERMS, {"grants": listed(grant_ids)})
    return {name: (agency, purpose, epoch, only_this) for name, agency, purpose, epoch, only_this in found}


def raise_agency_epoch(connection: Connection, grant_id: UUID) -> int:
    """Count one change that concerns a grant and return the new number, which its agency may be told."""
    statement = update(grant).where(grant.c.id == grant_id).values(agency_epoch=grant.c.agency_epoch + 1)
    return int(connection.execute(statement.returning(grant.c.agency_epoch)).scalar_one())


def live_grants(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """Return a survivor's grants that have not ended, oldest first."""
    query = select(grant).where(grant.c.subject_id == subject_id, grant.c.ended_at.is_(None))
    return connection.execute(query.order_by(grant.c.id)).all()


def holders(connection: Connection, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Return a page of the survivors with a live or pending grant, in order."""
    open_ones = [select(table.c.subject_id).where(table.c.ended_at.is_(None)) for table in (grant, waiting_grant)]
    found = union(*open_ones).subquery()
    query = select(found.c.subject_id).order_by(found.c.subject_id).limit(limit)
    return connection.scalars(query if after is None else query.where(found.c.subject_id > after)).all()


def lapsed_grants(connection: Connection, now: datetime, limit: int) -> Sequence[AnyRow]:
    """Return grants that have expired and whose end is not yet recorded."""
    query = select(grant).where(grant.c.valid_until <= now, grant.c.ended_at.is_(None))
    return connection.execute(query.order_by(grant.c.valid_until).limit(limit)).all()


def end_grants(connection: Connection, ids: Sequence[UUID], reason: str, epoch: int, now: datetime) -> None:
    """End grants for good, destroy their keys, and drop the envelopes and digests that are of use with these keys only."""
    ending = update(grant).where(grant.c.id.in_(ids), grant.c.ended_at.is_(None))
    connection.execute(ending.values(ended_at=now, ended_epoch=epoch, end_reason=reason))
    destroying = update(grant_key).where(grant_key.c.grant_id.in_(ids))
    connection.execute(destroying.values(wrapped=None, destroyed_at=now))
    for table in (sent_envelope, approved_text):
        connection.execute(delete(table).where(table.c.grant_id.in_(ids)))


def add_restriction(connection: Connection, row: Mapping[str, object]) -> None:
    """Add a restriction."""
    connection.execute(restriction.insert(), dict(row))


def restrictions_of(connection: Connection, subject_id: UUID, *, lifted: bool = False) -> Sequence[AnyRow]:
    """Return a survivor's restrictions in force, newest first; with `lifted`, also those that she lifted."""
    query = select(restriction).where(restriction.c.subject_id == subject_id)
    if not lifted:
        query = query.where(restriction.c.lifted_at.is_(None))
    return connection.execute(query.order_by(restriction.c.id.desc())).all()


def lift_restriction(connection: Connection, subject_id: UUID, restriction_id: UUID, now: datetime) -> bool:
    """Lift a restriction; tell whether there was one to lift."""
    mine = (restriction.c.id == restriction_id, restriction.c.subject_id == subject_id)
    statement = update(restriction).where(*mine, restriction.c.lifted_at.is_(None)).values(lifted_at=now)
    return connection.execute(statement).rowcount == 1


def add_request(connection: Connection, row: Mapping[str, object]) -> None:
    """Add a consent request."""
    connection.execute(consent_request.insert(), dict(row))


def requests_by(connection: Connection, subject_id: UUID, asking: str, since: datetime) -> Sequence[AnyRow]:
    """Return what an agency has asked a survivor since then, answered or not, newest first."""
    mine = (consent_request.c.subject_id == subject_id, consent_request.c.asked_by == asking)
    query = select(consent_request).where(*mine, consent_request.c.asked_at > since)
    return connection.execute(query.order_by(consent_request.c.id.desc())).all()


def requests_to(connection: Connection, subject_id: UUID, open_at: datetime | None) -> Sequence[AnyRow]:
    """Return the requests open to a survivor at an instant, oldest first; without an instant, all requests to her."""
    query = select(consent_request).where(consent_request.c.subject_id == subject_id)
    if open_at is not None:
        query = query.where(consent_request.c.answered_at.is_(None), consent_request.c.open_until > open_at)
    return connection.execute(query.order_by(consent_request.c.id)).all()


def answer_request(
    connection: Connection, subject_id: UUID, request_id: UUID, *, accepted: bool, now: datetime
) -> AnyRow | None:
    """Answer an open request once and return it; None if there is none."""
    mine = (consent_request.c.id == request_id, consent_request.c.subject_id == subject_id)
    waits = (consent_request.c.answered_at.is_(None), consent_request.c.open_until > now)
    statement = update(consent_request).where(*mine, *waits)
    answered = statement.values(answered_at=now, accepted=accepted).returning(consent_request)
    return connection.execute(answered).one_or_none()


def choose(connection: Connection, request_id: UUID, agency: str) -> None:
    """Keep which agency she chose among those of a request."""
    connection.execute(update(consent_request).where(consent_request.c.id == request_id).values(agency=agency))


def forget_permissions(connection: Connection, subject_id: UUID, digests: Iterable[str]) -> None:
    """Remove grants with their keys, restrictions, requests, pending grants and compelled records.

    Of the grants only `digests` stay, by which an envelope under one of them is still refused and its refusal recorded.
    """
    for table in (grant_key, grant, restriction, consent_request, waiting_grant, compelled):
        connection.execute(delete(table).where(table.c.subject_id == subject_id))
    # Sorted, so that their order tells nothing of hers.
    insert_new(connection, erased_grant, [{"digest": digest} for digest in sorted(digests)])
