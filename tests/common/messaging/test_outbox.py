"""Events in the outbox are committed together with the change they report, and never changed."""

import json
import os
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from services.common.database.engine import Database
from services.common.messaging.cloudevents import Event, from_record
from services.common.messaging.outbox import make_queue
from tests.support.clocks import NOON
from tests.support.plumbing import add_events, effect, effects, make_event, metadata, plumbing, waiting

outbox = plumbing.outbox


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    metadata.create_all(database.engine)


def test_an_event_exists_once_its_transaction_has_committed(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(effect), {"key": "a", "event": "a-1"})
        outbox.add(connection, [make_event("a", 1)], NOON)
        assert waiting(database) == []
    assert waiting(database) == ["a-1"]
    assert effects(database) == ["a-1"]


def test_an_event_of_a_transaction_that_failed_never_existed(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            connection.execute(insert(effect), {"key": "a", "event": "a-1"})
            outbox.add(connection, [make_event("a", 1)], NOON)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert waiting(database) == []
    assert effects(database) == []


def test_events_wait_in_the_order_in_which_they_were_added(database: Database) -> None:
    add_events(database, [make_event("a", 1), make_event("b", 1)])
    add_events(database, [make_event("a", 2)])
    assert waiting(database) == ["a-1", "b-1", "a-2"]


def test_pages_of_the_outbox_follow_each_other(database: Database) -> None:
    add_events(database, [make_event("a", number) for number in range(5)])
    with database.reading() as connection:
        first = outbox.oldest(connection, 0, 2)
        rest = outbox.oldest(connection, first[-1].id, 10)
    assert [json.loads(row.payload)["number"] for row in (*first, *rest)] == [0, 1, 2, 3, 4]


def test_only_the_rows_that_are_named_are_removed(database: Database) -> None:
    add_events(database, [make_event("a", number) for number in range(4)])
    with database.transaction() as connection:
        ids = [row.id for row in outbox.oldest(connection, 0, 10)]
        outbox.remove(connection, [ids[0], ids[2]])
        outbox.remove(connection, [])
    assert waiting(database) == ["a-1", "a-3"]


def test_a_row_reads_back_as_the_event_that_was_added(database: Database) -> None:
    starting = f"00-{'1' * 32}-{'2' * 16}-01"
    event = Event(
        "id", "agency-a", "capacity.declared.v1", NOON, {"été": [1, "❄"]}, key="agency-a", traceparent=starting
    )
    add_events(database, [event])
    with database.reading() as connection:
        row = outbox.oldest(connection, 0, 1)[0]
    assert from_record(json.loads(row.headers), row.payload, row.key) == event
    assert (row.topic, row.type) == ("services.v1", "capacity.declared.v1")


def test_outbox_row_does_not_hold_the_subject(database: Database) -> None:
    ppid = "ppid-of-sample-aspen"
    add_events(database, [Event("id", "agency-a", "need.counted.v1", NOON, {}, key="k", subject=ppid)])
    with database.reading() as connection:
        assert ppid not in str(outbox.oldest(connection, 0, 1)[0])


def test_outbox_returns_when_its_oldest_row_was_queued(database: Database) -> None:
    with database.transaction() as connection:
        assert outbox.oldest_at(connection) is None
        outbox.add(connection, [make_event("a", 2)], NOON + timedelta(seconds=5))
        outbox.add(connection, [make_event("a", 1)], NOON)
        assert outbox.oldest_at(connection) == NOON


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_outbox_is_vacuumed_after_a_number_of_rows(database: Database) -> None:
    with database.transaction() as connection:
        make_queue(connection)
        options = connection.scalar(text("SELECT reloptions FROM pg_class WHERE relname = 'outbox'"))
    cleaned = {"autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=2000"}
    assert set(options) == {*cleaned, "toast_tuple_target=8160"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_sealed_referral_stays_in_one_row_with_its_payload(database: Database) -> None:
    sealed = replace(make_event("a", 1), data={"envelope": os.urandom(2500).hex()})
    with database.transaction() as connection:
        make_queue(connection)
        outbox.add(connection, [sealed], NOON)
        beside = "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = 'outbox'"
        assert connection.scalar(text(beside)) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_queue_setup_does_nothing_on_sqlite(database: Database) -> None:
    with database.transaction() as connection:
        make_queue(connection)
