"""Every query of reporting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, delete, exists, func, select

from services.common.database import insert_new, upsert
from services.reporting.models import capacity, counted_need, counted_referral, withdrawn


@dataclass(frozen=True, slots=True)
class Available:
    """What all programmes of one need in one region declare together; `as_of` is the oldest of their statements."""

    region: str
    need: str
    unit: str
    available: int
    total: int
    programs: int
    as_of: datetime


def keep_capacity(connection: Connection, row: Mapping[str, object]) -> None:
    """Keep a programme's statement unless a newer one is here already."""
    upsert(connection, capacity, [row], newer="as_of")


def available(connection: Connection) -> list[Available]:
    """Live capacity by region, need and unit."""
    groups = (capacity.c.region, capacity.c.need, capacity.c.unit)
    query = select(
        *groups,
        func.sum(capacity.c.available),
        func.sum(capacity.c.total),
        func.count(),
        func.min(capacity.c.as_of).label("as_of"),
    )
    return [Available(*row) for row in connection.execute(query.group_by(*groups).order_by(*groups))]


def count_referral(connection: Connection, row: Mapping[str, object]) -> None:
    """Keep the present state of a counted survivor's referral."""
    if not _is_withdrawn(connection, str(row["statistics"])):
        # An update tells only what is new: what an earlier one said of the wait or the reason still holds.
        upsert(connection, counted_referral, [row], kept=("reason", "waited"))


def count_need(connection: Connection, row: Mapping[str, object]) -> None:
    """Keep a counted survivor's need."""
    if not _is_withdrawn(connection, str(row["statistics"])):
        insert_new(connection, counted_need, [row])


def withdraw(connection: Connection, pseudonyms: Sequence[str]) -> None:
    """Make it so that these survivors were never counted, and never will be under these names."""
    insert_new(connection, withdrawn, [{"statistics": name} for name in pseudonyms])
    tables: tuple[Table, ...] = (counted_referral, counted_need)
    for table in tables:
        connection.execute(delete(table).where(table.c.statistics.in_(pseudonyms)))


def _is_withdrawn(connection: Connection, pseudonym: str) -> bool:
    return bool(connection.scalar(select(exists().where(withdrawn.c.statistics == pseudonym))))
