"""How long a quarter takes from counts to a verdict, and how fast what is published is read."""

import http.client
import sys
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import psycopg

import schemas
from bench.report import Figure, middle, percentile
from bench.world import World
from services.reporting.counting import NEVER
from tests.support.cohorts import Cohort
from tests.support.counted import pseudonym

QUARTER = "2026-Q1"
PEOPLE = Cohort(16, 400)
READS = 1000
TABLE = f"/reporting/v1/publications/{QUARTER}/tables/need.json"
HOURS = {"in_time": 24, "late": 2160, "not_started": NEVER}
REASONS = {"not_declined": "", "another_reason": "no_capacity"}
ROW = ", ".join(["%s"] * 11)


def publishing(world: World) -> list[Figure]:
    """Build and audit the full quarterly plan of a made-up cohort, then let it out."""
    with psycopg.connect(world.hub.settings.database("reporting").replace("+psycopg", "")) as connection:
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


def published(world: World, folded: int) -> list[Figure]:
    """A published table over HTTP, beside so many folded events."""
    target = urlsplit(world.hub.origins.url(TABLE))
    connection = http.client.HTTPConnection(str(target.hostname), target.port)
    taken = []
    for _ in range(READS):
        start = time.perf_counter()
        connection.request("GET", target.path)
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter() - start) * 1000)
        if answer.status != 200:
            raise AssertionError(f"{TABLE}: {answer.status}")
    connection.close()
    name = f"a published table read over HTTP, {folded:,} events folded, p99"
    return [Figure(name, percentile(taken, 0.99), "ms", "its p50", middle(taken), ceiling=5.0)]


def say(what: str) -> None:
    """Tell whoever waits what is being done."""
    print(f"  {what} ...", file=sys.stderr, flush=True)


def _threads() -> Iterable[tuple[object, ...]]:
    """Rows of the journal that say what each of them asked for and what came of it."""
    need = {str(code.extra["x-family"]): code.code for code in schemas.codes("needs")}
    for asked in PEOPLE.asked(QUARTER):
        answer, agencies = asked.answer, sorted(asked.agencies)
        codes = (pseudonym(asked.person), QUARTER, need[asked.family], answer["region"], answer["stage"])
        reason = REASONS.get(answer["decline"], answer["decline"])
        yield *codes, agencies[0], agencies[-1], reason, HOURS[answer["result"]], 24, 1
