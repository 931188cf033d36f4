"""Publications of a made-up cohort, for pages to read, and all of reporting's public pages over them.

They are protected by primary suppression alone, which is quick: pages show a publication's content and know nothing of
the reasons. The publication workflow has tests of its own.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from itertools import product
from math import prod
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.engine import Engine

import schemas
from examples.cohort_plan import CITIES
from services.auditor.audit import Verdict
from services.common.database.engine import Database
from services.common.database.migrations import upgrade
from services.common.http.server import BackgroundServer, listen, origin
from services.common.settings import Settings
from services.reporting import main
from services.reporting.publication import files, insider_knowledge
from services.reporting.publication.drafts import Draft, begin
from services.reporting.publication.true_counts import Count, TrueTable
from services.reporting.store import publications as store
from tests.support.cohorts import FAMILIES, RESULTS, STAGES
from tests.support.publishing import SECRET

PERIODS = ("2026-Q1", "2026-Q2", "2026", "2027-Q1")
FIRST_DAY = datetime(2026, 9, 15, 12, tzinfo=UTC)
Leaf = tuple[tuple[str, str], ...]
VERDICT = Verdict((), 120, 48, 9, ("HiGHS", "SoPlex"), (), ())
APPROVALS = [
    {"role": "publisher", "name": "Sample Birch", "at": "2026-09-14T12:00:00+00:00"},
    {"role": "survivor_council", "name": "Sample Aspen", "at": "2026-09-14T13:00:00+00:00"},
]


@cache
def drafts(size: int = 6000) -> tuple[Draft, ...]:
    """Return drafts, period by period, with the cells that primary suppression hides."""
    return tuple(draft_of(number, period, size) for number, period in enumerate(PERIODS, start=1))


def draft_of(number: int, period: str, size: int = 6000) -> Draft:
    """Return one of them."""
    kind = "quarter" if "-Q" in period else "year"
    leaves = _leaves(size * (2 if kind == "year" else 1) + 300 * number)
    held = {
        table["id"]: TrueTable(table["id"], period, _cells(table["cells"], leaves))
        for table in schemas.plan(1)["tables"]
        if kind in table["periods"] and "switch" not in table
    }
    return begin((period, number, period), (1, 1), list(held.values()), SECRET)


def more_hidden(draft: Draft, more: int) -> Draft:
    """Return drafts with other true numbers wherever they are hidden and stay hidden."""
    shown = draft.shown().tables

    def other(table: str, key: tuple[str, ...], count: Count) -> Count:
        return count if shown[table][key] is not None else replace(count, persons=count.persons + more, agencies=1)

    tables = {
        name: {key: other(name, key, count) for key, count in cells.items()} for name, cells in draft.tables.items()
    }
    return replace(draft, tables=tables)


def _leaves(size: int) -> dict[Leaf, int]:
    """Return how many people there are of each kind, by weights of each code; fewer in small cities, none in some."""
    families = {**dict.fromkeys(schemas.code_set("families"), 2), **FAMILIES}
    lists = {"family": families, "region": {**CITIES, "other": 2}, "stage": STAGES, "result": RESULTS}
    whole = prod(sum(weights.values()) for weights in lists.values())
    return {
        tuple(zip(lists, codes, strict=True)): int(
            size
            * prod(weights[code] for weights, code in zip(lists.values(), codes, strict=True))
            / whole
            * _luck(codes)
        )
        for codes in product(*lists.values())
    }


def _luck(codes: tuple[str, ...]) -> float:
    """Return a weight: some needs are met better than others, and so are some places."""
    family, region, _, result = codes
    luck = (sum(map(ord, family + region)) % 7) / 6
    return 0.4 + 1.2 * (luck if result == "in_time" else 1 - luck)


def _cells(lists: Mapping[str, Sequence[str]], leaves: Mapping[Leaf, int]) -> dict[tuple[str, ...], Count]:
    dimensions = schemas.plan(1)["dimensions"]
    people: Counter[tuple[str, ...]] = Counter()
    for leaf, number in leaves.items():
        known = dict(leaf)
        above = [_above(dimensions[name]["within"], known[name]) if name in known else lists[name] for name in lists]
        for key in product(*above):
            people[key] += number
    return {
        # Kinds that are not split by need come in parts, each half as large as the one before.
        key: _count(people[key] // (2 if set(lists) <= set(dict(next(iter(leaves)))) else 2 ** (1 + place)), key)
        for place, key in enumerate(product(*lists.values()))
    }


def _above(within: Mapping[str, str | None], code: str | None) -> Iterator[str]:
    while code is not None:
        yield code
        code = within[code]


def _count(persons: int, key: tuple[str, ...]) -> Count:
    named = int.from_bytes(sha256(repr((persons, key)).encode()).digest()[:8], "big")
    return Count(persons, 4 if persons else 0, persons // 2, named, {"somewhere": persons - persons // 2})


def revised(draft: Draft, number: int) -> Draft:
    """Return a draft of the period of a published one, in its place."""
    return replace(draft, id=f"{draft.period}-r1", number=number, revises=draft.period)


def keep(database: Database, draft: Draft) -> None:
    """Keep one as a draft."""
    made = files.tables(draft.shown())
    head = files.head(draft.shown(), made)
    row = {
        **{name: head[name] for name in ("id", "number", "period")},
        "state": "audited",
        "head": head,
        "bundle": files.digest(head, made),
        "truth": insider_knowledge.truth(draft),
        "built_at": FIRST_DAY,
    }
    with database.transaction() as connection:
        store.keep_draft(connection, row, made)


def shelve(database: Database, published: Sequence[Draft]) -> None:
    """Freeze them, as the workflow does after audit and approval."""
    for draft in published:
        keep(database, draft)
        at = FIRST_DAY + timedelta(days=90 * draft.number)
        made = files.tables(draft.shown())
        told = {"audit": VERDICT.as_json(), "approvals": APPROVALS, "published_at": at.isoformat()}
        sealed = files.certificate(files.head(draft.shown(), made), made, **told)
        with database.transaction() as connection:
            store.freeze(connection, draft.id, sealed, at)


@dataclass(frozen=True, slots=True)
class Front:
    """Reporting's public pages, and the database behind them."""

    app: FastAPI
    database: Database
    url: str
    folder: Path


@contextmanager
def front(database_url: str, folder: Path, published: Sequence[Draft] = ()) -> Iterator[Front]:
    """Return the public pages over these publications, on an empty database."""
    service = main.build(Settings(data=folder, database_url=database_url))
    upgrade(main.NAME, service.database)
    shelve(service.database, published)
    assert isinstance(service.app, FastAPI)
    yield Front(service.app, service.database, database_url, folder)
    service.close()


@contextmanager
def asked_of_databases() -> Iterator[list[str]]:
    """Record every statement that reaches a database meanwhile, from any thread, except those with which SQLite begins."""
    found: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN")):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    yield found
    event.remove(Engine, "before_cursor_execute", hear)


@contextmanager
def serve_pages(face: Front) -> Iterator[str]:
    """Serve the public pages on a socket of this machine; yield their origin."""
    listener = listen(0)
    server = BackgroundServer(face.app, listener)
    server.start()
    yield origin(listener)
    server.stop()
