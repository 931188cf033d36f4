"""The time from a partner's post until the recipient can fetch it, beside one bare record from produce to poll."""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from bench.load import Prepared, prepare
from bench.report import Figure, middle, percentile
from bench.world import World
from services.common.messaging.cloudevents import CONTENT_TYPE
from tests.support.people import referral

POSTS, RECORDS, WARM = 200, 300, 20
TIMES_BARE, POLLS = 3, 40
# A client that polls without pause takes processor time from the hub. And each post has the hub for itself, as each
# bare record has its broker: the work that follows one (acknowledgement, count) is over when the next begins.
PAUSE, REST = 0.01, 0.1


def figures(world: World) -> list[Figure]:
    """Return p50 and p99, with the promise: three bare round trips plus the relay's poll interval."""
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
    """Return the milliseconds from sending each post until the recipient's inbox shows it."""
    taken = []
    with (
        _Connection(world.hub.origins.url("/intake")) as intake,
        _Connection(world.hub.origins.url("/referral")) as waiting,
    ):
        for _ in range(POSTS + WARM):
            # Proofs are made beforehand: the time a partner's own program needs for them is not the hub's.
            event = world.sender.event(referral(world.person, world.recipient, urgency="14d"))
            post = prepare(world.sender, "POST", "/intake/v1/events", event, CONTENT_TYPE)
            requests = [prepare(world.recipient, "GET", "/referral/v1/inbox") for _ in range(POLLS)]
            start = time.perf_counter()
            thread = intake.ask(post)["thread"]
            if not any(_shows(waiting, request, thread) for request in requests):
                raise AssertionError("a referral never came into its inbox")
            taken.append((time.perf_counter() - start) * 1000)
            time.sleep(REST)
    return taken[WARM:]


def _shows(waiting: "_Connection", request: Prepared, thread: str) -> bool:
    """Return whether the inbox shows a referral, after a pause; asks from just before its id, which grows with time."""
    time.sleep(PAUSE)
    found = waiting.ask(request, f"?cursor={thread[:-12]}000000000000")
    return thread in {item["referral"] for item in found["items"]}


class _Connection:
    """One HTTP connection to a service, kept open."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(target.hostname), target.port)

    def __enter__(self) -> "_Connection":
        self._connection.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, request: Prepared, query: str = "") -> dict[str, Any]:
        """Send a prepared request; return the answer's JSON."""
        self._connection.request(request.method, urlsplit(request.url).path + query, request.body, request.headers)
        answer = self._connection.getresponse()
        content: dict[str, Any] = json.loads(answer.read())
        if answer.status not in {200, 202}:
            raise AssertionError(f"{request.url} answered {answer.status}: {content}")
        return content


def _bare(world: World) -> list[float]:
    """Return the milliseconds of one record at a time, kafka-python on both ends."""
    # A topic of its own: the hub's workers could not read these as events.
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
