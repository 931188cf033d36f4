"""Remembers single-use identifiers (DPoP proofs, client assertions) for as long as they could be used again."""

from datetime import datetime
from hashlib import sha256

from sqlalchemy import Column, Executable, LargeBinary, MetaData, Table, bindparam, delete, func, select, true
from sqlalchemy.dialects import postgresql, sqlite

from services.common.database.column_types import Instant
from services.common.database.engine import Database


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
        # Put together once: it is asked for each request of every partner.
        self._use_up = _using_up(table, database.is_postgresql)

    def first_use(self, identifier: str, expires_at: datetime) -> bool:
        """Whether this identifier is new; it is used up by asking."""
        row = {"used": sha256(identifier.encode()).digest(), "until": expires_at}
        with self._database.single() as connection:
            return connection.execute(self._use_up, row).first() is not None

    def forget(self, before: datetime) -> None:
        """Drop identifiers that would be refused by their age anyway."""
        with self._database.transaction() as connection:
            connection.execute(delete(self._table).where(self._table.c.expires_at < before))


def _using_up(table: Table, postgres: bool) -> Executable:
    """One statement and one round trip; on PostgreSQL without waiting for the disk.

    Losing the last instants in a power cut would need the proof *and* its token to be stolen in that very minute.
    """
    columns = (table.c.digest, table.c.expires_at)
    row = select(*[bindparam(name, type_=column.type) for name, column in zip(("used", "until"), columns, strict=True)])
    if postgres:
        row = row.select_from(select(func.set_config("synchronous_commit", "off", True)).subquery())
        return postgresql.insert(table).from_select(columns, row).on_conflict_do_nothing().returning(table.c.digest)
    # SQLite reads ON after a SELECT without a WHERE as part of a join (https://sqlite.org/lang_upsert.html).
    row = row.where(true())
    return sqlite.insert(table).from_select(columns, row).on_conflict_do_nothing().returning(table.c.digest)
