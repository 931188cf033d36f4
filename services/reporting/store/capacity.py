"""Queries of what services declare, live: the latest statement of each programme stands."""

from collections.abc import Mapping

from sqlalchemy import Connection, exists, func, select

from services.common.database.inserts import upsert
from services.reporting.models import capacity, roster
from services.reporting.pages.data_source import Free

# Built once, since these queries run again and again.
_agency = roster.table
_groups = (capacity.c.region, capacity.c.need, capacity.c.unit)
AVAILABLE = (
    select(
        *_groups,
        func.sum(capacity.c.available),
        func.sum(capacity.c.total),
        func.count(),
        func.min(capacity.c.as_of).label("as_of"),
    )
    # Nobody can be sent to an agency that takes no part: its capacity does not count.
    .join(_agency, (_agency.c.id == capacity.c.agency) & (_agency.c.standing == "active"))
    .group_by(*_groups)
    .order_by(*_groups)
)
DECLARING = select(func.count().filter(exists().where(capacity.c.agency == _agency.c.id)), func.count()).where(
    _agency.c.standing == "active"
)


def keep_capacity(connection: Connection, row: Mapping[str, object]) -> None:
    """Keep a programme's statement unless a newer one is here already."""
    upsert(connection, capacity, [row], newer="as_of")


def available(connection: Connection) -> list[Free]:
    """Return live capacity by region, need and unit."""
    return [Free._make(row) for row in connection.execute(AVAILABLE).all()]


def declaring(connection: Connection) -> tuple[int, int]:
    """Return how many of the active agencies have declared something, and how many there are."""
    declared, active = connection.execute(DECLARING).one()
    return declared, active
