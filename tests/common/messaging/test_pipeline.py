"""A pipeline runs one action at a time, in order; no error of an action is lost, and the switch interval comes back."""

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from services.common.messaging.pipeline import SWITCH_SECONDS, Pipeline

TIMEOUT = 20.0


class Unforeseen(Exception):
    """An error of an action."""


class Mistake(Exception):
    """An error of the caller."""


@pytest.fixture
def interval() -> Iterator[float]:
    """A switch interval that neither Python nor a pipeline sets by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.003)
    yield sys.getswitchinterval()
    sys.setswitchinterval(before)


def fail() -> None:
    raise Unforeseen


def test_action_runs_while_the_caller_goes_on() -> None:
    went_on = threading.Event()

    def wait() -> None:
        if not went_on.wait(TIMEOUT):
            fail()

    with Pipeline() as pipeline:
        pipeline.begin(wait)
        went_on.set()


def test_actions_run_in_order_and_one_at_a_time() -> None:
    busy, order = threading.Lock(), list[int]()

    def act(number: int) -> None:
        assert busy.acquire(blocking=False)
        threading.Event().wait(0.002)
        order.append(number)
        busy.release()

    with Pipeline() as pipeline:
        for number in range(20):
            pipeline.begin(partial(act, number))
    assert order == list(range(20))


def test_no_action_begins_after_one_has_failed() -> None:
    begun: list[str] = []
    pipeline = Pipeline()
    pipeline.begin(fail)
    with pytest.raises(Unforeseen):
        pipeline.begin(lambda: begun.append("too late"))
    pipeline.wait()
    assert begun == []


def test_error_of_the_last_action_is_raised_at_the_end() -> None:
    with pytest.raises(Unforeseen), Pipeline() as pipeline:
        pipeline.begin(fail)


def test_error_of_the_caller_hides_that_of_an_action() -> None:
    """At the end no action runs any more, and the caller's own error is the one that is raised."""
    ended = threading.Event()

    def act() -> None:
        threading.Event().wait(0.05)
        ended.set()
        fail()

    with pytest.raises(Mistake):
        stumble(act)
    assert ended.is_set()


def stumble(act: Callable[[], None]) -> None:
    with Pipeline() as pipeline:
        pipeline.begin(act)
        raise Mistake


def test_last_pipeline_that_ends_restores_switch_interval(interval: float) -> None:
    with Pipeline():
        with Pipeline():
            assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == interval


def test_failed_pipeline_restores_switch_interval(interval: float) -> None:
    with pytest.raises(Unforeseen), Pipeline() as pipeline:
        pipeline.begin(fail)
    with pytest.raises(Mistake):
        stumble(lambda: None)
    assert sys.getswitchinterval() == interval
