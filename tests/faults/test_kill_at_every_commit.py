"""Each process of a distributed hub is killed at each commit of a journey: no accepted event is lost or doubled."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text

import schemas
from deploy.testing.kafka import KafkaServer
from deploy.testing.postgresql import PostgresServer
from services import composition
from services.client import Partner, Refused
from services.common.database.engine import Database
from tests.support.hubs import TestHub, distributed_hub
from tests.support.people import Person, inbox, meet, referral, state

pytestmark = [pytest.mark.slow, pytest.mark.backend("postgresql", "kafka")]
T = TypeVar("T")
PROCESSES = [f"{name}-{role}" for name in composition.NAMES for role in ("api", "worker")]
# Reporting's API only reads, so it cannot be between two states; it is killed during the journey all the same.
READ_ONLY = "reporting-api"
TIMEOUT = 40.0
MOST_COMMITS = 60
UNPLACED = "SELECT count(*) FROM ledger_entry WHERE tree_leaf IS NOT NULL AND leaf_index IS NULL"
PLACES = "SELECT leaf_index FROM ledger_entry WHERE tree_leaf IS NOT NULL ORDER BY 1"


@dataclass(slots=True)
class World:
    """A running hub that can be made to crash, its people, and the promises given to them so far."""

    hub: TestHub
    orders: Path
    sender: Partner
    recipient: Partner
    person: Person
    threads: list[str] = field(default_factory=list)

    def order(self, process: str, order: str) -> None:
        """Tell a process when to die; an empty order lets it live."""
        (self.orders / process).write_text(order)

    def deaths(self, process: str) -> int:
        """Return how often a process has died by order; it was started again each time."""
        kept = self.orders / f"{process}.deaths"
        return len(kept.read_text().splitlines()) if kept.exists() else 0

    def insist(self, act: Callable[[], T]) -> T:
        """Repeat a request with the same ids until it succeeds."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            try:
                if done := act():
                    return done
            except httpx2.HTTPError:
                pass  # The process has just died, or is not back yet.
            except Refused as refused:
                self._help(refused)
            time.sleep(0.02)
        raise AssertionError(f"it did not come about; {_standing(self)}")

    def _help(self, refused: Refused) -> None:
        if refused.status == 403:
            self.insist(lambda: _done(self.person.page.step_up, self.person.pin))
        elif refused.status == 401:
            credentials = {"passphrase": self.person.passphrase}
            self.insist(lambda: self.person.page.call("POST", "/session", credentials) is not None)
        else:
            assert refused.status >= 500, refused


@pytest.fixture(scope="module")
def world(
    postgres_server: PostgresServer, kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("faults")
    launcher = [sys.executable, "-m", "tests.support.crash_at_commit"]

    def order_of(name: str) -> dict[str, str]:
        return {"CRASH_ORDER": str(folder / name)}

    with distributed_hub(folder, postgres_server, kafka_server, launcher, order_of, kafka_session=2) as hub:
        sender, recipient = hub.join("Sample Outreach", "ngo"), hub.join("Sample Shelter", "housing")
        person = meet(hub, sender)
        person.page.call("PUT", "/statistics", {"on": True})
        yield World(hub, folder, sender, recipient, person)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("process", PROCESSES)
def test_kill_at_each_commit_loses_and_doubles_nothing(world: World, process: str, side: str) -> None:
    first = world.deaths(process)
    for number in range(1, MOST_COMMITS):
        before = world.deaths(process)
        world.order(process, f"{side} {number} {uuid4()}")
        _journey(world)
        _settle(world)
        # An order that still exists was never carried out: the journey has no such commit.
        if world.deaths(process) == before:
            world.order(process, "")
            break
    else:
        pytest.fail("a journey with more commits than expected")
    _check(world)
    killed = world.deaths(process) - first
    print(f"\n{process}: killed {killed} times, {side} each of its commits")
    assert killed or process == READ_ONLY


def _journey(world: World) -> None:
    """Do every step once, over HTTP; a step that fails because a process is down is tried again."""
    shelter, outreach, page = world.recipient, world.sender, world.person.page
    grant = world.insist(lambda: page.allow(shelter.client_id, "referral", ["summary"]))
    event = outreach.event(referral(world.person, shelter, **_asked(len(world.threads))))
    thread = str(world.insist(lambda: outreach.post(event))["thread"])
    world.threads.append(thread)
    envelope = world.insist(lambda: _item(shelter, thread))["envelope"]
    world.insist(lambda: shelter.call("POST", "/consent/v1/openings", {"envelope": envelope}))
    for kind in ("accepted", "started"):
        answer = shelter.event({"type": f"referral.{kind}.v1", "data": {"referral": thread}})
        world.insist(partial(shelter.post, answer))
        world.insist(partial(_is, outreach, thread, kind))
    world.insist(lambda: page.call("DELETE", f"/grants/{grant}") is None)
    world.insist(lambda: _closed(shelter, envelope))
    world.insist(partial(_is, outreach, thread, "withdrawn"))


def _asked(number: int) -> dict[str, str]:
    """Return the routing of a journey, which differs each time, so that each one is counted apart."""
    asked = {}
    for name, codes in (("need", "needs"), ("stage", "stages"), ("region", "regions")):
        number, place = divmod(number, len(schemas.codes(codes)))
        asked[name] = schemas.codes(codes)[place].code
    return asked


def _settle(world: World) -> None:
    """Wait until no event is on its way any more."""

    def quiet() -> bool:
        waiting = sum(_number(world, name, "SELECT count(*) FROM outbox") for name in composition.NAMES)
        counted = _number(world, "reporting", "SELECT count(*) FROM journal WHERE started_within = 24")
        unplaced = _number(world, "consent", UNPLACED)
        return waiting == unplaced == 0 and counted == len(world.threads)

    world.insist(quiet)


def _check(world: World) -> None:
    """Check everything that must hold after any number of kills."""
    assert [name for name in composition.NAMES if _number(world, name, "SELECT count(*) FROM parked")] == []
    steps = _rows(world, "referral", "SELECT referral_id, string_agg(state, ' ' ORDER BY number) FROM step GROUP BY 1")
    assert dict(steps) == dict.fromkeys(world.threads, "requested accepted started withdrawn")
    counted = _rows(world, "reporting", "SELECT need, stage, region, at_work, started_within FROM journal")
    asked = [_asked(number) for number in range(len(world.threads))]
    assert sorted(counted) == sorted((*each.values(), 1, 24) for each in asked)
    assert _number(world, "reporting", "SELECT count(DISTINCT statistics) FROM journal") == 1
    families = _number(world, "reporting", "SELECT count(DISTINCT family) FROM contribution")
    assert _number(world, "reporting", "SELECT sum(persons) FROM cell") == families

    places = [row[0] for row in _rows(world, "consent", PLACES)]
    assert places == list(range(len(places)))
    kinds = dict(_rows(world, "consent", "SELECT kind, count(*) FROM ledger_entry GROUP BY kind"))
    assert kinds["grant.given"] == kinds["grant.ended"] == kinds["key.destroyed"] == len(world.threads)
    assert _number(world, "consent", "SELECT count(*) FROM grant_key WHERE wrapped IS NOT NULL") == 0
    told = _told(world)
    intents = [opening for kind, opening in told if kind == "opening.intended"]
    outcomes = [opening for kind, opening in told if kind in {"opening.delivered", "opening.indeterminate"}]
    assert len(set(outcomes)) == len(outcomes)
    assert set(outcomes) <= set(intents)
    # An opening that was killed between its bytes and its outcome stays an intent without outcome, and is shown to her so.
    assert len(intents) >= len(world.threads)


def _told(world: World) -> list[tuple[str, str]]:
    """Return the entries about openings in her ledger: kinds and names."""
    entries: list[Any] = []
    query: str | None = ""
    while query is not None:
        page: Any = world.insist(partial(world.person.page.call, "GET", f"/ledger{query}"))
        entries += page["entries"]
        query = page["next"] and f"?before={page['next']}"
    return [(entry["kind"], entry["detail"]["opening"]) for entry in entries if entry["kind"].startswith("opening.")]


def _standing(world: World) -> str:
    """Return the state of the hub: rows in each outbox, parked events, and running processes."""
    waiting = {name: _number(world, name, "SELECT count(*) FROM outbox") for name in composition.NAMES}
    parked = {name: _number(world, name, "SELECT count(*) FROM parked") for name in composition.NAMES}
    ended = [name for name, one in world.hub.processes.items() if one.popen is None or one.popen.poll() is not None]
    return f"outboxes {waiting}, parked {parked}, not running {ended}"


def _done(act: Callable[[str], None], given: str) -> bool:
    act(given)
    return True


def _item(agency: Partner, thread: str) -> Any:
    return next((item for item in inbox(agency) if item["referral"] == thread), None)


def _is(agency: Partner, thread: str, wanted: str) -> bool:
    return state(agency, thread) == wanted


def _closed(agency: Partner, envelope: str) -> bool:
    status = agency.request("POST", "/consent/v1/openings", {"envelope": envelope}).status_code
    assert status != 200, "an envelope was opened after its grant was revoked"
    return status == 404


def _number(world: World, service: str, query: str) -> int:
    return int(_rows(world, service, query)[0][0])


def _rows(world: World, service: str, query: str) -> list[Any]:
    database = Database(world.hub.settings.database(service), pool_size=1)
    try:
        with database.reading() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
    finally:
        database.close()
