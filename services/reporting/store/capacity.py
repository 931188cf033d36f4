"""What services declare, live: the latest statement of each programme stands."""

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from services.common.database import upsert
from services.reporting.models import capacity, roster
from services.reporting.pages.shelf import Free


def keep_capacity(connection: Connection, row: Mapping[str, object]) -> None:
    """Keep a programme's statement unless a newer one is here already."""
    upsert(connection, capacity, [row], newer="as_of")


def available(connection: Connection) -> list[Free]:
    """Live capacity by region, need and unit."""
    groups = (capacity.c.region, capacity.c.need, capacity.c.unit)
    query = select(
        *groups,
        func.sum(capacity.c.available),
        func.sum(capacity.c.total),
        func.count(),
        func.min(capacity.c.as_of).label("as_of"),
    )
    return [Free(*row) for row in connection.execute(query.group_by(*groups).order_by(*groups))]


def declaring(connection: Connection) -> tuple[int, int]:
    """How many of the active agencies have declared something, and how many there are."""
    active = [agency.id for agency in roster.active(connection)]
    declared = set(connection.scalars(select(capacity.c.agency).distinct()))
    return len(declared.intersection(active)), len(active)
