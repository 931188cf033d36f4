"""Runs the long-lived loops of a process in parallel until it is told to stop; an outage does not end them."""

import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.common import telemetry
from services.common.errors import Transient
from services.common.messaging.broker import BrokerUnavailable

Loop = Callable[[threading.Event], None]
RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Worker:
    """Named loops, each in its own thread. An outage restarts a loop; any other failure ends the whole worker."""

    loops: Mapping[str, Loop]
    stopping: threading.Event = field(default_factory=threading.Event)
    failed: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start every loop."""
        for name, loop in self.loops.items():
            thread = threading.Thread(target=self._keep, args=(name, loop), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout: float = 10.0) -> None:
        """Ask every loop to end, and wait for each at most `timeout` seconds."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(timeout)

    def run(self) -> int:
        """Run until a signal or a failure; return the exit status of the process: 1 after a failure."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        self.start()
        self.stopping.wait()
        self.stop()
        return 1 if self.failed else 0

    def _keep(self, name: str, loop: Loop) -> None:
        while not self.stopping.is_set():
            try:
                loop(self.stopping)
            except (BrokerUnavailable, OperationalError, PoolTimeout, Transient, OSError) as outage:
                telemetry.log.warning("%s waits: %s", name, type(outage).__name__)
                self.stopping.wait(RETRY_SECONDS)
            except Exception:  # noqa: BLE001 - logged, and it ends the process
                telemetry.log.exception("%s cannot go on; this process ends", name)
                self.failed.append(name)
                self.stopping.set()


def every(seconds: float, action: Callable[[], object]) -> Loop:
    """Return a loop that calls `action` at once and then every `seconds`, until it is told to stop."""

    def loop(stopping: threading.Event) -> None:
        while not stopping.is_set():
            action()
            stopping.wait(seconds)

    return loop
