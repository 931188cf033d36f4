"""One thing at a time goes on behind, in order, and nothing that goes wrong there is lost."""

import threading
from collections.abc import Callable
from functools import partial

import pytest

from services.common.messaging.pipeline import Behind

PATIENCE = 20.0


class Unforeseen(Exception):
    """Something that goes wrong behind."""


class Mistake(Exception):
    """Something that goes wrong in front."""


def fail() -> None:
    raise Unforeseen


def test_what_is_begun_goes_on_while_the_caller_does_something_else() -> None:
    went_on = threading.Event()

    def wait() -> None:
        if not went_on.wait(PATIENCE):
            fail()

    with Behind() as behind:
        behind.begin(wait)
        went_on.set()


def test_things_are_done_in_order_and_never_two_at_once() -> None:
    busy, order = threading.Lock(), list[int]()

    def act(number: int) -> None:
        assert busy.acquire(blocking=False)
        threading.Event().wait(0.002)
        order.append(number)
        busy.release()

    with Behind() as behind:
        for number in range(20):
            behind.begin(partial(act, number))
    assert order == list(range(20))


def test_after_something_went_wrong_nothing_else_is_begun() -> None:
    begun: list[str] = []
    behind = Behind()
    behind.begin(fail)
    with pytest.raises(Unforeseen):
        behind.begin(lambda: begun.append("too late"))
    behind.wait()
    assert begun == []


def test_what_goes_wrong_last_is_raised_at_the_end() -> None:
    with pytest.raises(Unforeseen), Behind() as behind:
        behind.begin(fail)


def test_at_the_end_nothing_goes_on_and_a_mistake_of_the_callers_own_is_not_hidden() -> None:
    ended = threading.Event()

    def act() -> None:
        threading.Event().wait(0.05)
        ended.set()
        fail()

    with pytest.raises(Mistake):
        stumble(act)
    assert ended.is_set()


def stumble(act: Callable[[], None]) -> None:
    with Behind() as behind:
        behind.begin(act)
        raise Mistake
