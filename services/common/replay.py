"""Remembers single-use identifiers (DPoP proofs, client assertions) for as long as they could be used again."""

from datetime import datetime
from hashlib import sha256

from sqlalchemy import Column, LargeBinary, MetaData, Table, delete, text

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
        with self._database.transaction() as connection:
            if self._database.is_postgresql:
                # Losing the last instants in a power cut would need the proof *and* its token to be stolen in that
                # very minute; waiting for the disk on each request costs every caller milliseconds.
                connection.execute(text("SET LOCAL synchronous_commit = off"))
            return bool(insert_new(connection, self._table, [row], "digest"))

    def forget(self, before: datetime) -> None:
        """Drop identifiers that would be refused by their age anyway."""
        with self._database.transaction() as connection:
            connection.execute(delete(self._table).where(self._table.c.expires_at < before))
