"""How fast survivors' events are folded, rebuilt and read, beside bare inserts, and beside queries of the raw events.

Rebuilds and reads are of millions of events. Folding them one by one would take too long; so the database itself writes
the journal that they would leave, four events to a thread, and everything else is made from it.
"""

import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import duckdb

import schemas
from bench.load import repeat
from bench.publishing import connect, publishing, reading_pages, say
from bench.report import Figure, middle, percentile
from bench.world import World
from services.common.clock import SystemClock
from services.common.messaging.broker import Received
from services.common.messaging.cloudevents import Event
from services.common.settings import Settings
from services.reporting import main
from services.reporting.domain import NEVER, threads
from services.reporting.models import journal
from tests.support import peak_memory
from tests.support.hubs import environment
from tests.support.plumbing import BatchBus, received

BATCH, BATCHES, PEOPLE, AGENCIES = 1000, 100, 50_000, 80
# The events of one referral are so many referrals apart, as when many are under way.
APART = 2000
LIFE = ("requested", "accepted", "started", "completed")
EVENTS, FEW = 10_000_000, 1_000_000
READS = 2000
QUARTER = "2026-Q1"
CODES = {name: [code.code for code in schemas.codes(name)] for name in ("needs", "regions", "stages", "waits")}


def figures(world: World) -> list[Figure]:
    """Return figures of a publication, the fold, rebuilds of few events and of many, and reads of the results."""
    world.hub.processes["reporting-worker"].stop()
    settings = world.hub.settings
    small = [*publishing(world), *folding(settings)]
    large = rebuilding(settings)
    _settle(world)
    return [*small, *large, *reading_pages(world, EVENTS), *reading(settings)]


def folding(settings: Settings) -> list[Figure]:
    """Fold events through the consumer, a thousand a commit, beside bare inserts of the journal rows that they make."""
    say(f"folding {BATCH * BATCHES:,} events")
    made = [_batch(number) for number in range(BATCHES)]
    rows = [(*thread, *seen) for events, _ in made for thread, seen in threads(events).items()]
    moments: list[float] = []
    bus = BatchBus([batch for _, batch in made], on_poll=lambda: moments.append(time.perf_counter()))
    # As a worker does when it starts. The preparation is not part of the measurement.
    gc.freeze()
    with closing(main.build(settings)) as service:
        service.consumer(bus).run(bus.stopping)
    gc.unfreeze()
    rate, bare = _rate(moments), _rate(_bare(settings, rows))
    ratio = Figure("events folded, 1,000 a commit", rate, "events/s", "bare executemany of its rows", bare)
    return [ratio, Figure("the same, as promised", rate, "events/s", "promised", 25_000, floor=1.0)]


def rebuilding(settings: Settings) -> list[Figure]:
    """Rebuild everything from the journal: how fast, and whether ten times as much takes more memory."""
    few = _rebuild(settings, FEW)
    many = _rebuild(settings, EVENTS)
    name = f"rebuild of {EVENTS:,} events"
    return [
        Figure(name, EVENTS / many[1], "events/s", f"rebuild of {FEW:,}", FEW / few[1]),
        Figure(f"{name}, memory", many[0], "MB", f"rebuild of {FEW:,}", few[0], ceiling=1.2 * few[0]),
    ]


def reading(settings: Settings) -> list[Figure]:
    """Read one quarter's needs from the cells, and from raw events with DuckDB; both must give the same answer."""
    question = "SELECT family, sum(persons) FROM cell WHERE quarter = %s GROUP BY family"
    taken = []
    with connect(settings) as connection:
        for _ in range(READS):
            start = time.perf_counter()
            found = connection.execute(question, [QUARTER]).fetchall()
            taken.append((time.perf_counter() - start) * 1000)
    say(f"asking {EVENTS:,} raw events with DuckDB")
    raw, asked = _raw(settings)
    if {str(family): int(str(persons)) for family, persons in found} != asked:
        raise AssertionError("the cells and the raw events disagree")
    return [
        Figure("a quarter read from the cells, p50", middle(taken), "ms", "DuckDB on raw events", raw),
        Figure("a quarter read from the cells, p99", percentile(taken, 0.99), "ms", "DuckDB", raw, ceiling=5.0),
    ]


def _rate(moments: Sequence[float]) -> float:
    """Return events a second: the median over whole lives of referrals, since the steps of a referral differ in cost."""
    life = APART * len(LIFE) // BATCH
    return BATCH * life / middle([later - sooner for sooner, later in pairwise(moments[::life])])


def _batch(number: int) -> tuple[list[Event], list[Received]]:
    events = [_event(place) for place in range(number * BATCH, (number + 1) * BATCH)]
    return events, received(events, number * BATCH)


def _event(number: int) -> Event:
    group, place = divmod(number, APART * len(LIFE))
    step, referral = divmod(place, APART)
    made = group * APART + referral
    dice = Random(made)  # noqa: S311 - made-up people
    day = date(2026, 4, 1) + timedelta(days=made % 80)
    data = {
        "referral": f"{made:08x}-0000-7000-8000-000000000000",
        "from": _agency(dice),
        "to": _agency(dice),
        "purpose": "referral",
        "need": dice.choice(CODES["needs"]),
        "stage": dice.choice(CODES["stages"]),
        "region": dice.choice(CODES["regions"]),
        "urgency": "72h",
        "state": LIFE[step],
        "requested_on": day.isoformat(),
        "changed_on": day.isoformat(),
        "statistics": f"{dice.randrange(PEOPLE):026b}".translate(str.maketrans("01", "ab")),
        **({"waited": dice.choice(CODES["waits"])} if LIFE[step] == "started" else {}),
    }
    return Event(f"e{number}", "referral", "referral.updated.v1", SystemClock().now(), data, data["referral"])


def _agency(dice: Random) -> str:
    return f"agency-{dice.randrange(AGENCIES):010b}".translate(str.maketrans("01", "ab"))


def _bare(settings: Settings, rows: Sequence[Sequence[object]]) -> list[float]:
    """Insert a thousand rows a commit into a twin of the journal by the driver alone; return when each batch began."""
    insert = f"INSERT INTO bare_journal VALUES ({', '.join(['%s'] * len(journal.columns))}) ON CONFLICT DO NOTHING"  # noqa: S608
    with connect(settings) as connection:
        connection.execute("CREATE TABLE bare_journal (LIKE journal INCLUDING INDEXES)")
        connection.commit()
        moments = []
        for first in range(0, len(rows), BATCH):
            moments.append(time.perf_counter())
            with connection.cursor() as cursor:
                cursor.executemany(insert.encode(), rows[first : first + BATCH])
            connection.commit()
        connection.execute("DROP TABLE bare_journal")
    return moments


def _rebuild(settings: Settings, events: int) -> tuple[float, float]:
    """Fill the journal for so many events, and rebuild in a process of its own; return megabytes and seconds."""
    say(f"filling the journal with what {events:,} events leave")
    _fill(settings, events // len(LIFE))
    say(f"rebuilding {events:,} events")
    names = [f"{name}={value}" for name, value in environment(settings).items() if name.startswith("FIREWEED_")]
    command = ["env", *names, sys.executable, "-m", "services.cli", "publication", "rebuild", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        ran = peak_memory.run(command, Path(folder))
        spent = time.perf_counter() - start
    if ran.status or json.loads(ran.told)["threads"] < events // len(LIFE) * 0.9:
        raise AssertionError(ran.errors or ran.told)
    return ran.megabytes, spent


def _fill(settings: Settings, rows: int) -> None:
    with connect(settings) as connection:
        connection.execute("TRUNCATE journal, contribution, cell")
        statement = """
            INSERT INTO journal
            SELECT translate(substr(md5((h % %(people)s)::text), 1, 26), '0189', 'ghij'),
              (2026 + i * 5 / %(rows)s)::text || '-Q' || (1 + i * 20 / %(rows)s %% 4)::text,
              (%(needs)s::text[])[1 + h / 7 %% 39], (%(regions)s::text[])[1 + h / 311 %% 9],
              (%(stages)s::text[])[1 + h / 3001 %% 5],
              'agency-' || lpad((h / 17 %% %(agencies)s)::text, 10, 'a'),
              'agency-' || lpad((h / 1999 %% %(agencies)s)::text, 10, 'a'), '',
              CASE WHEN h %% 3 = 0 THEN %(never)s ELSE (%(hours)s::int[])[1 + h / 5 %% 4] END, 24, 1
            FROM (SELECT i, abs(hashint8(i)::bigint) AS h FROM generate_series(0, %(rows)s::bigint - 1) AS i) AS made
            ON CONFLICT DO NOTHING"""
        values = {"people": PEOPLE, "rows": rows, "agencies": AGENCIES, "never": NEVER, "hours": [24, 72, 720, 2160]}
        connection.execute(statement.replace("h % %(", "h %% %("), {**values, **CODES})
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE journal")


def _settle(world: World) -> None:
    """Vacuum now what a rebuild leaves, as PostgreSQL would within minutes; otherwise reads would be measured with that."""
    say("tidying up after the rebuild")
    with connect(world.hub.settings) as connection:
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE) journal, contribution, cell")
    world.postgres.execute("CHECKPOINT")


def _raw(settings: Settings) -> tuple[float, dict[str, int]]:
    """Return milliseconds for the same query over every event, and its answer."""
    families = [(code.code, str(code.extra["x-family"])) for code in schemas.codes("needs")]
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(str(Path(folder) / "raw.duckdb")) as raw:
        file = Path(folder) / "journal.csv"
        with file.open("wb") as sheet:
            for block in _copied(settings):
                sheet.write(block)
        raw.execute(
            "CREATE TABLE event AS SELECT statistics, quarter, need, region, stage, unnest(?) AS state"
            " FROM read_csv(?, header = true, all_varchar = true)",
            [list(LIFE), str(file)],
        )
        raw.execute("CREATE TABLE need (need TEXT, family TEXT)")
        raw.executemany("INSERT INTO need VALUES (?, ?)", families)
        question = (
            "SELECT family, count(DISTINCT statistics) FROM event JOIN need USING (need) WHERE quarter = ? GROUP BY 1"
        )
        answer = {str(family): int(persons) for family, persons in raw.execute(question, [QUARTER]).fetchall()}
        return 1000 / repeat(lambda: raw.execute(question, [QUARTER]).fetchall()), answer


def _copied(settings: Settings) -> Iterator[bytes]:
    query = "COPY (SELECT statistics, quarter, need, region, stage FROM journal) TO STDOUT (FORMAT csv, HEADER)"
    with connect(settings) as connection, connection.cursor() as cursor, cursor.copy(query) as copied:
        for block in copied:
            yield bytes(block)
