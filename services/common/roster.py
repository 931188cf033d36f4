"""A service's own copy of the list of agencies, updated by events of `agencies.v1`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, bindparam, select

from services.common.database.engine import Database
from services.common.database.inserts import upsert
from services.common.database.list_parameters import listed, one_of
from services.common.messaging.cloudevents import Event


@dataclass(frozen=True, slots=True)
class Agency:
    """The facts about a partner organisation that other services need."""

    id: str
    name: str
    sector: str
    standing: str


def define_roster(metadata: MetaData) -> Table:
    """Define the table of the copy; its `version` keeps a late event from replacing a newer one."""
    return Table(
        "agency",
        metadata,
        Column("id", String(64), primary_key=True),
        Column("name", String(120), nullable=False),
        Column("sector", String(32), nullable=False),
        Column("standing", String(16), nullable=False),
        Column("version", Integer, nullable=False),
    )


class Roster:
    """Reads and updates the copy. An agency that is not in it yet is unknown, and so may do nothing."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._found = select(table.c.id, table.c.name, table.c.sector, table.c.standing)
        # Built once, since they are used for each request.
        self._among = self._found.where(one_of(table.c.id, "ids"))
        self._standing = select(table.c.standing).where(table.c.id == bindparam("agency"))

    def take(self, connection: Connection, event: Event) -> None:
        """Handle `agency.changed.v1`."""
        data = event.data
        row = {"id": data["agency"], **{name: data[name] for name in ("name", "sector", "standing", "version")}}
        upsert(connection, self.table, [row], newer="version")

    def standing(self, database: Database, agency: str) -> str | None:
        """Return the present standing of an agency; None if it is unknown."""
        with database.reading() as connection:
            return connection.scalar(self._standing, {"agency": agency})

    def find(self, connection: Connection, ids: Sequence[str]) -> Mapping[str, Agency]:
        """Return the known agencies among these ids, by id."""
        return {row.id: Agency(*row) for row in connection.execute(self._among, {"ids": listed(ids)})}

    def active(self, connection: Connection) -> list[Agency]:
        """Return every active agency, sorted by name."""
        query = self._found.where(self.table.c.standing == "active").order_by(self.table.c.name)
        return [Agency(*row) for row in connection.execute(query)]
