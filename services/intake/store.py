"""Holds every query of intake; nothing else asks its tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from services.common.database.advisory_locks import lock_until_commit
from services.common.database.inserts import insert_all
from services.common.database.list_parameters import listed, one_of
from services.intake.models import agency, posted

AnyRow = Row[tuple[Any, ...]]
# Built once, because each request runs them.
_AGENCY = select(agency).where(agency.c.id == bindparam("agency"))
_STANDING = select(agency.c.standing).where(agency.c.id == bindparam("agency"))
_AGENCIES = select(agency.c.id, agency.c.sector, agency.c.standing).where(one_of(agency.c.id, "ids"))
_POSTED = select(posted).where(posted.c.source == bindparam("source"), one_of(posted.c.id, "ids"))


def add_agency(connection: Connection, row: Mapping[str, object]) -> None:
    """Insert a new agency."""
    connection.execute(agency.insert(), dict(row))


def hold_agencies(connection: Connection) -> None:
    """Keep every other transaction from adding an agency until this one ends, so that names and keys can be compared."""
    lock_until_commit(connection, "fireweed:intake agencies")


def get_agency(connection: Connection, agency_id: str) -> AnyRow | None:
    """Return one agency's row; None if it is unknown."""
    return connection.execute(_AGENCY, {"agency": agency_id}).one_or_none()


def get_standing(connection: Connection, agency_id: str) -> str | None:
    """Return an agency's standing; None if it is unknown. Every request asks this, so the keys are not read."""
    standing: str | None = connection.scalar(_STANDING, {"agency": agency_id})
    return standing


def get_agencies(connection: Connection, ids: Collection[str]) -> dict[str, Any]:
    """Return sector and standing of the known agencies among these ids, by id."""
    rows: Sequence[Any] = connection.execute(_AGENCIES, {"ids": listed(ids)}).all()
    return {row.id: row for row in rows}


def change_keys(connection: Connection, agency_id: str, jwks: Mapping[str, object]) -> None:
    """Set an agency's keys. Its version stays: no other service knows the keys."""
    connection.execute(update(agency).where(agency.c.id == agency_id).values(jwks=jwks))


def list_agencies(connection: Connection) -> Sequence[AnyRow]:
    """Return every agency, oldest first."""
    return connection.execute(select(agency).order_by(agency.c.created_at, agency.c.id)).all()


def agencies_after(connection: Connection, after: str, limit: int) -> Sequence[AnyRow]:
    """Return agencies whose id follows another in order, without their keys."""
    columns = [agency.c[name] for name in ("id", "name", "sector", "standing")]
    query = select(*columns).where(agency.c.id > after).order_by(agency.c.id).limit(limit)
    return connection.execute(query).all()


def change_standing(connection: Connection, agency_id: str, standing: str) -> AnyRow | None:
    """Set an agency's standing, raise its version and return the changed row; None if the agency is unknown."""
    statement = update(agency).where(agency.c.id == agency_id)
    changed = statement.values(standing=standing, version=agency.c.version + 1).returning(agency)
    return connection.execute(changed).one_or_none()


def get_posted(connection: Connection, source: str, ids: Collection[str]) -> dict[str, AnyRow]:
    """Return, by id, those of an agency's events that were posted before."""
    return {row.id: row for row in connection.execute(_POSTED, {"source": source, "ids": listed(ids)})}


def add_posted(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert one agency's events; raise `AlreadyThere` if another request stored one of them first."""
    # Every request inserts in the same order, so that two with the same events cannot deadlock.
    insert_all(connection, posted, sorted(rows, key=itemgetter("id")))


def reject_posted(connection: Connection, source: str, event_id: str, reason: str) -> None:
    """Record that a later service refused an event that had been accepted."""
    mine = (posted.c.source == source, posted.c.id == event_id)
    connection.execute(update(posted).where(*mine).values(status="rejected", reason=reason))


def delete_posted(connection: Connection, before: datetime) -> int:
    """Delete the results of events that were posted before then; return how many there were."""
    return connection.execute(delete(posted).where(posted.c.received_at < before)).rowcount
