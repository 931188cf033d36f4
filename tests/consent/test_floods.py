"""A flood from one address neither fills the memory nor keeps her from her pages."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import getpagesize

import pytest

from services.common.http import server as http_server
from tests.support.consent import House
from tests.support.hubs import eventually
from tests.support.raw_http import ClientConnection, request

FLOOD = "127.0.0.2"
TIMEOUT = 20.0
MANY = 60
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
# By route: the kind of its body, how many bytes it may have, and the status without credentials.
BODIES = {
    "/consent/v1/openings": (JSON, 4_000_000, 401),
    "/my/v1/restrictions": (JSON, 250_000, 401),
    "/my/never": (FORM, 250_000, 303),
    "/internal/consent/v1/decisions": (JSON, 250_000, 401),
    "/consent/access/v1/evaluations": (JSON, 250_000, 401),
}
DRESSED = {"authorization": "DPoP x", "dpop": "x", "cookie": "s=x"}


@contextmanager
def flood(house: House, sent: Callable[[int], bytes], window: int | None = None) -> Iterator[list[socket.socket]]:
    """Open many connections from another address that send what is given for their number."""
    made = []
    for number in range(MANY):
        one = socket.socket()
        one.settimeout(TIMEOUT)
        if window:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        one.bind((FLOOD, 0))
        one.connect(("127.0.0.1", house.port))
        one.sendall(sent(number))
        made.append(one)
    try:
        yield made
    finally:
        for one in made:
            one.close()


def kept_bodies(house: House) -> int:
    """Return how many bytes of bodies the server keeps."""
    transports = [one for place, one in list(http_server._transports.items()) if place[1][1] == house.port]
    cycles = [getattr(one.get_protocol(), "cycle", None) for one in transports]
    return sum(len(cycle.body) for cycle in cycles if cycle is not None)


def resident() -> int:
    """Return this process's memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


@pytest.mark.parametrize("path", BODIES)
def test_unfinished_bodies_of_strangers_hold_nothing(house: House, path: str) -> None:
    kind, size, status = BODIES[path]
    body = b"x" * (size - 1)

    def sent(number: int) -> bytes:
        headers = {"content-type": kind, **(DRESSED if number % 2 else {})}
        return request("POST", path, headers, b"").replace(b"length: 0", b"length: %d" % size) + body

    house.my("GET", "/grants")
    before = resident()
    with flood(house, sent) as connections:
        assert [int(one.recv(65536)[9:12]) for one in connections] == [status] * MANY
        eventually(lambda: kept_bodies(house) == 0)
        assert resident() - before < 30_000_000


def test_flood_of_unread_answers_leaves_her_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 40)
    agency, person = house.agency(), house.person()
    grant, session = house.allow(person, agency), house.session(person)
    asking = request("GET", "/my/files/page.css", {}) * 16
    with flood(house, lambda _number: asking, 2048):
        for _time in range(10):
            hers = ClientConnection(house.port)
            assert hers.ask(request("GET", "/my/v1/grants", {"cookie": f"s={session}"})).status == 200
            hers.close()
        hers = ClientConnection(house.port)
        assert hers.ask(request("DELETE", f"/my/v1/grants/{grant}", {"cookie": f"s={session}"})).status == 204
        hers.close()
        eventually(lambda: sum(place[0][0] == FLOOD for place in list(http_server._transports)) <= 10)
