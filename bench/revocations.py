"""How long a revocation takes until it is answered: alone, and while agencies open her envelopes and others' in a flood."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Event, Process
from multiprocessing.synchronize import Event as Stop

import httpx2

from bench.consent import allowed, context
from bench.load import prepare
from bench.report import Figure, middle, percentile
from bench.world import World
from services.client import Partner
from services.consent.api.opening_response import SEND_SECONDS
from services.consent.context import Context
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from tests.support.consent import Person, open_session
from tests.support.people import PARTS

ROUNDS, FLOODERS = 150, 3
SLACK_MS = 20.0
PATH = "/consent/v1/openings"


def figures(world: World) -> list[Figure]:
    """Return p99 idle, and p99 under flood beside the cap that a slow receiver has."""
    with context(world) as made:
        people = allowed(made, world, 20)
        idle = _revocations(world, made, people[0][0])
        with _flood(world, [envelope for _, envelope in people]):
            flooded = _revocations(world, made, people[0][0])
    cap = SEND_SECONDS * 1000
    return [
        Figure("revoke to answer, p99, idle", percentile(idle, 0.99), "ms", "its own median", middle(idle)),
        Figure(
            "revoke to answer, p99, in a flood",
            percentile(flooded, 0.99),
            "ms",
            "the cap for slow receivers",
            cap,
            ceiling=cap + SLACK_MS,
        ),
    ]


def _revocations(world: World, made: Context, person: Person) -> list[float]:
    cookie = f"s={open_session(made, person.subject)}"
    taken = []
    with httpx2.Client() as client:
        for number in range(ROUNDS):
            wish = Wish(world.recipient.client_id, "referral", sorted(PARTS), number % 80 + 2)
            url = world.hub.origins.url(f"/my/v1/grants/{grants.give_grant(made, person.subject, wish)}")
            start = time.perf_counter()
            answer = client.delete(url, headers={"cookie": cookie})
            taken.append((time.perf_counter() - start) * 1000)
            assert answer.status_code == 204, answer.text
    return taken


@contextmanager
def _flood(world: World, envelopes: list[str]) -> Iterator[None]:
    """Run processes that open without a pause: one envelope of hers at a time, and batches with hers among them."""
    over = Event()
    bodies = [{"envelope": envelopes[0]}, {"envelope": envelopes[0]}, {"envelopes": envelopes}]
    flooders = [Process(target=_open, args=(world.recipient, bodies[n % 3], over)) for n in range(FLOODERS)]
    for flooder in flooders:
        flooder.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        over.set()
        for flooder in flooders:
            flooder.join(20)


def _open(partner: Partner, body: object, over: Stop) -> None:
    with httpx2.Client(timeout=20.0) as client:
        while not over.is_set():
            request = prepare(partner, "POST", PATH, body)
            answer = client.post(request.url, content=request.body, headers=request.headers)
            json.loads(answer.content)
