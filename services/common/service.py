"""The parts of one service for the process that runs it: database, application, event handlers and chores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import MetaData
from starlette.types import ASGIApp

from services.common import metrics
from services.common.auth.replay import ReplayGuard
from services.common.clock import Clock
from services.common.database.engine import Database
from services.common.messaging.broker import Broker
from services.common.messaging.consumer import EventConsumer, Fold, Handler
from services.common.messaging.relay import Relay
from services.common.messaging.topics import topics_read_by
from services.common.service_tables import Plumbing
from services.common.settings import Settings
from services.common.worker import Loop, every


@dataclass(frozen=True, slots=True)
class Service:
    """One service, built by its `main`. `inner_app` answers other services only, on a port apart from the public one."""

    name: str
    settings: Settings
    clock: Clock
    database: Database
    metadata: MetaData
    plumbing: Plumbing
    handlers: Mapping[str, Handler]
    app: ASGIApp
    prefixes: tuple[str, ...]
    folds: Mapping[str, Fold] = field(default_factory=dict)
    inner_app: ASGIApp | None = None
    api_loops: Mapping[str, Loop] = field(default_factory=dict)
    chores: Mapping[str, Loop] = field(default_factory=dict)
    on_close: tuple[Callable[[], None], ...] = ()

    def close(self) -> None:
        """Close connections and files."""
        for close in self.on_close:
            close()
        self.database.close()

    def consumer(self, broker: Broker) -> EventConsumer:
        """Return the consumer that reads this service's topics."""
        return EventConsumer(
            service=self.name,
            database=self.database,
            inbox=self.plumbing.inbox,
            parking=self.plumbing.parking,
            broker=broker,
            topics=topics_read_by(self.name),
            handlers=self.handlers,
            clock=self.clock,
            folds=self.folds,
        )

    def worker_loops(self, broker: Broker) -> Mapping[str, Loop]:
        """Return the loops that run beside the application by name: relay, consumer and chores."""
        relay = Relay(self.name, self.database, self.plumbing.outbox, broker, self.settings.relay_interval)
        consumer = self.consumer(broker)
        return {
            f"{self.name} relay": relay.run,
            f"{self.name} consumer": consumer.run,
            f"{self.name} tidying": every(600.0, lambda: self._tidy(consumer)),
            f"{self.name} gauge": every(5.0, self._measure),
            **self.chores,
        }

    def _tidy(self, consumer: EventConsumer) -> None:
        consumer.forget_old()
        # Identifiers expire long before they are dropped; the hour allows for clocks that differ.
        ReplayGuard(self.database, self.plumbing.replay).forget(self.clock.now() - timedelta(hours=1))

    def _measure(self) -> None:
        with self.database.reading() as connection:
            oldest = self.plumbing.outbox.oldest_at(connection)
        age = (self.clock.now() - oldest).total_seconds() if oldest else 0.0
        metrics.outbox_age.set(age, {"service": self.name})
