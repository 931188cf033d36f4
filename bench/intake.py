"""Events accepted per second, one by one and a hundred at once, beside bare inserts of the very same rows."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from psycopg import sql

from bench.load import Prepared, prepare, rate, repeat, send
from bench.report import Figure, middle
from bench.world import World
from services.common.envelope import CONTENT_KEY_BYTES, SUITE
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE
from tests.support.people import referral

SINGLES, BATCHES, BATCH = 1000, 120, 100
SINGLE_CLIENTS, BATCH_CLIENTS = 4, 4
# One process keeps one core busy. A hub that wants more of them than this sends, has enough.
PROCESSES = min(os.cpu_count() or 1, BATCH_CLIENTS)
# In turn, and the median of each: what else the machine does in a second must not fall on one of them alone.
ROUNDS = 5
BARE_SECONDS = 2.0
PATH = "/intake/v1/events"
TABLES = ("posted_event", "outbox")
GRANT_KEY = X25519PrivateKey.generate().public_key()
Make = Callable[[World, int], dict[str, Any]]


def figures(world: World) -> list[Figure]:
    """Single and batch, for a fact about a service and for a referral (decided by consent, and sealed)."""
    # Without its worker, so that rows stay in the outbox to be inserted again bare, and nothing else takes the processor.
    world.hub.processes["intake-worker"].stop()
    made = []
    with ExitStack() as more:
        urls = [world.hub.settings.public_url]
        made += [figure for kind in KINDS for figure in _kind(world, urls, *kind)]
        urls += [more.enter_context(world.hub.another("intake")) for _ in range(1, PROCESSES)]
        made += [figure for kind in KINDS for figure in _kind(world, urls, *kind)]
    world.hub.processes["intake-worker"].start()
    return made


def _kind(world: World, urls: Sequence[str], kind: str, make: Make, sealed: bool) -> list[Figure]:
    name = f"{kind}, {len(urls)} process{'es' if len(urls) > 1 else ''}"
    _warm(world, urls, make)
    single, batch, many = [], [], []
    with psycopg.connect(world.hub.settings.database("intake").replace("+psycopg", "")) as connection:
        for _round in range(ROUNDS):
            single.append(rate(send(_singles(world, urls, make), SINGLE_CLIENTS)))
            batch.append(rate(send(_batches(world, urls, make), BATCH_CLIENTS), BATCH))
            rows = {table: _newest(connection, table, BATCH) for table in TABLES}
            many.append(_bare(connection, rows, BATCH))
        one = _bare(connection, rows, 1)
    made = [
        Figure(f"{name}, one a request", middle(single), "events/s", "bare inserts, one a commit", one),
        Figure(
            f"{name}, 100 a request", middle(batch), "events/s", "bare inserts, 100 a commit", middle(many), floor=0.30
        ),
    ]
    if sealed:
        # What a referral cannot do without either: an X25519 key made for it alone, and one exchange with the grant's.
        seals = repeat(lambda: SUITE.encrypt(bytes(CONTENT_KEY_BYTES), GRANT_KEY, info=b"header"))
        both = 1 / (1 / middle(many) + 1 / seals)
        made.append(Figure(f"{name}, 100 a request", middle(batch), "events/s", "bare HPKE, then inserts", both))
    return made


def _fact(_world: World, number: int) -> dict[str, Any]:
    data = {"program": f"p{number % 50}", "need": "N02", "region": "toronto", "unit": "bed", "total": 20}
    return {"type": "capacity.declared.v1", "data": {**data, "available": 5, "as_of": "2026-01-01T04:00:00+00:00"}}


def _referral(world: World, _number: int) -> dict[str, Any]:
    return referral(world.person, world.recipient)


KINDS: tuple[tuple[str, Make, bool], ...] = (("service facts", _fact, False), ("referrals", _referral, True))


def _warm(world: World, urls: Sequence[str], make: Make) -> None:
    """Each process' connections, and the statements that are prepared on them."""
    send(_singles(world, urls, make)[:100], SINGLE_CLIENTS)
    send(_batches(world, urls, make), BATCH_CLIENTS)


def _singles(world: World, urls: Sequence[str], make: Make) -> list[Prepared]:
    events = [world.sender.event(make(world, number)) for number in range(SINGLES // ROUNDS)]
    return _shared_out([prepare(world.sender, "POST", PATH, event, CONTENT_TYPE) for event in events], urls)


def _batches(world: World, urls: Sequence[str], make: Make) -> list[Prepared]:
    batches = [[world.sender.event(make(world, number)) for number in range(BATCH)] for _ in range(BATCHES)]
    return _shared_out([prepare(world.sender, "POST", PATH, batch, BATCH_CONTENT_TYPE) for batch in batches], urls)


def _shared_out(requests: Sequence[Prepared], urls: Sequence[str]) -> list[Prepared]:
    """Each client's requests to one process, as many clients for each."""
    return [replace(request, url=f"{urls[number % len(urls)]}{PATH}") for number, request in enumerate(requests)]


Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]


def _newest(connection: psycopg.Connection[Any], table: str, count: int) -> Rows:
    """The newest rows that intake wrote, as the driver wants them back; an outbox numbers its rows by itself."""
    order = "id" if table == "outbox" else "received_at"
    query = sql.SQL("SELECT * FROM {} ORDER BY {} DESC LIMIT {}")
    cursor = connection.execute(query.format(sql.Identifier(table), sql.Identifier(order), count))
    names = [column.name for column in cursor.description or ()]
    kept = [place for place, name in enumerate(names) if (table, name) != ("outbox", "id")]
    rows = [[_adapted(row[place]) for place in kept] for row in cursor]
    return [names[place] for place in kept], rows


def _adapted(value: Any) -> Any:
    return psycopg.types.json.Jsonb(value) if isinstance(value, dict) else value


def _bare(connection: psycopg.Connection[Any], rows: dict[str, Rows], size: int) -> float:
    """The same rows written into twins of the tables by the driver alone, `size` events a commit: events per second."""
    statements = {}
    for table, (names, _) in rows.items():
        twin = sql.Identifier(f"bare_{table}")
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(twin))
        like = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING STORAGE)")
        connection.execute(like.format(twin, sql.Identifier(table)))
        connection.execute(sql.SQL("ALTER TABLE {} SET (toast_tuple_target = 8160)").format(twin))
        places = sql.SQL(", ").join(sql.Placeholder() * len(names))
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        statements[table] = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(twin, columns, places)
    connection.commit()
    start, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < BARE_SECONDS:
        with connection.cursor() as cursor:
            for table, (names, kept) in rows.items():
                cursor.executemany(
                    statements[table], [_renamed(names, row, done + n) for n, row in enumerate(kept[:size])]
                )
        connection.commit()
        done += size
    return done / spent


def _renamed(names: Sequence[str], row: Sequence[Any], number: int) -> Sequence[Any]:
    """The row under another id, since ids are unique."""
    return [f"{number:036d}" if name == "id" else value for name, value in zip(names, row, strict=True)]
