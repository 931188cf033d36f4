"""Every query of intake."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from services.common.database.bulk_merge import alone
from services.common.database.inserts import insert_all
from services.common.database.list_parameters import listed, one_of
from services.intake.models import agency, posted

AnyRow = Row[tuple[Any, ...]]
# Put together once: they are asked for each request.
_AGENCY = select(agency).where(agency.c.id == bindparam("agency"))
_STANDING = select(agency.c.standing).where(agency.c.id == bindparam("agency"))
_POSTED = select(posted).where(posted.c.source == bindparam("source"), one_of(posted.c.id, "ids"))


def add_agency(connection: Connection, row: Mapping[str, object]) -> None:
    """A new agency."""
    connection.execute(agency.insert(), dict(row))


def hold_agencies(connection: Connection) -> None:
    """Keep every other transaction from adding an agency until this one ends, so that names and keys can be compared."""
    alone(connection, "fireweed:intake agencies")


def get_agency(connection: Connection, agency_id: str) -> AnyRow | None:
    """One agency."""
    return connection.execute(_AGENCY, {"agency": agency_id}).one_or_none()


def get_standing(connection: Connection, agency_id: str) -> str | None:
    """An agency's standing, without its keys: every request asks for it."""
    standing: str | None = connection.scalar(_STANDING, {"agency": agency_id})
    return standing


def list_agencies(connection: Connection) -> Sequence[AnyRow]:
    """Every agency, oldest first."""
    return connection.execute(select(agency).order_by(agency.c.created_at, agency.c.id)).all()


def change_standing(connection: Connection, agency_id: str, standing: str) -> AnyRow | None:
    """Change an agency's standing and count the change; the changed row, None if there is no such agency."""
    statement = update(agency).where(agency.c.id == agency_id)
    changed = statement.values(standing=standing, version=agency.c.version + 1).returning(agency)
    return connection.execute(changed).one_or_none()


def get_posted(connection: Connection, source: str, ids: Collection[str]) -> dict[str, AnyRow]:
    """Those of an agency's events, by id, that were posted before."""
    return {row.id: row for row in connection.execute(_POSTED, {"source": source, "ids": listed(ids)})}


def add_posted(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keep one agency's events; raises `AlreadyThere` if another request was a moment faster with one of them."""
    # In one order for every request: two that post the same events must not wait for each other in a circle.
    insert_all(connection, posted, sorted(rows, key=itemgetter("id")))


def reject_posted(connection: Connection, source: str, event_id: str, reason: str) -> None:
    """Note that an event that had been accepted was refused further on."""
    mine = (posted.c.source == source, posted.c.id == event_id)
    connection.execute(update(posted).where(*mine).values(status="rejected", reason=reason))
