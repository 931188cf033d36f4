"""Does one thing in a thread of its own while the next is made ready; never two at once, never out of order."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Thread
from typing import Self

# Seconds that one thread works while another waits for its turn. What goes on behind asks a database again and again, and
# would wait that long after each answer; what Python does of itself (5 ms) made it as slow as without a thread.
TURN = 0.0001


class Behind(AbstractContextManager["Behind"]):
    """What follows one step behind. What goes wrong there is raised here, before anything else is begun."""

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        """From now on turns are short, in all of this process."""
        sys.setswitchinterval(TURN)
        return self

    def begin(self, act: Callable[[], None]) -> None:
        """Begin as soon as what was begun before has ended."""
        self.wait()
        # A daemon: a database that never answers must not keep a process that was told to end.
        self._thread = Thread(target=self._do, args=(act,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until nothing is going on; raises what went wrong."""
        if self._thread:
            self._thread.join()
        self._thread, error, self._error = None, self._error, None
        if error:
            raise error

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Nothing goes on any more. An error of the caller's own is not hidden by one from here."""
        if kind is None:
            self.wait()
        elif self._thread:
            self._thread.join()

    def _do(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
