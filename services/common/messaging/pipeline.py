"""Runs one action in a thread of its own while the caller prepares the next; one at a time, and in order."""

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Thread
from typing import Self

# Seconds that one thread runs while another waits for its turn. The action asks a database again and again, and after each
# answer waits this long for its turn; with Python's own 5 ms it was as slow as without a thread.
SWITCH_SECONDS = 0.0001


class _ShortTurns:
    """Shortens the interpreter's switch interval, which all threads share, while at least one pipeline is in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = 0.0

    def begin(self) -> None:
        with self._lock:
            if self._users == 0:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(SWITCH_SECONDS)
            self._users += 1

    def end(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                sys.setswitchinterval(self._before)


_short_turns = _ShortTurns()


class Pipeline(AbstractContextManager["Pipeline"]):
    """Runs actions one step behind the caller. An error of an action is raised in the caller, before the next begins."""

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        """Shorten the switch interval of the whole process until the last pipeline has ended."""
        _short_turns.begin()
        return self

    def begin(self, action: Callable[[], None]) -> None:
        """Wait until the action before has ended, then start this one; raises the error of the one before."""
        self.wait()
        # A daemon: a database that never answers must not keep a process that was told to end.
        self._thread = Thread(target=self._do, args=(action,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until no action runs; raises its error."""
        if self._thread:
            self._thread.join()
        self._thread, error, self._error = None, self._error, None
        if error:
            raise error

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait until no action runs and restore the switch interval. An error of the caller's own hides one of an action."""
        try:
            if kind is None:
                self.wait()
            elif self._thread:
                self._thread.join()
        finally:
            _short_turns.end()

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
