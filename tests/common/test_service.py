"""The loops of a service send and consume its events, and delete old rows."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from services.common import metrics
from services.common.auth.replay import ReplayGuard
from services.common.database.engine import Database
from services.common.http.app import create_app
from services.common.messaging.broker import Record
from services.common.messaging.cloudevents import to_headers, to_value
from services.common.messaging.local_log import LocalLog
from services.common.messaging.topics import topics_read_by
from services.common.service import Service
from services.common.settings import Settings
from services.common.worker import Worker, every
from tests.support.clocks import NOON, StillClock
from tests.support.hubs import eventually
from tests.support.plumbing import TOPIC, TYPE, add_effect, add_events, effects, make_event, metadata, plumbing, waiting

pytestmark = pytest.mark.backend("sqlite", "local_log")


@pytest.fixture
def closed() -> list[str]:
    return []


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LocalLog]:
    with closing(LocalLog(tmp_path / "log.sqlite")) as made:
        yield made


@pytest.fixture
def service(tmp_path: Path, clock: StillClock, closed: list[str]) -> Iterator[Service]:
    database = Database(f"sqlite:///{tmp_path / 'rows.sqlite'}")
    metadata.create_all(database.engine)
    made = Service(
        name="referral",  # so that the contract says what it reads
        settings=Settings(data=tmp_path, relay_interval=0.01),
        clock=clock,
        database=database,
        metadata=metadata,
        plumbing=plumbing,
        handlers={TYPE: add_effect},
        app=create_app("test", "", []),
        prefixes=("/test",),
        chores={"a chore": every(3600, lambda: closed.append("chore"))},
        on_close=(lambda: closed.append("closed"),),
    )
    yield made
    made.close()


def test_the_loops_carry_events_out_and_in(service: Service, log: LocalLog) -> None:
    worker = Worker(service.worker_loops(log))
    worker.start()
    event = make_event("a", 1)
    add_events(service.database, [event])
    eventually(lambda: not waiting(service.database))
    log.append([Record(TOPIC, "b", to_headers(make_event("b", 1)), to_value(make_event("b", 1)))])
    eventually(lambda: "b-1" in effects(service.database))
    worker.stop()
    assert worker.failed == []


def test_the_loops_include_the_services_own_chores(service: Service, log: LocalLog, closed: list[str]) -> None:
    assert "a chore" in service.worker_loops(log)
    worker = Worker(service.worker_loops(log))
    worker.start()
    eventually(lambda: "chore" in closed)
    worker.stop()


def test_a_consumer_reads_what_the_contract_says(service: Service, log: LocalLog) -> None:
    assert service.consumer(log).topics == topics_read_by("referral")
    assert service.consumer(log).handlers == {TYPE: add_effect}


def test_tidying_deletes_only_expired_rows(service: Service, log: LocalLog, clock: StillClock) -> None:
    guard = ReplayGuard(service.database, plumbing.replay)
    guard.first_use("proof", NOON)
    with service.database.transaction() as connection:
        plumbing.inbox.take(connection, [make_event("a", 1)], NOON)
    consumer = service.consumer(log)
    for by, left in ((timedelta(minutes=30), (1, 1)), (timedelta(hours=1), (0, 1)), (timedelta(days=60), (0, 0))):
        clock.move(by)
        service._tidy(consumer)
        with service.database.reading() as connection:
            counts = [
                connection.scalar(select(func.count()).select_from(t)) for t in (plumbing.replay, plumbing.inbox.table)
            ]
        assert tuple(counts) == left


class Gauge:
    """Records the value that it is set to."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, str]]] = []

    def set(self, value: float, labels: dict[str, str]) -> None:
        self.told.append((value, labels))


def test_gauge_holds_the_age_of_the_oldest_event(
    service: Service, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauge = Gauge()
    monkeypatch.setattr(metrics, "outbox_age", gauge)
    service._measure()
    add_events(service.database, [make_event("a", 1)])
    clock.move(timedelta(seconds=30))
    service._measure()
    assert gauge.told == [(0.0, {"service": "referral"}), (30.0, {"service": "referral"})]


def test_closing_releases_everything_the_service_holds(service: Service, closed: list[str]) -> None:
    service.close()
    assert closed == ["closed"]
