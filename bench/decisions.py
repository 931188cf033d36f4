"""Decisions: pure beside two engines on the same rules, on a strong read beside a bare one, and over HTTP as AuthZEN."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import cedarpy
import psycopg

from bench.consent import allowed, context
from bench.load import Outcome, prepare, rate, repeat, send
from bench.report import Figure, middle, percentile
from bench.world import World
from services.consent.domain import Grant, Recipient, Request, Restriction, Snapshot, decide
from services.consent.handlers.disclosures.evaluations import Question, evaluate
from services.consent.policy import policy
from tests.support.authorization_engines import (
    casbin_enforcer,
    cedar_entities,
    cedar_policies,
    cedar_question,
    microseconds,
)

SIZES = (5, 60, 600)
TIMES_FASTER = 10.0
READS, SINGLES, BATCHES, BATCH = 2000, 1500, 60, 100
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CLIENTS = (1, 8)


def figures(world: World) -> list[Figure]:
    """Return figures of pure decisions, with a read, and over HTTP."""
    read = _read(world)
    return [*map(_pure, SIZES), *read, *_over_http(world, 1000 / read[0].value)]


def rules(size: int) -> Snapshot:
    """Return a survivor with that many rules, one in six a restriction; the last grant is the one that permits."""
    grants = [
        Grant(UUID(int=n), f"agency-{n}", "referral", frozenset({"summary"}), NOW, NOW + timedelta(days=30))
        for n in range(1, size - size // 6)
    ]
    grants.append(replace(grants[0], id=UUID(int=size), agency="shelter"))
    denies = [Restriction(UUID(int=size + n), f"clinic-{n}", None, "health") for n in range(size // 6)]
    return Snapshot("active", 1, Recipient("shelter", "housing", "active"), grants, denies)


def _pure(size: int) -> Figure:
    snapshot, law = rules(size), policy()
    request = Request("shelter", "referral", frozenset({"summary"}))
    policies = cedarpy.PolicySet.from_str(cedar_policies(snapshot, law))
    entities = cedarpy.Entities.from_json_str(json.dumps(cedar_entities(snapshot, law)))
    question = cedar_question(snapshot, request, "summary", NOW, law)
    enforcer = casbin_enforcer(snapshot, law)
    asked = ("shelter", "housing", "referral", "summary", microseconds(NOW))
    assert decide(snapshot, request, NOW, law).permitted
    assert cedarpy.is_authorized(question, policies, entities).allowed
    assert enforcer.enforce(*asked)
    ours = repeat(lambda: decide(snapshot, request, NOW, law))
    cedar = repeat(lambda: cedarpy.is_authorized(question, policies, entities))
    casbin = repeat(lambda: enforcer.enforce(*asked))
    better = "Cedar, rules parsed before" if cedar > casbin else "Casbin, rules loaded before"
    return Figure(f"pure decisions, {size} rules", ours, "/s", better, max(cedar, casbin), floor=TIMES_FASTER)


def _read(world: World) -> list[Figure]:
    with context(world) as made:
        [(person, _)] = allowed(made, world, 1)
        agency, until = world.recipient.client_id, made.clock.now() + timedelta(hours=1)
        asked = [Question(person.ppid, "referral", frozenset({"summary"}))]
        [answer] = evaluate(made, agency, asked, until)
        assert answer.whole
        taken = timed(lambda: evaluate(made, agency, asked, until))
    with psycopg.connect(world.hub.settings.database("consent").replace("+psycopg", ""), autocommit=True) as bare:
        query = "SELECT * FROM subject WHERE id = %s"
        reads = timed(lambda: bare.execute(query, [person.subject], prepare=True).fetchone())
    return [
        Figure("decision with a strong read, p50", middle(taken), "ms", "one bare indexed read, p50", middle(reads)),
        Figure(
            "decision with a strong read, p99",
            percentile(taken, 0.99),
            "ms",
            "one bare indexed read, p99",
            percentile(reads, 0.99),
        ),
    ]


def timed(act: Callable[[], object], count: int = READS) -> list[float]:
    """Return the milliseconds of each of many calls, one after the other."""
    for _ in range(count // 10):
        act()
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        act()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def _over_http(world: World, in_process: float) -> list[Figure]:
    """Return rates over HTTP beside decisions a second in this process, one after the other."""
    with context(world) as made:
        names = [person.ppid for person, _ in allowed(made, world, 50)]
    found = []
    for clients in CLIENTS:
        single = _ask(world, clients, SINGLES, lambda n: _question(world, names[n % len(names)]), "evaluation")
        batch = _ask(
            world,
            clients,
            BATCHES,
            lambda _: {"evaluations": [_question(world, names[n % len(names)]) for n in range(BATCH)]},
            "evaluations",
        )
        told = f"{clients} client{'s' if clients > 1 else ''}"
        against = "decisions with a strong read, in process"
        found += [
            Figure(f"evaluation, {told}", rate(single, expected=200), "/s", against, in_process),
            Figure(f"evaluations of 100, {told}", rate(batch, BATCH, expected=200), "answers/s", against, in_process),
        ]
    return found


def _question(world: World, ppid: str) -> dict[str, object]:
    return {
        "subject": {"type": "agency", "id": world.recipient.client_id},
        "action": {"name": "referral"},
        "resource": {"type": "survivor", "id": ppid, "properties": {"categories": ["summary"]}},
    }


def _ask(world: World, clients: int, count: int, body: Callable[[int], object], face: str) -> Outcome:
    path = f"/consent/access/v1/{face}"
    return send([prepare(world.recipient, "POST", path, body(number)) for number in range(count)], clients)
