"""Loops run in parallel through outages, until they are told to stop or one fails."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.common import worker as worker_module
from services.common.errors import Transient
from services.common.messaging.broker import BrokerUnavailable
from services.common.worker import Loop, Worker, every
from tests.support.hubs import eventually

TIMEOUT = 20.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.01)


def failing(times: int, error: Exception, then: threading.Event) -> Loop:
    """Return a loop that fails some times, and then succeeds."""
    left = [error] * times

    def loop(stopping: threading.Event) -> None:
        if left:
            raise left.pop()
        then.set()
        stopping.wait()

    return loop


@pytest.mark.parametrize(
    "outage", [BrokerUnavailable(), OperationalError("", {}, Exception()), PoolTimeout(), Transient(), OSError(28, "")]
)
def test_outage_restarts_a_loop(outage: Exception) -> None:
    well = threading.Event()
    worker = Worker({"loop": failing(3, outage, well)})
    worker.start()
    assert well.wait(TIMEOUT)
    worker.stop()
    assert worker.failed == []


def test_an_outage_of_one_loop_leaves_the_others_running() -> None:
    turns: list[int] = []
    going_well, down = threading.Event(), threading.Event()

    def fails(_stopping: threading.Event) -> None:
        down.set()
        raise Transient

    def goes_well(stopping: threading.Event) -> None:
        down.wait(TIMEOUT)
        turns.append(1)
        going_well.set()
        stopping.wait()

    worker = Worker({"fails": fails, "goes well": goes_well})
    worker.start()
    assert going_well.wait(TIMEOUT)
    worker.stop()
    assert turns == [1]


@pytest.mark.parametrize("failure", [LookupError("canary"), AssertionError()])
def test_any_other_failure_ends_the_whole_worker(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    others_begun, others_stopped = threading.Event(), threading.Event()

    def fails(_stopping: threading.Event) -> None:
        others_begun.wait(TIMEOUT)
        raise failure

    def other(stopping: threading.Event) -> None:
        others_begun.set()
        stopping.wait()
        others_stopped.set()

    worker = Worker({"fails": fails, "other": other})
    worker.start()
    assert worker.stopping.wait(TIMEOUT)
    assert others_stopped.wait(TIMEOUT)
    worker.stop()
    assert worker.failed == ["fails"]
    assert "fails cannot go on" in caplog.text


def test_loop_that_returns_is_started_again() -> None:
    enough, turns = threading.Event(), list[int]()

    def ends(_stopping: threading.Event) -> None:
        turns.append(1)
        if len(turns) == 3:
            enough.set()

    worker = Worker({"ends": ends})
    worker.start()
    assert enough.wait(TIMEOUT)
    worker.stop()
    assert worker.failed == []


def test_stopping_waits_for_running_loops() -> None:
    begun, done = threading.Event(), threading.Event()

    def loop(stopping: threading.Event) -> None:
        begun.set()
        stopping.wait()
        done.set()

    worker = Worker({"loop": loop})
    worker.start()
    assert begun.wait(TIMEOUT)
    worker.stop()
    assert done.is_set()


def test_repeated_action_runs_at_once_and_until_stopped() -> None:
    turns: list[int] = []
    worker = Worker({"chore": every(0.01, lambda: turns.append(1))})
    worker.start()
    eventually(lambda: len(turns) >= 3)
    worker.stop()
    seen = len(turns)
    assert worker.stopping.wait(0.05)
    assert len(turns) == seen


def test_a_repeated_action_waits_its_time() -> None:
    turns: list[int] = []
    worker = Worker({"chore": every(3600, lambda: turns.append(1))})
    worker.start()
    eventually(lambda: turns)
    worker.stop()
    assert turns == [1]


PROCESS = """
import sys, threading
from services.common.worker import Worker

def waits(stopping):
    print("ready", flush=True)
    stopping.wait()

def fails(stopping):
    raise LookupError

sys.exit(Worker({"loop": {"waits": waits, "fails": fails}[sys.argv[1]]}).run())
"""


def process(how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_process_in_order(number: signal.Signals) -> None:
    with process("waits") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        os.kill(running.pid, number)
        assert running.wait(TIMEOUT) == 0


def test_failure_ends_a_process_with_status_one() -> None:
    with process("fails") as running:
        assert running.wait(TIMEOUT) == 1


def test_nothing_is_started_before_it_is_asked_for() -> None:
    started: list[Callable[[], None]] = []
    Worker({"loop": lambda _stopping: started.append(print)})
    assert started == []
