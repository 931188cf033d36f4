"""A service's own copy of the agencies follows the events about them, in any order."""

from itertools import permutations

import pytest
from sqlalchemy import MetaData

from services.common.database.engine import Database
from services.common.messaging.cloudevents import Event
from services.common.roster import Agency, Roster, define_roster
from tests.support.clocks import NOON

metadata = MetaData()
roster = Roster(define_roster(metadata))


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    metadata.create_all(database.engine)


def changed(agency: str, version: int, standing: str = "active", name: str = "") -> Event:
    facts = {"agency": agency, "name": name or f"Sample {agency}", "sector": "housing", "standing": standing}
    return Event(f"{agency}-{version}", "intake", "agency.changed.v1", NOON, {**facts, "version": version}, agency)


def take(database: Database, *events: Event) -> None:
    with database.transaction() as connection:
        for event in events:
            roster.take(connection, event)


def test_agency_without_an_event_is_unknown(database: Database) -> None:
    assert roster.standing(database, "a") is None
    with database.reading() as connection:
        assert roster.find(connection, ["a"]) == {}
        assert roster.active(connection) == []


def test_latest_version_holds_in_any_order_of_events(database: Database) -> None:
    versions = [changed("{}", 1), changed("{}", 2, "suspended"), changed("{}", 3, "active", "Sample renamed")]
    for number, order in enumerate(permutations(versions)):
        take(
            database,
            *(changed(f"a{number}", int(e.data["version"]), e.data["standing"], e.data["name"]) for e in order),
        )
        with database.reading() as connection:
            found = roster.find(connection, [f"a{number}"])
        assert found == {f"a{number}": Agency(f"a{number}", "Sample renamed", "housing", "active")}


def test_a_suspension_is_seen_at_once(database: Database) -> None:
    take(database, changed("a", 1))
    assert roster.standing(database, "a") == "active"
    take(database, changed("a", 2, "suspended"))
    assert roster.standing(database, "a") == "suspended"


def test_only_requested_agencies_are_found(database: Database) -> None:
    take(database, changed("a", 1), changed("b", 1), changed("c", 1))
    with database.reading() as connection:
        assert set(roster.find(connection, ["a", "c", "x"])) == {"a", "c"}
        assert roster.find(connection, []) == {}


def test_active_agencies_are_listed_by_name(database: Database) -> None:
    take(
        database,
        changed("a", 1, name="Sample Zinnia"),
        changed("b", 1, name="Sample Aster"),
        changed("c", 1, "suspended"),
    )
    with database.reading() as connection:
        assert [agency.name for agency in roster.active(connection)] == ["Sample Aster", "Sample Zinnia"]
