"""The cache behind the pages: it shows nothing that was withdrawn, hides nothing that is new, and is bounded."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from services.common.settings import Settings
from services.reporting import main
from services.reporting.models import publication, roster
from services.reporting.page_data import DatabaseSource
from services.reporting.pages.catalogue import KEPT, KEPT_LIVE, RECENT_SECONDS, Holdings
from services.reporting.pages.data_source import Live
from services.reporting.pages.render import prefetch
from services.reporting.store.capacity import keep_capacity
from tests.support.clocks import NOON
from tests.support.report_pages import HOME, read_page
from tests.support.shelves import Front, asked_of_databases, drafts, front, shelve

PATHS = ("/en/", "/fr/archive", "/en/method", "/en/r/2026-Q1", "/en/r/2026-Q1/R1", "/en/r/2026-Q1/quality")
FILES = ("tables/need.json", "tables/need.csv", "tables/need.xlsx", "tables/need.en.pdf", "certificate.json")
FIRST = "/v1/publications/2026-Q1"
OVERVIEW, CAPACITY = f"{HOME}/en/", f"{HOME}/v1/capacity"


@dataclass
class Hand:
    """A clock that moves only when a test moves it."""

    at: float = 100.0

    def __call__(self) -> float:
        return self.at


class Once(threading.Event):
    """Ends a loop at its first pause, and records how long the pause would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        self.set()
        return True


@dataclass(frozen=True)
class Kept:
    """The public pages over two publications, with a cache whose clock a test moves."""

    face: Front
    holdings: Holdings
    clock: Hand
    client: TestClient

    def get(self, path: str) -> str:
        return self.client.get(path).text

    def declare(self, available: int, program: str = "p1", minutes: int = 0) -> None:
        row = {"agency": "agency-a", "program": program, "need": "N02", "region": "toronto", "unit": "bed", "total": 99}
        as_of = NOON + timedelta(minutes=minutes)
        with self.face.database.transaction() as connection:
            keep_capacity(connection, {**row, "available": available, "as_of": as_of})


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with front(f"sqlite:///{tmp_path / 'reporting.sqlite'}", tmp_path, drafts()[:2]) as face:
        with face.database.transaction() as connection:
            agency = {"id": "agency-a", "name": "Sample", "sector": "ngo", "standing": "active", "version": 1}
            connection.execute(roster.table.insert(), agency)
        clock = Hand()
        face.app.state.holdings = holdings = Holdings(DatabaseSource(face.database), clock)
        with TestClient(face.app, follow_redirects=False) as client:
            yield Kept(face, holdings, clock, client)


def free(page: str) -> list[str]:
    """Return the column of the overview with the free capacity."""
    return [row[3] for table in read_page(page).tables if "Free" in table.heads for row in table.rows]


def test_declared_capacity_is_shown_within_a_second(kept: Kept) -> None:
    """The second counts from the last refresh."""
    kept.declare(3)
    assert free(kept.get(OVERVIEW)) == ["3"]
    kept.declare(4, minutes=1)
    kept.clock.at += RECENT_SECONDS * 0.99
    assert free(kept.get(OVERVIEW)) == ["3"]
    kept.clock.at += RECENT_SECONDS * 0.01
    assert free(kept.get(OVERVIEW)) == ["4"]
    assert '"available":4' in kept.get(CAPACITY)
    assert RECENT_SECONDS <= 1


def test_live_facts_are_equal_in_both_languages_and_json(kept: Kept) -> None:
    for number in range(5):
        kept.declare(10 + number, minutes=number)
        kept.clock.at += RECENT_SECONDS
        shown = [
            free(kept.get(OVERVIEW)),
            [str(row["available"]) for row in kept.client.get(CAPACITY).json()["capacity"]],
        ]
        assert shown == [[str(10 + number)]] * 2
        assert f"<td>{10 + number}</td>" in kept.get(f"{HOME}/fr/")


@pytest.mark.parametrize("path", [*PATHS, "/v1/capacity", "/v1/publications", *(f"{FIRST}/{name}" for name in FILES)])
def test_cached_answer_does_not_query_the_database(kept: Kept, path: str) -> None:
    path = f"{HOME}{path}"
    first = kept.get(path)
    with asked_of_databases() as asked:
        assert kept.get(path) == first != ""
    assert asked == []


def test_withdrawn_publication_is_gone_within_a_second(
    kept: Kept,
) -> None:
    """No command withdraws a publication. It is gone from every page and file, however often they were read."""
    gone = [
        *(f"{HOME}{path}" for path in PATHS if "2026-Q1" in path),
        *(f"{HOME}{FIRST}/{name}" for name in FILES),
    ]
    naming = [f"{HOME}/fr/archive", f"{HOME}/v1/publications", OVERVIEW]
    assert [kept.client.get(path).status_code for path in gone] == [200] * len(gone)
    kept.get(f"{HOME}/en/r/2026-Q2/people")
    assert ["2026-Q1" in kept.get(path) for path in naming] == [True] * 3
    with kept.face.database.transaction() as connection:
        connection.execute(delete(publication).where(publication.c.id == "2026-Q1"))
    kept.clock.at += RECENT_SECONDS
    assert [kept.client.get(path).status_code for path in gone] == [404] * len(gone)
    assert ["2026-Q1" in kept.get(path) for path in naming] == [False] * 3
    assert "April to June" not in kept.get(f"{HOME}/en/r/2026-Q2/people")


def test_new_publication_is_on_its_pages_within_a_second(kept: Kept) -> None:
    naming = [f"{HOME}/fr/archive", f"{HOME}/v1/publications", OVERVIEW]
    assert ["/2026" in kept.get(path) or '"2026"' in kept.get(path) for path in naming] == [True, False, True]
    before = [kept.get(path) for path in naming]
    shelve(kept.face.database, drafts()[2:3])
    kept.clock.at += RECENT_SECONDS
    after = [kept.get(path) for path in naming]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert f'{HOME}/en/r/2026"' in after[2]
    assert kept.client.get(f"{HOME}/en/F2").headers["location"] == f"{HOME}/en/r/2026/F2"


def test_republished_name_never_shows_the_old_bytes(kept: Kept) -> None:
    path = f"{HOME}/en/r/2026-Q1/need"
    before = kept.get(path)
    with kept.face.database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM publication WHERE id = '2026-Q1'")
        connection.exec_driver_sql("DELETE FROM frozen_file WHERE publication = '2026-Q1'")
    kept.clock.at += RECENT_SECONDS
    assert kept.client.get(path).status_code == 404
    other = drafts(9000)[0]
    shelve(kept.face.database, [other])
    kept.clock.at += RECENT_SECONDS
    after = kept.get(path)
    assert after != before
    assert after != ""


def test_cache_is_bounded_and_live_facts_evict_no_page(kept: Kept) -> None:
    made: list[int] = []

    def maker(_holdings: Holdings, *about: object) -> bytes:
        made.append(int(str(about[-1])))
        return b"page"

    kept.holdings.make(maker, 0)
    for number in range(1, KEPT + 50):
        kept.holdings.make_live(maker, Live((), number, number), -number)
    assert kept.holdings.make(maker, 0) == b"page"
    assert made.count(0) == 1
    live = Live((), 0, 0)
    for number in range(KEPT_LIVE + 1):
        kept.holdings.make_live(maker, live, number + 10_000)
    for number in range(KEPT + 1):
        kept.holdings.make(maker, number + 20_000)
    kept.holdings.make_live(maker, live, 10_000)
    kept.holdings.make(maker, 20_000)
    assert (made.count(10_000), made.count(20_000)) == (2, 2)


def test_first_reader_after_a_prefetch_waits_for_no_database(kept: Kept) -> None:
    kept.declare(7)
    prefetch(kept.holdings)
    kept.clock.at += RECENT_SECONDS * 0.99
    with asked_of_databases() as asked:
        assert free(kept.get(OVERVIEW)) == ["7"]
        assert "<td>7</td>" in kept.get(f"{HOME}/fr/")
    assert asked == []
    kept.declare(8, minutes=1)
    shelve(kept.face.database, drafts()[2:3])
    prefetch(kept.holdings)
    assert free(kept.get(OVERVIEW)) == ["8"]
    assert f'{HOME}/en/r/2026"' in kept.get(OVERVIEW)


def test_loop_prefetches_twice_per_cache_lifetime(kept: Kept) -> None:
    service = main.build(Settings(data=kept.face.folder, database_url=kept.face.url))
    [loop] = service.api_loops.values()
    once = Once()
    with asked_of_databases() as asked:
        loop(once)
    service.close()
    assert [pause <= RECENT_SECONDS / 2 for pause in once.pauses] == [True]
    assert [any(f"FROM {name}" in statement for statement in asked) for name in ("capacity", "publication")] == [
        True
    ] * 2
