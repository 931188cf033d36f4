"""Floods: each asks one pool of the hub for as much as it can, from several processes with addresses of their own."""

import http.client
import json
import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import Event, Process, Queue, Value
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from bench.load import Prepared, prepare
from services.client import Partner
from services.common.envelope import read, write
from tests.support.raw_http import request

PROCESSES = 3
# A flood comes over the network: it must not have the hub's cores before the hub has them.
NICENESS = 5
OPEN_AT_ONCE, BODIES_AT_ONCE = 700, 40
BODY, HOLD_SECONDS = 4_000_000, 5.0
ADDRESSES = 200
"""Addresses of those who guess: each has a number of guesses at once, and then one a second."""
END_SECONDS = 15.0
OPENINGS = "/consent/v1/openings"


@dataclass(frozen=True, slots=True)
class Target:
    """The flooded service, the agency that floods, and what it has: passphrases, sessions, claim codes and envelopes.

    The last envelope is of the survivor who is measured; `ended` is under a grant that was revoked.
    """

    origin: str
    rogue: Partner
    passphrases: Sequence[str]
    sessions: Sequence[str]
    claims: Sequence[str]
    envelopes: Sequence[str]
    ended: str

    @property
    def place(self) -> tuple[str, int]:
        """Return host and port."""
        target = urlsplit(self.origin)
        return str(target.hostname), int(target.port or 80)


class Flood:
    """The processes of one flood, with what they have tried and how they were answered."""

    def __init__(self, act: "Act", target: Target) -> None:
        self._over, self._tries, self._answered = Event(), Value("q", 0), Queue[dict[str, int]]()
        self._processes = [
            Process(target=_run, args=(act, target, number, self._tries, self._over, self._answered), daemon=True)
            for number in range(PROCESSES)
        ]
        self._statuses = Counter[str]()
        self.ended = False

    def start(self) -> None:
        """Begin; returns after the first try."""
        for process in self._processes:
            process.start()
        deadline = time.monotonic() + END_SECONDS
        while not self.tries() and time.monotonic() < deadline:
            time.sleep(0.05)

    def tries(self) -> int:
        """Return how often something was asked for."""
        return int(self._tries.value)

    def stop(self) -> None:
        """End every process, by force if need be; `ended` tells that each ended by itself and without a failure."""
        self._over.set()
        deadline = time.monotonic() + END_SECONDS
        for _ in self._processes:
            with suppress(Exception):
                self._statuses.update(self._answered.get(timeout=max(0.1, deadline - time.monotonic())))
        for process in self._processes:
            process.join(max(0.1, deadline - time.monotonic()))
        self.ended = all(process.exitcode == 0 for process in self._processes)
        for process in self._processes:
            if process.is_alive():
                process.kill()
                process.join()

    def statuses(self) -> Mapping[str, int]:
        """Return how often each status was answered (`cut` for a connection that ended without one); after `stop`."""
        return dict(self._statuses)


@contextmanager
def flooding(kind: str, target: Target) -> Iterator[Flood]:
    """Flood one pool during the block."""
    flood = Flood(FLOODS[kind], target)
    flood.start()
    try:
        yield flood
    finally:
        flood.stop()


Told = Callable[[object], None]
Act = Callable[[Target, int, Any, Told], None]
"""Floods until it is over; is given the number of its process, and tells each answer."""


def _run(act: Act, target: Target, number: int, tries: Any, over: Any, answered: Any) -> None:
    os.nice(NICENESS)
    statuses = Counter[str]()

    def told(status: object) -> None:
        statuses[str(status)] += 1
        with tries.get_lock():
            tries.value += 1

    try:
        act(replace(target, rogue=_copy(target.rogue)), number, over, told)
    finally:
        answered.put(dict(statuses))


def _copy(partner: Partner) -> Partner:
    """Return a client of its own: connections must not be shared between processes."""
    return Partner.connect(partner.origins, partner.client_id, partner.key.as_dict(private=True))


def _unread(target: Target, number: int, over: Any, told: Told) -> None:
    """Open connections that ask for files and never read, and open new ones for those that were cut."""
    asking = request("GET", "/my/files/page.css", {}) * 16
    address = f"127.0.1.{number + 1}"
    _hold(target, over, OPEN_AT_ONCE, lambda _count: Held([memoryview(asking)], address, 2048), told)


def _unfinished(target: Target, number: int, over: Any, told: Told) -> None:
    """Open connections with a body that never ends: every second one of a stranger, the others with token and proof."""

    rest = memoryview(b"x" * (BODY - 1))

    def made(count: int) -> Held:
        headers = prepare(target.rogue, "POST", OPENINGS).headers if count % 2 else {"content-type": "application/json"}
        head = request("POST", OPENINGS, headers).replace(b"length: 0", b"length: %d" % BODY)
        return Held([memoryview(head), rest], f"127.0.1.{number + 1}")

    _hold(target, over, BODIES_AT_ONCE, made, told)


@dataclass(slots=True)
class Held:
    """A connection to hold: what is left to send, the address it comes from, its window, and the time to end it at."""

    left: list[memoryview]
    address: str
    window: int | None = None
    until: float = 0.0


def _hold(target: Target, over: Any, most: int, made: Callable[[int], Held], told: Told) -> None:
    """Keep so many connections open for some seconds each; send what is taken, read nothing, and open new ones."""
    chosen, count = selectors.DefaultSelector(), 0
    while not over.is_set():
        while len(chosen.get_map()) < most and not over.is_set():
            held = made(count)
            count += 1
            if (one := _connect(target.place, held)) is None:
                told("refused")
                break
            told("opened")
            held.until = time.monotonic() + HOLD_SECONDS
            chosen.register(one, selectors.EVENT_WRITE, held)
        for key, _ in chosen.select(0.05):
            _send_on(chosen, key)
        _forget_cut(chosen)
        time.sleep(0.01)
    for key in list(chosen.get_map().values()):
        _close(chosen, key)


def _send_on(chosen: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Send as much of the rest as is taken now; when nothing is left, only hold the connection."""
    one, left = key.fileobj, key.data.left
    assert isinstance(one, socket.socket)
    try:
        while left:
            left[0] = left[0][one.send(left[0]) :]
            if not left[0]:
                left.pop(0)
    except BlockingIOError:
        pass
    except OSError:
        _close(chosen, key)


def _close(chosen: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    assert isinstance(key.fileobj, socket.socket)
    chosen.unregister(key.fileobj)
    key.fileobj.close()


def _forget_cut(chosen: selectors.BaseSelector) -> None:
    """Close the connections that are old, or that the hub has ended, which one that never reads would not notice."""
    for key in list(chosen.get_map().values()):
        one = key.fileobj
        assert isinstance(one, socket.socket)
        # tcp(7): the first byte of TCP_INFO is the state; 1 is established.
        if one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\x01" or key.data.until < time.monotonic():
            _close(chosen, key)


def _connect(place: tuple[str, int], held: Held) -> socket.socket | None:
    one = socket.socket()
    one.settimeout(1.0)
    try:
        if held.window:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, held.window)
        one.bind((held.address, 0))
        one.connect(place)
        one.setblocking(False)
    except OSError:
        one.close()
        return None
    return one


def _ask_on(target: Target, over: Any, made: Callable[[int], tuple[Prepared, str]], told: Told) -> None:
    """Send one request after the other, each on a connection of its own."""
    count = 0
    while not over.is_set():
        ready, address = made(count)
        count += 1
        connection = http.client.HTTPConnection(*target.place, timeout=20, source_address=(address, 0))
        try:
            connection.request(ready.method, urlsplit(ready.url).path, ready.body, ready.headers)
            answer = connection.getresponse()
            answer.read()
            told(answer.status)
        except (OSError, http.client.HTTPException):
            told("cut")
        finally:
            connection.close()


def _posted(target: Target, path: str, body: object, session: str = "") -> Prepared:
    headers = {"content-type": "application/json", **({"cookie": f"s={session}"} if session else {})}
    return Prepared(f"{target.origin}/my/v1{path}", "POST", headers, json.dumps(body).encode())


def _address(number: int, count: int) -> str:
    return f"127.0.{number + 2}.{count % ADDRESSES + 1}"


def _passphrases(target: Target, number: int, over: Any, told: Told) -> None:
    """Try passphrases whose last word fits, so that each costs the hub a slow hash, from many addresses."""

    def made(count: int) -> tuple[Prepared, str]:
        words = target.passphrases[(count * PROCESSES + number) % len(target.passphrases)]
        return _posted(target, "/session", {"passphrase": words}), _address(number, count)

    _ask_on(target, over, made, told)


def _pins(target: Target, number: int, over: Any, told: Told) -> None:
    """Give right PINs of made-up survivors without a pause, from many addresses."""

    def made(count: int) -> tuple[Prepared, str]:
        session = target.sessions[(count + number) % len(target.sessions)]
        return _posted(target, "/session/step-up", {"pin": "271828"}, session), _address(number, count)

    _ask_on(target, over, made, told)


def _claims(target: Target, number: int, over: Any, told: Told) -> None:
    """Claim the accounts of made-up survivors again and again, from many addresses."""

    def made(count: int) -> tuple[Prepared, str]:
        code = target.claims[(count + number) % len(target.claims)]
        return _posted(target, "/session", {"claim_code": code}), _address(number, count)

    _ask_on(target, over, made, told)


def _openings(target: Target, number: int, over: Any, told: Told) -> None:
    """Open one envelope of hers at a time, or all in one request."""
    one = {"envelope": target.envelopes[-1]} if number else {"envelopes": list(target.envelopes)}
    _ask_on(target, over, lambda _count: (prepare(target.rogue, "POST", OPENINGS, one), f"127.0.1.{number + 1}"), told)


def _refusals(target: Target, number: int, over: Any, told: Told) -> None:
    """Try two hundred envelopes a request under a grant that ended, each with another id of the agency's own making."""
    envelope = read(target.ended)

    def made(_count: int) -> tuple[Prepared, str]:
        tried = [write(replace(envelope, header=replace(envelope.header, id=str(uuid4())))) for _ in range(200)]
        return prepare(target.rogue, "POST", OPENINGS, {"envelopes": tried}), f"127.0.1.{number + 1}"

    _ask_on(target, over, made, told)


FLOODS: Mapping[str, Act] = {
    "connections without reading": _unread,
    "unfinished bodies": _unfinished,
    "passphrases": _passphrases,
    "PINs": _pins,
    "claims": _claims,
    "openings by one agency": _openings,
    "entries by refusals": _refusals,
}
