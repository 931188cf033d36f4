"""How long a quarter takes from counts to a verdict, and how fast publications are read."""

import http.client
import sys
import time
from collections.abc import Iterable, Mapping
from itertools import product
from urllib.parse import urlsplit

import psycopg

import schemas
from bench.report import Figure, middle, percentile
from bench.world import World
from services.common.clock import SystemClock
from services.common.settings import Settings
from services.reporting.domain import NEVER
from tests.support.cohorts import Cohort
from tests.support.counted import pseudonym

QUARTER = "2026-Q1"
PEOPLE = Cohort(16, 400)
READS = 1000
PAGES = [
    *("/reporting/en/", "/reporting/fr/", "/reporting/en/method", "/reporting/fr/archive"),
    *(f"/reporting/en/r/{QUARTER}{about}" for about in ("", "/R1", "/ontario", "/F2", "/need", "/quality")),
    *(f"/reporting/v1/publications/{QUARTER}/tables/need.{kind}" for kind in ("json", "csv", "xlsx", "en.pdf")),
    *("/reporting/v1/publications", f"/reporting/v1/publications/{QUARTER}/certificate.json", "/reporting/v1/capacity"),
]
# The smallest answer: it measures the round trip alone.
NOTHING = "/reporting/health/live"
# Programmes for each need in each region, so that the overview is as long as it can get.
PROGRAMS = 6
HOURS = {"in_time": 24, "late": 2160, "not_started": NEVER}
REASONS = {"not_declined": "", "another_reason": "no_capacity"}
ROW = ", ".join(["%s"] * 11)
_REGIONS = [code.code for code in schemas.codes("regions")]


def publishing(world: World) -> list[Figure]:
    """Build and audit the full quarterly plan of a made-up cohort, then publish it."""
    with connect(world.hub.settings) as connection:
        connection.execute("TRUNCATE journal, contribution, cell")
        connection.cursor().executemany(f"INSERT INTO journal VALUES ({ROW}) ON CONFLICT DO NOTHING", _threads())  # noqa: S608
    world.hub.command("publication", "rebuild")
    seconds = []
    for step in (("build", QUARTER), ("audit", "--draft")):
        say(f"publication {step[0]} of {QUARTER}, {PEOPLE.size} people")
        start = time.perf_counter()
        world.hub.command("publication", *step)
        seconds.append(time.perf_counter() - start)
    for role, name in (("survivor_council", "Sample Aspen"), ("publisher", "Sample Birch")):
        world.hub.command("publication", "approve", "--role", role, "--name", name)
    world.hub.command("publication", "publish")
    together = sum(seconds)
    return [Figure("a quarter built and audited", together, "s", "its audit alone", seconds[1], ceiling=60.0)]


def reading_pages(world: World, folded: int) -> list[Figure]:
    """Read every kind of page and file that funders open, over HTTP, in turns, beside so many folded events."""
    target = urlsplit(world.hub.origins.url("/reporting"))
    reader = http.client.HTTPConnection(str(target.hostname), target.port)
    with connect(world.hub.settings) as database:
        _declare(database)
        say(f"reading {len(PAGES)} kinds of pages, {READS:,} times each")
        first = {page: _read(reader, page) for page in PAGES}
        taken: dict[str, list[float]] = {page: [] for page in (*PAGES, NOTHING)}
        for turn in range(READS):
            # Capacity changes all the time, several times for each refresh.
            changed = f"program-{7 * turn % 2000}"
            database.execute("UPDATE capacity SET available = (available + 1) %% 20 WHERE program = %s", [changed])
            database.commit()
            for page, each in taken.items():
                each.append(_read(reader, page))
    reader.close()
    nothing = percentile(taken.pop(NOTHING), 0.99)
    slowest = {page: percentile(each, 0.99) for page, each in taken.items()}
    worst, name = max(slowest, key=slowest.__getitem__), f"page read over HTTP, {folded:,} events folded"
    say(f"the slowest was {worst}: p50 {middle(taken[worst]):.2f} ms, p99 {slowest[worst]:.2f} ms")
    return [
        Figure(f"{name}, p99, worst page", slowest[worst], "ms", "p99 of no page at all", nothing, ceiling=5.0),
        Figure(f"{name}, p99, median page", middle(list(slowest.values())), "ms", "its p50", _p50(taken), ceiling=5.0),
        Figure("the same, read for the first time, worst page", max(first.values()), "ms", "its p99", slowest[worst]),
    ]


def say(what: str) -> None:
    """Print the current step to the standard error stream."""
    print(f"  {what} ...", file=sys.stderr, flush=True)


def _read(reader: http.client.HTTPConnection, page: str) -> float:
    """Return the milliseconds until the whole of a page is there."""
    start = time.perf_counter()
    reader.request("GET", page)
    answer = reader.getresponse()
    answer.read()
    taken = (time.perf_counter() - start) * 1000
    if answer.status != 200:
        raise AssertionError(f"{page}: {answer.status}")
    return taken


def _p50(taken: Mapping[str, list[float]]) -> float:
    return middle([middle(each) for each in taken.values()])


def _declare(database: psycopg.Connection[tuple[object, ...]]) -> None:
    """Declare capacity of eighty agencies: something of every need in every region."""
    needs = [code.code for code in schemas.codes("needs")]
    rows = [
        (f"agency-{number % 80}", f"program-{number}", need, region, "bed", 20, number % 20, SystemClock().now())
        for number, (_, need, region) in enumerate(product(range(PROGRAMS), needs, _REGIONS))
    ]
    database.cursor().executemany(f"INSERT INTO capacity VALUES ({', '.join(['%s'] * 8)})", rows)  # noqa: S608 - marks only
    database.execute("INSERT INTO agency SELECT DISTINCT agency, 'Sample', 'housing', 'active', 1 FROM capacity")
    database.commit()


def connect(settings: Settings) -> psycopg.Connection[tuple[object, ...]]:
    """Connect to the reporting database, by the driver alone."""
    return psycopg.connect(settings.database("reporting").replace("+psycopg", ""))


def _threads() -> Iterable[tuple[object, ...]]:
    """Return rows of the journal that hold each person's requests and their results."""
    need = {str(code.extra["x-family"]): code.code for code in schemas.codes("needs")}
    for asked in PEOPLE.asked(QUARTER):
        answer, agencies = asked.answer, sorted(asked.agencies)
        codes = (pseudonym(asked.person), QUARTER, need[asked.family], answer["region"], answer["stage"])
        reason = REASONS.get(answer["decline"], answer["decline"])
        yield *codes, agencies[0], agencies[-1], reason, HOURS[answer["result"]], 24, 1
