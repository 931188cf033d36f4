"""Sends events through HTTP, outbox, bus and consumer in a process that writes its telemetry to a file.

This is a program and not a fixture, because a process can set its telemetry up only once.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import Connection
from starlette.testclient import TestClient

from services.common import telemetry
from services.common.database.engine import Database
from services.common.http.app import create_app
from services.common.messaging.broker import BrokerUnavailable, Pending, Record
from services.common.messaging.cloudevents import Event
from services.common.messaging.local_log import LocalLog
from services.common.messaging.relay import Relay
from services.common.settings import Settings
from tests.support.clocks import NOON
from tests.support.plumbing import TOPIC, make_consumer, make_event, metadata, plumbing

CANARY = "sample-aspen-canary"
CALLER = f"00-{'1' * 32}-{'2' * 16}-01"
PARTNER = f"00-{'3' * 32}-{'4' * 16}-01"
FOLLOWING = "capacity.declared.v1"


class Journey:
    """The service of this program: each post sends an event, and each received event causes another one."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'rows.sqlite'}")
        metadata.create_all(self.database.engine)
        self.log = LocalLog(folder / "log.sqlite")
        self.relay = Relay("test", self.database, plumbing.outbox, self.log, 0.01)
        self.http = TestClient(create_app("test", "", [self.routes()]), raise_server_exceptions=False)

    def routes(self) -> APIRouter:
        routes = APIRouter()

        @routes.post("/things/{name}")
        def post(name: str, starting: str | None = None) -> None:
            event = Event(name, "test", "referral.updated.v1", NOON, {"n": CANARY}, f"{CANARY}-{name}", None, starting)
            with self.database.transaction() as connection:
                plumbing.outbox.add(connection, [event], NOON)

        @routes.get("/broken/{name}")
        def broken(name: str) -> None:
            raise LookupError(f"{CANARY} {name}")

        return routes

    def handle(self, connection: Connection, event: Event) -> None:
        """Add a following event to the outbox; raise `LookupError` for the event `poison`."""
        if event.id == "poison":
            raise LookupError(CANARY)
        plumbing.outbox.add(connection, [make_event(event.id, 1, FOLLOWING)], NOON)

    def run(self) -> None:
        """Take every path once: traced and untraced requests, failures, an unavailable bus, and the consumer."""
        self.http.post("/things/called", headers={"traceparent": CALLER})
        self.http.post(f"/things/begun?starting={PARTNER}", headers={"traceparent": CALLER})
        self.http.post("/things/alone")
        self.http.post("/things/poison")
        self.http.get(f"/broken/{CANARY}")
        self.http.get(f"/{CANARY}")
        try:
            self.relay.pass_on(Unavailable())
        except BrokerUnavailable:
            telemetry.log.exception("the bus is down")
        self.relay.pass_on(self.log.producer())
        consumer = make_consumer(self.database, self.log, self.handle)
        for item in self.log.consumer("test", [TOPIC]).poll(0):
            consumer.take([item])
        self.relay.pass_on(self.log.producer())
        # An event that starts outside any request.
        with self.database.transaction() as connection:
            plumbing.outbox.add(connection, [make_event("untraced", 1)], NOON)
        self.relay.pass_on(self.log.producer())

    def records(self) -> list[dict[str, str]]:
        """Return the headers of all records on the bus."""
        found = self.log.consumer("reader", [TOPIC, "services.v1"]).poll(0)
        return [dict(item.record.headers) for item in found]


class Unavailable:
    """A bus that is down; its error message holds the canary."""

    def send(self, _records: Sequence[Record]) -> Pending:
        raise BrokerUnavailable(CANARY)

    def close(self) -> None:
        """Do nothing: it holds no resources."""


def main(folder: Path) -> None:
    """Run the journey; leave the telemetry and the record headers in the folder."""
    telemetry.start(Settings(data=folder, telemetry=f"file:{folder / 'telemetry.jsonl'}"), "test")
    journey = Journey(folder)
    journey.run()
    (folder / "records.json").write_text(json.dumps(journey.records()))
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        assert isinstance(provider, TracerProvider | MeterProvider)
        provider.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
