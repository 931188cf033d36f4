"""Parked events are stored once and in order, and are summarized by key."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.common.database.engine import Database
from services.common.messaging.broker import Received, Record
from services.common.messaging.parking import BEHIND, Summary
from tests.support.clocks import NOON
from tests.support.plumbing import TOPIC, make_event, metadata, plumbing, received

parking = plumbing.parking


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    metadata.create_all(database.engine)


def park(database: Database, items: list[Received], reason: str = "ValueError") -> None:
    with database.transaction() as connection:
        for item in items:
            parking.park(connection, item, reason, NOON)


def of_key(database: Database, key: str) -> list[Received]:
    with database.reading() as connection:
        return [item for _row, item in parking.of_key(connection, key)]


def test_a_parked_event_comes_out_as_it_went_in(database: Database) -> None:
    record = Record(TOPIC, "clé", {"ce_id": "été ❄", "odd": ""}, bytes(range(256)))
    items = [Received(record, 3, 2**40), Received(record._replace(value=None), 3, 2**40 + 1)]
    park(database, items)
    assert of_key(database, "clé") == items


def test_parking_an_event_again_changes_nothing(database: Database) -> None:
    items = received([make_event("a", 1)])
    park(database, items)
    park(database, items, BEHIND)
    assert of_key(database, "a") == items
    with database.reading() as connection:
        assert [(one.events, one.reason) for one in parking.summary(connection)] == [(1, "ValueError")]


def test_offset_identifies_an_event_within_its_partition(database: Database) -> None:
    item = received([make_event("a", 1)])[0]
    elsewhere = Received(item.record._replace(topic="services.v1"), item.partition, item.offset)
    park(database, [item, replace(item, partition=1), elsewhere])
    assert len(of_key(database, "a")) == 3


def test_parked_keys_are_returned_with_their_topics(database: Database) -> None:
    park(database, received([make_event("a", 1), make_event("b", 1)]))
    with database.reading() as connection:
        assert parking.keys(connection, ["a", "c"]) == {(TOPIC, "a")}
        assert parking.keys(connection, []) == set()


def test_summary_holds_reason_and_number_of_events_per_key(database: Database) -> None:
    with database.transaction() as connection:
        for minute, (key, number, reason) in enumerate(
            [("b", 1, "KeyError"), ("a", 1, "ValueError"), ("b", 2, BEHIND), ("b", 3, BEHIND)]
        ):
            item = received([make_event(key, number)], first=minute)[0]
            parking.park(connection, item, reason, NOON + timedelta(minutes=minute))
        assert parking.summary(connection) == [
            Summary(TOPIC, "b", "KeyError", 3, NOON),
            Summary(TOPIC, "a", "ValueError", 1, NOON + timedelta(minutes=1)),
        ]


def test_summary_holds_a_key_with_only_followers_left(database: Database) -> None:
    park(database, received([make_event("a", 2)]), BEHIND)
    with database.reading() as connection:
        assert parking.summary(connection) == [Summary(TOPIC, "a", BEHIND, 1, NOON)]


def test_an_event_is_released_by_itself(database: Database) -> None:
    park(database, received([make_event("a", 1), make_event("a", 2)]))
    with database.transaction() as connection:
        row, _item = parking.of_key(connection, "a")[0]
        parking.release(connection, row)
    assert [item.record.headers["ce_id"] for item in of_key(database, "a")] == ["a-2"]


def test_summary_without_parked_events_is_empty(database: Database) -> None:
    with database.reading() as connection:
        assert parking.summary(connection) == []
    assert of_key(database, "a") == []
