"""Live facts, on each database: sums of the latest declarations, and how many agencies have declared anything."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.reporting import models
from services.reporting.pages.data_source import Free
from services.reporting.store.capacity import available, declaring, keep_capacity
from tests.support.clocks import NOON
from tests.support.counted import CountingContext


def declare(
    connection: Connection, agency: str, program: str, free: int, at: datetime, region: str = "toronto"
) -> None:
    row = {"agency": agency, "program": program, "need": "N02", "region": region, "unit": "bed", "total": 10}
    keep_capacity(connection, {**row, "available": free, "as_of": at})


def take_part(connection: Connection, **standings: str) -> None:
    rows = [
        {"id": f"agency-{name}", "name": "Sample", "sector": "ngo", "standing": how, "version": 1}
        for name, how in standings.items()
    ]
    connection.execute(models.roster.table.delete())
    connection.execute(models.roster.table.insert(), rows)


def test_programmes_add_up_by_region_need_and_unit(
    counting: CountingContext,
) -> None:
    """The sum carries the oldest of their times."""
    later, earlier = NOON, NOON - timedelta(hours=5)
    with counting.context.database.transaction() as connection:
        take_part(connection, a="active", b="active")
        declare(connection, "agency-a", "p1", 3, later)
        declare(connection, "agency-a", "p2", 4, earlier)
        declare(connection, "agency-b", "p1", 2, later, "halifax")
        declare(connection, "agency-a", "p1", 9, earlier)  # older than what is known
    with counting.context.database.reading() as connection:
        found = available(connection)
    assert found == [
        Free("halifax", "N02", "bed", 2, 10, 1, later),
        Free("toronto", "N02", "bed", 7, 20, 2, earlier),
    ]


def test_second_statement_of_one_moment_corrects_the_first(counting: CountingContext) -> None:
    with counting.context.database.transaction() as connection:
        take_part(connection, a="active")
        for free in (5, 0):  # of one day, which is as exact as many systems are
            declare(connection, "agency-a", "p1", free, NOON)
        assert [found.available for found in available(connection)] == [0]


def test_suspended_or_unknown_agency_has_no_capacity(
    counting: CountingContext,
) -> None:
    """Its capacity counts as soon as it takes part."""
    with counting.context.database.transaction() as connection:
        take_part(connection, a="active", b="suspended")
        for agency in ("agency-a", "agency-b", "agency-z"):
            declare(connection, agency, "p1", 3, NOON)
        assert available(connection) == [Free("toronto", "N02", "bed", 3, 10, 1, NOON)]
        take_part(connection, a="suspended", b="active", z="active")
        assert available(connection) == [Free("toronto", "N02", "bed", 6, 20, 2, NOON)]


def test_each_active_agency_counts_once(
    counting: CountingContext,
) -> None:
    with counting.context.database.transaction() as connection:
        take_part(connection, a="active", b="suspended", c="active", d="active")
        assert declaring(connection) == (0, 3)
        for agency, program in (("agency-a", "p1"), ("agency-a", "p2"), ("agency-b", "p1"), ("agency-z", "p1")):
            declare(connection, agency, program, 1, NOON)
        assert declaring(connection) == (1, 3)
