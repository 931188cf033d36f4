"""A repeated event is taken once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from services.common.database.engine import Database
from services.common.messaging.cloudevents import Event
from tests.support.clocks import NOON
from tests.support.plumbing import make_event, metadata, plumbing

inbox = plumbing.inbox


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    metadata.create_all(database.engine)


def take(database: Database, *events: Event) -> list[Event]:
    with database.transaction() as connection:
        return inbox.take(connection, events, NOON)


def test_new_events_are_taken_in_order(database: Database) -> None:
    events = [make_event("b", 2), make_event("a", 1), make_event("b", 1)]
    assert take(database, *events) == events


def test_an_event_that_was_taken_before_is_left_out(database: Database) -> None:
    first, second = make_event("a", 1), make_event("a", 2)
    take(database, first)
    assert take(database, first, second) == [second]
    assert take(database, first, second) == []


def test_repeated_event_in_a_batch_is_taken_at_its_first_place(database: Database) -> None:
    first, second = make_event("a", 1), make_event("a", 2)
    assert take(database, first, second, replace(first, data={"again": True})) == [first, second]


def test_source_and_id_together_tell_events_apart(database: Database) -> None:
    event = make_event("a", 1)
    assert take(database, event, replace(event, source="another")) == [event, replace(event, source="another")]


def test_an_event_of_a_transaction_that_failed_is_still_new(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            inbox.take(connection, [make_event("a", 1)], NOON)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert take(database, make_event("a", 1)) == [make_event("a", 1)]


def test_event_taken_concurrently_goes_to_one_caller(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: len(take(database, make_event("a", 1))), range(16)))
    assert sum(taken) == 1


def test_taking_no_events_returns_none(database: Database) -> None:
    assert take(database) == []


def test_only_old_enough_events_are_forgotten(database: Database) -> None:
    with database.transaction() as connection:
        inbox.take(connection, [make_event("old", 1)], NOON)
        inbox.take(connection, [make_event("new", 1)], NOON + timedelta(seconds=1))
        inbox.forget(connection, NOON + timedelta(seconds=1))
    assert take(database, make_event("old", 1), make_event("new", 1)) == [make_event("old", 1)]
