"""Openings per second over HTTP, beside the bare cryptography and the bare commits that an opening needs."""

import psycopg
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.consent import allowed, context
from bench.load import prepare, rate, repeat, send
from bench.report import Figure, middle, percentile
from bench.world import World
from services.common.envelope import SUITE
from tests.support.people import PARTS, meet, waiting
from tests.support.people import send as refer

OPENINGS, CLIENTS, PEOPLE = 1200, 4, 8
BATCHES, BATCH = 40, 100
PARTS_ASKED_FOR = 2000.0


def figures(world: World) -> list[Figure]:
    """Return figures of openings of different people's envelopes, and of one person's, by several clients at once."""
    spread = _load(world, [_envelope(world) for _ in range(PEOPLE)])
    alone = _load(world, [_envelope(world)])
    commits, crypto = _bare_commits(world), _bare_crypto()
    return [
        Figure(
            "openings, many people", rate(spread, expected=200), "/s", "bare pairs of commits, one connection", commits
        ),
        Figure("openings, one person", rate(alone, expected=200), "/s", "bare HPKE decryptions, one core", crypto),
        Figure(
            "parts opened, 100 boxes a request", _in_batches(world), "parts/s", "asked for", PARTS_ASKED_FOR, floor=1.0
        ),
        Figure("opening, p50", middle(spread.each) * 1000, "ms", "a bare pair of commits", 1000 / commits),
        Figure("opening, p99", percentile(spread.each, 0.99) * 1000, "ms", "a bare pair of commits", 1000 / commits),
    ]


def _envelope(world: World) -> str:
    person = meet(world.hub, world.sender)
    person.page.allow(world.recipient.client_id, "referral", ["summary", "housing", "health"])
    return str(waiting(world.recipient, refer(person, world.sender, world.recipient))["envelope"])


def _load(world: World, envelopes: list[str]):  # type: ignore[no-untyped-def]  # the load's outcome
    bodies = [{"envelope": envelopes[number % len(envelopes)]} for number in range(OPENINGS)]
    return send([prepare(world.recipient, "POST", "/consent/v1/openings", body) for body in bodies], CLIENTS)


def _in_batches(world: World) -> float:
    """Open batches of different people's envelopes of three parts each."""
    with context(world) as made:
        envelopes = [envelope for _, envelope in allowed(made, world, BATCH)]
    body = {"envelopes": envelopes}
    done = send([prepare(world.recipient, "POST", "/consent/v1/openings", body) for _ in range(BATCHES)], 2)
    return rate(done, BATCH * len(PARTS), expected=200)


def _bare_commits(world: World) -> float:
    """Return how many openings a second the disk allows: an intent and an outcome, each durable before the next step."""
    with psycopg.connect(world.hub.settings.database("consent").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare_entry (position bigserial PRIMARY KEY, detail jsonb)")

        def pair() -> None:
            for _ in range(2):
                connection.execute("INSERT INTO bare_entry (detail) VALUES ('{}')")

        return repeat(pair)


def _bare_crypto() -> float:
    private = X25519PrivateKey.generate()
    sealed = SUITE.encrypt(bytes(32), private.public_key(), info=b"bench")
    return repeat(lambda: SUITE.decrypt(sealed, private, info=b"bench"))
