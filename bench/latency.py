"""From a partner's post until the recipient can fetch it, beside one bare record's way from produce to poll."""

import time
from uuid import uuid4

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from bench.report import Figure, middle, percentile
from bench.world import World
from tests.support.people import inbox, referral

POSTS, RECORDS, WARM = 200, 300, 20
TIMES_BARE = 3
PATIENCE = 30.0
# Whoever asks without pause takes the processor from what it waits for. And each post has the hub for itself, as each bare
# record has its broker: what follows from one (its acknowledgement, its count) is over when the next begins.
PAUSE, REST = 0.02, 0.15


def figures(world: World) -> list[Figure]:
    """p50 and p99, with the promise: three bare round trips plus the relay's poll interval."""
    bare = _bare(world)
    posted = _posted(world)
    interval = world.hub.settings.relay_interval * 1000
    round_trip = percentile(bare, 0.99)
    return [
        Figure("post to fetchable, p50", middle(posted), "ms", "bare produce to poll, p50", middle(bare)),
        Figure(
            "post to fetchable, p99",
            percentile(posted, 0.99),
            "ms",
            "bare produce to poll, p99",
            round_trip,
            ceiling=TIMES_BARE * round_trip + interval,
        ),
    ]


def _posted(world: World) -> list[float]:
    """Milliseconds from sending each post until the recipient's inbox shows it."""
    seen: set[str] = {item["referral"] for item in inbox(world.recipient)}
    taken = []
    for _ in range(POSTS + WARM):
        event = world.sender.event(referral(world.person, world.recipient, urgency="14d"))
        start = time.perf_counter()
        thread = world.sender.post(event)["thread"]
        while thread not in seen:
            if time.perf_counter() > start + PATIENCE:
                raise AssertionError("a referral never came into its inbox")
            time.sleep(PAUSE)
            seen |= {item["referral"] for item in _newest(world, thread)}
        taken.append((time.perf_counter() - start) * 1000)
        time.sleep(REST)
    return taken[WARM:]


def _newest(world: World, thread: str) -> list[dict[str, str]]:
    """The part of the inbox in which the referral will be: from just before its id, which grows with time."""
    before = thread[:-12] + "0" * 12
    items: list[dict[str, str]] = world.recipient.call("GET", f"/referral/v1/inbox?cursor={before}")["items"]
    return items


def _bare(world: World) -> list[float]:
    """Milliseconds for one record at a time, kafka-python on both ends."""
    # A topic of its own: the hub's workers would take these for events that they cannot read.
    topic, taken = f"bare-{uuid4()}", []
    with KafkaAdminClient(bootstrap_servers=world.kafka.bootstrap) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    consumer = KafkaConsumer(
        topic, bootstrap_servers=world.kafka.bootstrap, group_id=f"bare-{uuid4()}", auto_offset_reset="latest"
    )
    producer = KafkaProducer(bootstrap_servers=world.kafka.bootstrap, linger_ms=0)
    while not consumer.assignment():
        consumer.poll(timeout_ms=100)
    consumer.poll(timeout_ms=500)
    for number in range(RECORDS + WARM):
        start = time.perf_counter()
        producer.send(topic, key=str(number).encode(), value=b"x" * 700)
        while not consumer.poll(timeout_ms=1000):
            pass
        taken.append((time.perf_counter() - start) * 1000)
    producer.close()
    consumer.close()
    return taken[WARM:]
