"""One caller who asks for everything, pool by pool: what is left for the other agencies and for her, and what memory grows.

A flood comes from addresses of its own and shares the machine's cores with the hub, which a real one would not. Each other
caller opens a connection for each request, from an address of its own, so that a full pool of connections shows.
"""

import http.client
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from resource import getpagesize
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from bench.consent import allowed, context, envelope_of
from bench.flooding import FLOODS, Target, flooding
from bench.load import Prepared, prepare
from bench.report import columns, percentile
from bench.world import World, world
from services.client import Partner
from services.consent.context import Context
from services.consent.handlers.accounts import sessions
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from services.consent.store import subjects
from tests.support.consent import PIN, open_session, pin_hash, register
from tests.support.people import PARTS

OTHERS_PER_FLOOD = 20
LEAST_PAUSE, MOST_PAUSE = 0.02, 1.0
HER_PAUSE, HER_PIN_EVERY = 0.2, 10
OTHERS_SHARE, HER_SHARE, REVOKE_MS, GROWTH_MB = 0.95, 1.0, 1000.0, 16.0
"""The promise: her revocation within a second at the 99th percentile, and no more memory in the second half."""
OTHER_ADDRESS, HER_ADDRESS = "127.0.0.3", "127.0.0.4"
TIMEOUT = 20.0
REST = 5.0
# Names that do not resemble each other, which the hub would refuse.
NAMES = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo")


@dataclass(slots=True)
class Tally:
    """What one caller was answered: how often at all, how often well, and the statuses of the rest (0 for none)."""

    asked: int = 0
    good: int = 0
    bad: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, status: int, good: Sequence[int]) -> None:
        """Count an answer."""
        self.asked += 1
        if status in good:
            self.good += 1
        else:
            told = f"{name} {status}"
            self.bad[told] = self.bad.get(told, 0) + 1

    @property
    def share(self) -> float:
        """Return the share of good answers; zero if nothing was asked."""
        return self.good / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One flood: its tries a second, the success of others and of her, her revocations in ms, the memory in MB."""

    kind: str
    seconds: float
    flood: float
    refused: Mapping[str, int]
    others: Tally
    hers: Tally
    revoke_idle: float
    revoke: float
    memory: Sequence[float]
    ended: bool

    @property
    def growth(self) -> float:
        """Return by how many MB the process grew in the second half."""
        return self.memory[-1] - self.memory[len(self.memory) // 2]

    @property
    def kept(self) -> bool:
        """Whether others, she and the memory came through."""
        others, hers = self.others.share >= OTHERS_SHARE, self.hers.share >= HER_SHARE
        return others and hers and self.revoke <= REVOKE_MS and self.growth <= GROWTH_MB and self.ended

    def as_json(self) -> dict[str, object]:
        """Return the row for machines."""
        return {**asdict(self), "growth": self.growth, "kept": self.kept}


def run(seconds: float) -> list[Row]:
    """Measure every kind of flood on one hub, each for that many seconds, and print the rows."""
    rows = []
    with world() as made, context(made) as inside:
        scene = _Scene(made, inside)
        for kind in FLOODS:
            print(f"flooding: {kind} ...", file=sys.stderr)
            rows.append(scene.measure(kind, seconds))
            print(table(rows[-1:]), file=sys.stderr)
            time.sleep(REST)
    print(table(rows))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return all rows as a table for people, with what was refused below it."""
    head = (
        "flood of",
        "tries/s",
        "others/s",
        "others",
        "hers",
        "revoke p99",
        "(idle)",
        "MB before, half, end",
        "promise",
    )
    cells: list[Sequence[str]] = [head]
    for row in rows:
        at = (row.memory[0], row.memory[len(row.memory) // 2], row.memory[-1])
        times = (f"{row.revoke:.0f} ms", f"{row.revoke_idle:.0f} ms")
        shares = (f"{row.others.share:.1%}", f"{row.hers.share:.1%}")
        rates = (f"{row.flood:.0f}", f"{row.others.asked / row.seconds:.1f}")
        memory = ", ".join(f"{one:.0f}" for one in at)
        cells.append((row.kind, *rates, *shares, *times, memory, "kept" if row.kept else "BROKEN"))
    notes = [
        f"{row.kind}: flood {dict(row.refused)}; others not served {row.others.bad}; she {row.hers.bad}" for row in rows
    ]
    return "\n".join([columns(cells), *notes])


class _Scene:
    """Who is on the hub: other agencies' openings, one survivor, and for each flood an agency of its own."""

    def __init__(self, made: World, inside: Context) -> None:
        self._world, self._inside = made, inside
        process = made.hub.processes["consent-api"].popen
        assert process is not None
        self._pid = process.pid
        self._others = [envelope for _, envelope in allowed(inside, made, 8)]
        self._her = register(inside, made.sender.client_id)
        self._words = sessions.claim(inside, self._her.claim_code, PIN).passphrase
        self._session = open_session(inside, self._her.subject)
        self._phrases = [inside.secrets.new_passphrase("en") for _ in range(100)]
        self._idle = percentile(self._alone(), 0.99)

    def measure(self, kind: str, seconds: float) -> Row:
        """Flood one pool, while the others and she go on."""
        rogue = self._world.hub.join(f"Sample {NAMES[list(FLOODS).index(kind)]}", "ngo")
        over, others, hers, revoked = Event(), Tally(), Tally(), list[float]()
        memory = [_memory(self._pid)]
        with ThreadPoolExecutor(2) as pool, flooding(kind, self._target(rogue)) as flood:
            start = time.perf_counter()
            running = [
                pool.submit(self._open_others, flood.tries, others, over),
                pool.submit(self._go_on, kind, hers, revoked, over),
            ]
            while time.perf_counter() - start < seconds and not any(one.done() for one in running):
                time.sleep(min(1.0, seconds / 10))
                memory.append(_memory(self._pid))
            over.set()
            spent, tries = time.perf_counter() - start, flood.tries()
            for one in running:
                one.result()
        times = (self._idle, percentile(revoked, 0.99))
        return Row(kind, spent, tries / spent, flood.statuses(), others, hers, *times, memory, flood.ended)

    def _target(self, rogue: Partner) -> Target:
        """Return what an agency can have that means harm: survivors whom it made up, and a grant of hers."""
        made, agency = self._inside, rogue.client_id
        people = [register(made, agency) for _ in range(6)]
        with made.database.transaction() as connection:
            for person in people[:3]:
                subjects.change_subject(connection, person.subject, pin_hash=pin_hash(made.secrets))
        envelopes = [envelope_of(made, person, agency) for person in (*people, self._her)]
        grants.revoke_all(made, people[0].subject)
        return Target(
            origin=self._world.hub.origins.own["/consent"],
            rogue=rogue,
            passphrases=self._phrases,
            sessions=[open_session(made, person.subject) for person in people[:3]],
            claims=[person.claim_code for person in people[3:]],
            envelopes=envelopes[1:],
            ended=envelopes[0],
        )

    def _alone(self) -> list[float]:
        """Return the times of her revocations without a flood."""
        tally, taken = Tally(), list[float]()
        for number in range(100):
            self._revoke(number, tally, taken)
        if tally.share < 1.0:
            raise AssertionError(f"not even without a flood: {tally.bad}")
        return taken

    def _open_others(self, tries: Callable[[], int], tally: Tally, over: Event) -> None:
        """Open another agency's envelopes at a twentieth of the flood's rate, within what one caller can."""
        while not over.is_set():
            began = time.perf_counter()
            while tries() < OTHERS_PER_FLOOD * (tally.asked + 1) and time.perf_counter() - began < MOST_PAUSE:
                time.sleep(LEAST_PAUSE)
            body = {"envelope": self._others[tally.asked % len(self._others)]}
            ready = prepare(self._world.recipient, "POST", "/consent/v1/openings", body)
            tally.add("opening", _ask(ready, OTHER_ADDRESS), [200])

    def _go_on(self, kind: str, tally: Tally, revoked: list[float], over: Event) -> None:
        """Revoke and read, and now and then have a secret checked and pause."""
        number = 0
        while not over.is_set():
            self._revoke(number, tally, revoked)
            tally.add("read", self._hers("GET", "/grants"), [200])
            if number % HER_PIN_EVERY == 0:
                self._check(kind, tally)
            number += 1
            time.sleep(HER_PAUSE)

    def _check(self, kind: str, tally: Tally) -> None:
        """Have one of her secrets checked: the one that the flood is about, and then her PIN."""
        if kind == "passphrases":
            tally.add("passphrase", self._hers("POST", "/session", {"passphrase": self._words}), [201])
        if kind == "claims":
            person = register(self._inside, self._world.sender.client_id)
            tally.add("claim", self._hers("POST", "/session", {"claim_code": person.claim_code}), [201])
        status = self._hers("POST", "/session/step-up", {"pin": PIN})
        tally.add("PIN", status, [204])
        if status == 204:
            tally.add("pause", self._hers("POST", "/pause"), [204])
            tally.add("resume", self._hers("POST", "/resume"), [204])

    def _revoke(self, number: int, tally: Tally, taken: list[float]) -> None:
        wish = Wish(self._world.recipient.client_id, "referral", sorted(PARTS), number % 80 + 2)
        name = grants.give_grant(self._inside, self._her.subject, wish)
        start = time.perf_counter()
        status = self._hers("DELETE", f"/grants/{name}")
        taken.append((time.perf_counter() - start) * 1000)
        tally.add("revoke", status, [204])

    def _hers(self, method: str, path: str, body: Any = None) -> int:
        url = self._world.hub.origins.url(f"/my/v1{path}")
        content = json.dumps(body).encode() if body is not None else None
        headers = {"cookie": f"s={self._session}", "content-type": "application/json"}
        return _ask(Prepared(url, method, headers, content), HER_ADDRESS)


def _ask(ready: Prepared, address: str) -> int:
    """Send one request on a connection of its own; return the status, 0 if there is no answer."""
    target = urlsplit(ready.url)
    connection = http.client.HTTPConnection(
        str(target.hostname), target.port, timeout=TIMEOUT, source_address=(address, 0)
    )
    try:
        connection.request(ready.method, target.path, ready.body, ready.headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * getpagesize() / 1e6
