"""Live facts, on each database: sums of what services last said, and how many agencies have said anything."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.reporting import models
from services.reporting.pages.shelf import Free
from services.reporting.store.capacity import available, declaring, keep_capacity
from tests.support.clocks import NOON
from tests.support.counted import CountingRoom


def declare(
    connection: Connection, agency: str, program: str, free: int, at: datetime, region: str = "toronto"
) -> None:
    row = {"agency": agency, "program": program, "need": "N02", "region": region, "unit": "bed", "total": 10}
    keep_capacity(connection, {**row, "available": free, "as_of": at})


def test_programmes_add_up_by_region_need_and_unit_with_the_oldest_of_their_statements(counting: CountingRoom) -> None:
    later, earlier = NOON, NOON - timedelta(hours=5)
    with counting.room.database.transaction() as connection:
        declare(connection, "agency-a", "p1", 3, later)
        declare(connection, "agency-a", "p2", 4, earlier)
        declare(connection, "agency-b", "p1", 2, later, "halifax")
        declare(connection, "agency-a", "p1", 9, earlier)  # older than what is known
    with counting.room.database.reading() as connection:
        found = available(connection)
    assert found == [
        Free("halifax", "N02", "bed", 2, 10, 1, later),
        Free("toronto", "N02", "bed", 7, 20, 2, earlier),
    ]


def test_only_active_agencies_take_part_and_each_counts_once_however_much_it_declares(counting: CountingRoom) -> None:
    standings = {"agency-a": "active", "agency-b": "suspended", "agency-c": "active", "agency-d": "active"}
    with counting.room.database.transaction() as connection:
        rows = [
            {"id": name, "name": "Sample", "sector": "ngo", "standing": how, "version": 1}
            for name, how in standings.items()
        ]
        connection.execute(models.roster.table.delete())
        connection.execute(models.roster.table.insert(), rows)
        assert declaring(connection) == (0, 3)
        for agency, program in (("agency-a", "p1"), ("agency-a", "p2"), ("agency-b", "p1"), ("agency-z", "p1")):
            declare(connection, agency, program, 1, NOON)
        assert declaring(connection) == (1, 3)
