"""Ledger entries per second, in a signed tree when the time ends, beside bare inserts; and keys wrapped anew per second."""

import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import psycopg

from bench.report import Figure
from bench.world import World
from services.common.clock import SystemClock
from services.common.settings import Settings
from services.consent.context import Context
from services.consent.handlers.ledger.publish import publish
from services.consent.handlers.operations.key_rotation import BATCH, rotate
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.main import build_context
from services.consent.store.keys import make_audit_keys

SECONDS, WRITERS, THREADS = 4.0, 2, 4
TOGETHER = 10
"""How many entries one act makes: to take everything back from five agencies makes ten."""
ASKED = 1500
KEYS = 20_000
BARE = "CREATE TABLE IF NOT EXISTS bare_entry (position bigserial PRIMARY KEY, leaf bytea, sealed bytea)"
DETAIL = {"opening": "o" * 36, "referral": "r" * 36, "grant": "g" * 36, "epoch": 3, "rules": {"summary": "grant"}}


def figures(world: World) -> list[Figure]:
    """Write entries one by one and ten by ten, by several writers at once; then rotate many keys."""
    # The other processes wait, so that the measured code has the processor; the tree is grown here, as a worker does.
    for name in ("consent-worker", "consent-api"):
        world.hub.processes[name].stop()
    settings = world.hub.processes["consent-api"].settings
    context = build_context(settings, SystemClock())
    bare, one = _bare(settings), _entries(settings, context, 1)
    many, keys = _entries(settings, context, TOGETHER), _rotation(context)
    for name in ("consent-worker", "consent-api"):
        world.hub.processes[name].start()
        world.hub.processes[name].wait()
    return [
        Figure("ledger entries in the tree, one a commit", one, "/s", "bare single-row inserts, as many writers", bare),
        Figure("ledger entries in the tree, ten a commit", many, "/s", "asked for", ASKED, floor=1.0),
        Figure("keys wrapped anew and verified", keys, "/s", "bare single-row inserts, as many writers", bare),
    ]


def _entries(settings: Settings, context: Context, together: int) -> float:
    """Return entries a second that are in a signed tree at the end; growing the tree is part of the time."""
    done, growing = threading.Event(), threading.Thread(target=lambda: _grow(context, done))
    before = _size(context)
    with ProcessPoolExecutor(WRITERS) as pool:
        list(pool.map(_warm, range(WRITERS)))
        growing.start()
        begin = time.time() + 2.0
        written = sum(pool.map(_write, *zip(*[(settings, together, begin)] * WRITERS, strict=True)))
    done.set()
    growing.join()
    spent = time.time() - begin
    if _size(context) - before < written:
        raise AssertionError("entries are missing in the tree")
    return written / spent


def _grow(context: Context, done: threading.Event) -> None:
    """Take entries in and sign every second, as the worker does, and once more at the end."""
    while not done.wait(1.0):
        publish(context)
    publish(context)


def _size(context: Context) -> int:
    with context.database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT size FROM ledger_head").scalar_one())


def _write(settings: Settings, together: int, begin: float) -> int:
    """Write until the time is over, several threads at once; return how many entries."""
    context = build_context(settings, SystemClock())
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda _: _write_alone(context, together, begin), range(THREADS)))


def _write_alone(context: Context, together: int, begin: float) -> int:
    subject, written = context.clock.new_id(), 0
    entries = [Entry("opening.intended", subject, "agency-of-the-bench", DETAIL)] * together

    def act() -> None:
        with context.database.transaction() as connection:
            ledger.append(connection, entries, context.clock.now())

    act()
    time.sleep(max(0.0, begin - time.time()))
    while time.time() < begin + SECONDS:
        act()
        written += together
    return written


def _bare(settings: Settings) -> float:
    """Return rows of the same size per second, one a commit, as many connections at once, with the driver alone."""
    url = settings.database("consent").replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BARE)
    with ProcessPoolExecutor(WRITERS) as pool:
        list(pool.map(_warm, range(WRITERS)))
        begin = time.time() + 2.0
        return sum(pool.map(_insert, [url] * WRITERS, [begin] * WRITERS)) / SECONDS


def _insert(url: str, begin: float) -> int:
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda _: _insert_alone(url, begin), range(THREADS)))


def _insert_alone(url: str, begin: float) -> int:
    leaf, sealed, written = os.urandom(230), os.urandom(330), 0
    with psycopg.connect(url, autocommit=True) as connection:
        time.sleep(max(0.0, begin - time.time()))
        while time.time() < begin + SECONDS:
            connection.execute("INSERT INTO bare_entry (leaf, sealed) VALUES (%s, %s)", (leaf, sealed))
            written += 1
    return written


def _rotation(context: Context) -> float:
    """Return keys per second over a whole rotation, from the new key to the end of the old one."""
    for _ in range(KEYS // BATCH):
        with context.database.transaction() as connection:
            make_audit_keys(connection, context.keys, [context.clock.new_id() for _ in range(BATCH)])
    start = time.perf_counter()
    done = rotate(context)
    return done.rewrapped / (time.perf_counter() - start)


def _warm(_number: int) -> None:
    time.sleep(0.1)
