"""Events accepted per second, one by one and a hundred at once, beside bare inserts of rows like those that they make.

Batches of referrals are promised beside bare seals and inserts, with one process for each core on either side.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import sql

from bench.load import Prepared, prepare, rate, send
from bench.report import Figure, middle
from bench.world import World
from services.common.envelope import CONTENT_KEY_BYTES, NONCE, SUITE, pad
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE
from tests.support.people import PARTS, referral

SINGLES, BATCHES, BATCH = 1000, 120, 100
SINGLE_CLIENTS, BATCH_CLIENTS = 4, 4
# One process keeps one core busy. A hub that wants more of them than this sends, has enough.
PROCESSES = min(os.cpu_count() or 1, BATCH_CLIENTS)
# In turn, and the median of each: what else the machine does in a second must not fall on one of them alone.
ROUNDS = 5
BARE_SECONDS = 2.0
PATH = "/intake/v1/events"
TABLES = ("posted_event", "outbox")
# Each process gives its rows numbers from here on, so that ids stay unique.
FAR = 10**9
GRANT_KEY = X25519PrivateKey.generate().public_key()
# What the envelope of a referral is bound to, and what it holds: as long as the real ones.
CONTEXT = bytes(220)
CONTENTS = [pad(json.dumps(part).encode()) for part in PARTS.values()]
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
    single, batch, bare, sealing = [], [], [], []
    url = world.hub.settings.database("intake").replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        for _round in range(ROUNDS):
            single.append(rate(send(_singles(world, urls, make), SINGLE_CLIENTS)))
            batch.append(rate(send(_batches(world, urls, make), BATCH_CLIENTS), BATCH))
            rows = {table: _newest(connection, table, BATCH) for table in TABLES}
            statements = _make_twins(connection, rows)
            bare.append(_insert(url, statements, rows, BATCH))
            sealing += [_side_by_side(len(urls), url, statements, rows)] if sealed else []
        one = _insert(url, statements, rows, 1)
    together = f"{name}, 100 a request"
    made = [
        Figure(f"{name}, one a request", middle(single), "events/s", "bare inserts, one a commit", one),
        Figure(
            together, middle(batch), "events/s", "bare inserts, 100 a commit", middle(bare), None if sealed else 0.30
        ),
    ]
    if sealed:
        floor = 0.5 if len(urls) == PROCESSES else None
        against = f"bare seals and inserts, 100 a commit, {len(urls)} process{'es' if len(urls) > 1 else ''}"
        made.append(Figure(together, middle(batch), "events/s", against, middle(sealing), floor))
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


def _make_twins(connection: psycopg.Connection[Any], rows: dict[str, Rows]) -> dict[str, str]:
    """Create an empty twin of each table; return the statements that insert into them."""
    statements = {}
    for table, (names, _) in rows.items():
        twin = sql.Identifier(f"bare_{table}")
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(twin))
        like = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING STORAGE)")
        connection.execute(like.format(twin, sql.Identifier(table)))
        connection.execute(sql.SQL("ALTER TABLE {} SET (toast_tuple_target = 8160)").format(twin))
        places = sql.SQL(", ").join(sql.Placeholder() * len(names))
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(twin, columns, places)
        statements[table] = insert.as_string(connection)
    connection.commit()
    return statements


def _side_by_side(processes: int, url: str, statements: dict[str, str], rows: dict[str, Rows]) -> float:
    """Return the events per second that several processes seal and insert together, 100 a commit."""
    with ProcessPoolExecutor(processes) as pool:
        begun = time.time() + 1.0
        shares = [pool.submit(_insert, url, statements, rows, BATCH, FAR * (n + 1), begun) for n in range(processes)]
        return sum(share.result() for share in shares)


def _insert(
    url: str, statements: dict[str, str], rows: dict[str, Rows], size: int, first: int = 0, begin: float = 0.0
) -> float:
    """Return the events per second that the driver alone writes into the twins, `size` a commit.

    With a time to `begin` at, each event is also sealed anew, by the bare cryptography of an envelope.
    """
    with psycopg.connect(url) as connection:
        time.sleep(max(0.0, begin - time.time()))
        start, done = time.perf_counter(), 0
        while (spent := time.perf_counter() - start) < BARE_SECONDS:
            if begin:
                for _ in range(size):
                    _seal()
            with connection.cursor() as cursor:
                for table, (names, kept) in rows.items():
                    renamed = [_renamed(names, row, first + done + n) for n, row in enumerate(kept[:size])]
                    cursor.executemany(statements[table].encode(), renamed)
            connection.commit()
            done += size
    return done / spent


def _seal() -> None:
    """Seal the parts of one referral: one HPKE exchange with the grant's key, then AES-GCM for each part."""
    key = os.urandom(CONTENT_KEY_BYTES)
    SUITE.encrypt(key, GRANT_KEY, info=CONTEXT)
    for part in CONTENTS:
        AESGCM(key).encrypt(NONCE, part, CONTEXT)


def _renamed(names: Sequence[str], row: Sequence[Any], number: int) -> Sequence[Any]:
    """The row under another id, since ids are unique."""
    return [f"{number:036d}" if name == "id" else value for name, value in zip(names, row, strict=True)]
