"""Remembers single-use identifiers (DPoP proofs, client assertions) for as long as they could be used again."""

from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Column, Executable, LargeBinary, MetaData, Table, delete, func, literal, select
from sqlalchemy.dialects import postgresql

from services.common.database import Database, Instant, insert_new


def define_replay(metadata: MetaData) -> Table:
    """The single-use identifiers of one service, hashed; shared by all of its processes."""
    return Table(
        "used_once",
        metadata,
        Column("digest", LargeBinary(32), primary_key=True),
        Column("expires_at", Instant, nullable=False, index=True),
    )


class ReplayGuard:
    """Lets each identifier through exactly once."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database, self._table = database, table

    def first_use(self, identifier: str, expires_at: datetime) -> bool:
        """Whether this identifier is new; it is used up by asking."""
        row = {"digest": sha256(identifier.encode()).digest(), "expires_at": expires_at}
        with self._database.single() as connection:
            if not self._database.is_postgresql:
                return bool(insert_new(connection, self._table, [row], "digest"))
            return connection.execute(_insert_at_once(self._table, row)).first() is not None

    def forget(self, before: datetime) -> None:
        """Drop identifiers that would be refused by their age anyway."""
        with self._database.transaction() as connection:
            connection.execute(delete(self._table).where(self._table.c.expires_at < before))


def _insert_at_once(table: Table, row: dict[str, Any]) -> Executable:
    """One statement that inserts without waiting for the disk: one round trip for each request of every partner.

    Losing the last instants in a power cut would need the proof *and* its token to be stolen in that very minute.
    """
    hasty = select(func.set_config("synchronous_commit", "off", True)).subquery()
    values = select(*[literal(value, table.c[name].type) for name, value in row.items()]).select_from(hasty)
    return postgresql.insert(table).from_select(list(row), values).on_conflict_do_nothing().returning(table.c.digest)
