"""How fast the outbox goes onto the bus, beside kafka-python alone sending the same records to the same broker."""

import gc
import time
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer

from bench.report import Figure, middle
from bench.world import World
from services.common.clock import SystemClock
from services.common.database.engine import Database
from services.common.messaging.broker import Record
from services.common.messaging.cloudevents import Event, to_headers, to_value
from services.common.messaging.kafka import KafkaBroker
from services.common.messaging.relay import Relay
from services.intake import models

ROWS, ROUNDS = 20_000, 5


def figures(world: World) -> list[Figure]:
    """Return rows a second through the relay and a bare producer, in alternating rounds, the median of each.

    It ends the hub's workers.
    """
    for name, process in world.hub.processes.items():
        if name.endswith("-worker"):
            process.stop()
    gc.freeze()  # as every process of the hub does once it is loaded
    relayed, bare, lean = [], [], []
    for _ in range(ROUNDS):
        bare.append(_bare(world))
        relayed.append(_relayed(world))
        lean.append(_bare(world, metrics_enabled=False))
    gc.unfreeze()
    rate = middle(relayed)
    return [
        Figure("outbox rows relayed", rate, "rows/s", "bare pipelined kafka-python", middle(bare), floor=0.70),
        # As the relay has it. The library's own metrics take about two microseconds a record.
        Figure("outbox rows relayed", rate, "rows/s", "the same, counting nothing", middle(lean)),
    ]


def _relayed(world: World) -> float:
    database = Database(world.hub.settings.database("intake"))
    broker, clock = KafkaBroker(world.kafka.bootstrap), SystemClock()
    outbox = models.plumbing.outbox
    with database.transaction() as connection:
        outbox.add(connection, [_event(number) for number in range(ROWS)], clock.now())
    relay = Relay("bench", database, outbox, broker, 0.05)
    producer = broker.producer()
    producer.send([Record("services.v1", "warm", {}, b"{}")]).acknowledged(10)  # as a running relay's is
    start = time.perf_counter()
    sent = relay.pass_on(producer)
    spent = time.perf_counter() - start
    producer.close()
    database.close()
    if sent < ROWS:
        raise AssertionError(f"only {sent} of {ROWS} rows left")
    return sent / spent


def _bare(world: World, **settings: Any) -> float:
    """Send the records bare: the topic, keys, headers, bytes and batches of the relay; send everything, then wait for all."""
    events = [_event(number) for number in range(ROWS)]
    records = [
        (event.key.encode(), to_value(event), [(name, text.encode()) for name, text in to_headers(event).items()])
        for event in events
    ]
    producer = KafkaProducer(bootstrap_servers=world.kafka.bootstrap, linger_ms=0, batch_size=256 * 1024, **settings)
    producer.send("services.v1", key=b"warm", value=b"{}").get(10)
    start = time.perf_counter()
    futures = [producer.send("services.v1", key=key, value=value, headers=headers) for key, value, headers in records]
    producer.flush()
    spent = time.perf_counter() - start
    if not all(future.succeeded() for future in futures):
        raise AssertionError("not every record arrived")
    producer.close()
    return ROWS / spent


def _event(number: int) -> Event:
    # About 700 bytes, the size of a small sealed referral. Nobody reads it: the hub's workers have ended.
    data = {"referral": str(uuid4()), "envelope": "fw1." + "x" * 600, "number": number}
    return Event(str(uuid4()), "bench", "capacity.declared.v1", SystemClock().now(), data, key=f"key-{number % 500}")
