"""Behaviour of the local log alone: its file, and pruning."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from services.common.messaging.broker import Record
from services.common.messaging.local_log import LocalLog
from services.common.messaging.topics import topics
from tests.support.clocks import StillClock

pytestmark = pytest.mark.backend("local_log")
TOPIC, COMPACTED = "referrals.v1", "agencies.v1"
TIMEOUT = 20.0


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path, clock: StillClock) -> Iterator[LocalLog]:
    with closing(LocalLog(path, clock)) as made:
        yield made


def write(log: LocalLog, *texts: str, topic: str = TOPIC, key: str = "key") -> None:
    log.append([Record(topic, key, {}, text.encode()) for text in texts])


def read(log: LocalLog, group: str = "group", topic: str = TOPIC, *, commit: bool = False) -> list[str]:
    reader = log.consumer(group, [topic])
    found = [(item.record.value or b"").decode() for item in reader.poll(0)]
    if commit:
        reader.commit()
    return found


def retention(topic: str) -> timedelta:
    return timedelta(milliseconds=topics()[topic].retention_ms or 0)


def test_records_and_progress_survive_reopening(path: Path) -> None:
    with closing(LocalLog(path)) as first:
        write(first, "1", "2")
        assert read(first, commit=True) == ["1", "2"]
        write(first, "3")
    with closing(LocalLog(path)) as second:
        assert read(second) == ["3"]
        assert read(second, "another group") == ["1", "2", "3"]


def test_records_survive_a_log_that_was_never_closed(path: Path) -> None:
    abandoned = LocalLog(path)
    write(abandoned, "1")
    with closing(LocalLog(path)) as second:
        assert read(second) == ["1"]
    abandoned.close()


def test_two_logs_on_one_file_see_each_others_records(path: Path) -> None:
    with closing(LocalLog(path)) as one, closing(LocalLog(path)) as other:
        reader = one.consumer("group", [TOPIC])
        write(other, "1")
        assert [item.record.value for item in reader.poll(TIMEOUT)] == [b"1"]
        write(one, "2")
        assert read(other) == ["1", "2"]


def test_waiting_reader_gets_records_of_another_log(path: Path) -> None:
    with closing(LocalLog(path)) as one, closing(LocalLog(path)) as other:
        reader = one.consumer("group", [TOPIC])
        writing = threading.Timer(0.2, write, [other, "1"])
        writing.start()
        assert [item.record.value for item in reader.poll(TIMEOUT)] == [b"1"]
        writing.join()


def test_a_new_file_can_be_opened_by_several_at_once(path: Path) -> None:
    failures: list[Exception] = []
    ready = threading.Barrier(4)

    def open_it() -> None:
        ready.wait(TIMEOUT)
        try:
            LocalLog(path).close()
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert failures == []


def test_pruning_deletes_records_past_their_retention(log: LocalLog, clock: StillClock) -> None:
    write(log, "old")
    clock.move(retention(TOPIC) - timedelta(seconds=1))
    write(log, "new")
    log.prune()
    assert read(log) == ["old", "new"]
    clock.move(timedelta(seconds=2))
    log.prune()
    assert read(log) == ["new"]


def test_each_topic_has_a_retention_of_its_own(log: LocalLog, clock: StillClock) -> None:
    kept = {name: topic.retention_ms for name, topic in topics().items() if topic.retention_ms and not topic.compacted}
    shortest = min(kept, key=lambda name: kept[name] or 0)
    for name in kept:
        write(log, name, topic=name)
    clock.move(retention(shortest) + timedelta(seconds=1))
    log.prune()
    for name, held in kept.items():
        assert read(log, topic=name) == ([] if held == kept[shortest] else [name])


def test_pruning_keeps_the_latest_record_of_a_compacted_key(log: LocalLog, clock: StillClock) -> None:
    write(log, "a1", "a2", topic=COMPACTED, key="a")
    write(log, "b1", topic=COMPACTED, key="b")
    write(log, "a3", topic=COMPACTED, key="a")
    clock.move(timedelta(days=4000))
    log.prune()
    assert read(log, topic=COMPACTED) == ["b1", "a3"]


def test_pruning_a_compacted_topic_leaves_other_topics_alone(log: LocalLog) -> None:
    write(log, "1", "2", key="a")
    write(log, "3", topic=COMPACTED, key="a")
    log.prune()
    assert read(log) == ["1", "2"]


def test_position_is_never_assigned_again(path: Path, clock: StillClock) -> None:
    with closing(LocalLog(path, clock)) as log:
        write(log, "1", "2")
        assert read(log, commit=True) == ["1", "2"]
        clock.move(retention(TOPIC) * 2)
        log.prune()
        assert read(log, "another group") == []
    with closing(LocalLog(path, clock)) as again:
        write(again, "3")
        assert read(again) == ["3"]


def test_group_behind_the_pruned_records_goes_on(log: LocalLog, clock: StillClock) -> None:
    write(log, "1")
    assert read(log, commit=True) == ["1"]
    write(log, "2")
    clock.move(retention(TOPIC) * 2)
    write(log, "3")
    log.prune()
    assert read(log) == ["3"]


def test_topics_keep_their_common_order(log: LocalLog) -> None:
    for number in range(6):
        write(log, str(number), topic=[TOPIC, "services.v1"][number % 2])
    reader = log.consumer("group", [TOPIC, "services.v1"])
    assert [item.record.value for item in reader.poll(0)] == [b"0", b"1", b"2", b"3", b"4", b"5"]
