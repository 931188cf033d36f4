"""Remembers single-use identifiers (DPoP proofs, client assertions) for as long as they could be used again."""

from datetime import datetime
from hashlib import sha256

from sqlalchemy import Column, Executable, LargeBinary, MetaData, Table, bindparam, delete, func, select, true
from sqlalchemy.dialects import postgresql, sqlite

from services.common.database.column_types import Instant
from services.common.database.engine import Database


def define_replay(metadata: MetaData) -> Table:
    """Define the table of one service's single-use identifiers, stored as hashes and shared by its processes."""
    return Table(
        "used_once",
        metadata,
        Column("digest", LargeBinary(32), primary_key=True),
        Column("expires_at", Instant, nullable=False, index=True),
    )


class ReplayGuard:
    """Accepts each identifier exactly once."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database, self._table = database, table
        # Built once, since it is used for each request of every partner.
        self._use_up = _using_up(table, database.is_postgresql)

    def first_use(self, identifier: str, expires_at: datetime) -> bool:
        """Mark an identifier as used; return True if it was not used before."""
        row = {"used": sha256(identifier.encode()).digest(), "until": expires_at}
        with self._database.single() as connection:
            return connection.execute(self._use_up, row).first() is not None

    def forget(self, before: datetime) -> None:
        """Delete identifiers that expired before a time."""
        with self._database.transaction() as connection:
            connection.execute(delete(self._table).where(self._table.c.expires_at < before))


def _using_up(table: Table, postgres: bool) -> Executable:
    """Return the one statement that marks an identifier; on PostgreSQL it does not wait for the disk.

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
