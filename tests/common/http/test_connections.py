"""No address can take the connections from the others, and a client that asks and never reads is cut."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from ipaddress import ip_network
from math import inf

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from services.common.http import progress
from services.common.http import server as http_server
from services.common.http.connections import Shares, holder_of
from tests.support.hubs import eventually
from tests.support.server import served

TIMEOUT = 20.0
FLOOD, OTHER, PROXY = "127.0.0.2", "127.0.0.3", "127.0.0.9"
LONG = bytes(8_000_000)
PROXIES = [ip_network("10.0.0.0/24"), ip_network("fd00::/64")]
GET = "GET {} HTTP/1.1\r\nhost: a\r\n{}\r\n"
GET_LONG = GET.format("/long", "").encode()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(LONG if scope["path"] == "/long" else b"hello")(scope, receive, send)


def connect(url: str, source: str, sent: bytes = b"") -> socket.socket:
    """Return a connection from one of this machine's addresses, with a tiny receive buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.settimeout(TIMEOUT)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", httpx2.URL(url).port or 0))
    connection.sendall(sent)
    return connection


@contextmanager
def crowd(url: str, source: str, number: int, sent: bytes = GET_LONG * 3) -> Iterator[list[socket.socket]]:
    """Open connections that ask and never read, or send what is given."""
    made = []
    for _ in range(number):
        made.append(connect(url, source, sent))
        time.sleep(0.005)
    try:
        yield made
    finally:
        for one in made:
            one.close()


def held(url: str, source: str) -> int:
    """Return how many connections of an address the server keeps."""
    port = httpx2.URL(url).port
    return sum(client[0] == source and server[1] == port for client, server in list(http_server._transports))


def answer(url: str, source: str, headers: str = "", path: str = "/") -> bytes:
    """Return the answer to one request on a new connection, empty if the connection is cut."""
    request = GET.format(path, f"{headers}connection: close\r\n").encode()
    with closing(connect(url, source)) as connection:
        try:
            connection.sendall(request)
            return rest(connection)
        except ConnectionError:
            return b""


def rest(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


def is_cut(connection: socket.socket) -> bool:
    try:
        return len(rest(connection)) < len(LONG)
    except ConnectionError:
        return True


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Allow 40 connections, 10 of each address."""
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 40)
    return 40


FLOODS = {
    "asks and never reads": GET_LONG * 3,
    "says nothing": b"",
    "asks, closes and never reads": GET.format("/long", "connection: close\r\n").encode(),
    "never ends its head": b"GET / HTTP/1.1\r\na: ",
    "never ends its body": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n1",
}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", FLOODS)
def test_flood_from_one_address_leaves_others_their_place(kind: str) -> None:
    with served(app) as url, crowd(url, FLOOD, 60, FLOODS[kind]):
        assert [answer(url, OTHER)[-5:] for _time in range(10)] == [b"hello"] * 10
        eventually(lambda: held(url, FLOOD) <= 10)


@pytest.mark.usefixtures("few")
def test_flood_ends_no_connection_of_another_address() -> None:
    with served(app) as url, closing(connect(url, OTHER)) as quiet, crowd(url, FLOOD, 60):
        eventually(lambda: held(url, FLOOD) <= 10)
        quiet.sendall(GET.format("/", "connection: close\r\n").encode())
        assert rest(quiet).endswith(b"hello")


@pytest.mark.usefixtures("few")
def test_full_server_ends_connection_of_largest_holder() -> None:
    floods = [f"127.0.1.{number}" for number in range(1, 5)]
    with served(app) as url, closing(connect(url, OTHER)) as oldest:
        made = [connect(url, source, GET_LONG) for source in floods for _ in range(10)]
        assert answer(url, "127.0.0.4").endswith(b"hello")
        eventually(lambda: sum(held(url, source) for source in floods) <= 39)
        oldest.sendall(GET.format("/", "connection: close\r\n").encode())
        assert rest(oldest).endswith(b"hello")
        for one in made:
            one.close()


@pytest.mark.usefixtures("few")
def test_busy_connections_of_an_address_outlive_its_stalled() -> None:
    go_on = threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await asyncio.get_running_loop().run_in_executor(None, go_on.wait, TIMEOUT)
        await app(scope, receive, send)

    with served(slow) as url, closing(connect(url, FLOOD)) as busy:
        busy.sendall(GET.format("/slow", "connection: close\r\n").encode())
        with crowd(url, FLOOD, 60):
            eventually(lambda: held(url, FLOOD) <= 10)
            go_on.set()
            assert rest(busy).endswith(b"hello")


@pytest.mark.usefixtures("few")
def test_connections_of_a_trusted_proxy_are_not_one_client() -> None:
    with served(app, [ip_network(PROXY)]) as url, crowd(url, PROXY, 30, GET.format("/", "").encode()):
        assert held(url, PROXY) == 30
        assert answer(url, PROXY, "x-forwarded-for: 203.0.113.1\r\n").endswith(b"hello")


@pytest.mark.usefixtures("few")
def test_client_behind_a_proxy_has_a_share_of_its_own() -> None:
    named = GET.format("/long", "x-forwarded-for: 198.51.100.1, 203.0.113.7\r\n").encode()
    with served(app, [ip_network(PROXY)]) as url, crowd(url, PROXY, 60, named):
        eventually(lambda: held(url, PROXY) <= 10)
        answers = [answer(url, PROXY, f"x-forwarded-for: 203.0.113.{number}\r\n") for number in range(20, 30)]
        assert [one[-5:] for one in answers] == [b"hello"] * 10


UNREAD = {
    "one answer": GET_LONG,
    "one answer before the end": GET.format("/long", "connection: close\r\n").encode(),
    "many answers": GET_LONG * 10,
    "many small answers": GET.format("/", "").encode() * 16 + GET_LONG,
}


@pytest.mark.parametrize("what", UNREAD)
def test_client_that_never_reads_is_cut(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.3)
    with served(app) as url, closing(connect(url, FLOOD, UNREAD[what])) as connection:
        eventually(lambda: held(url, FLOOD) == 1)
        eventually(lambda: held(url, FLOOD) == 0)
        assert is_cut(connection)


def test_client_that_takes_a_few_bytes_at_a_time_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.5)
    with served(app) as url, closing(connect(url, FLOOD, GET_LONG)) as connection:
        eventually(lambda: held(url, FLOOD) == 1)
        until = time.monotonic() + TIMEOUT
        while held(url, FLOOD) and time.monotonic() < until:
            connection.recv(1)
            time.sleep(0.02)
        assert not held(url, FLOOD)
        assert is_cut(connection)


def test_slow_reader_that_goes_on_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.2)
    with served(app) as url, closing(connect(url, FLOOD, UNREAD["one answer before the end"])) as connection:
        received, until = 0, time.monotonic() + 1.0
        while piece := connection.recv(200_000 if time.monotonic() < until else 1_000_000):
            received += len(piece)
            if time.monotonic() < until:
                time.sleep(0.005)
        assert received > len(LONG)


def test_reader_that_waits_again_later_is_not_cut_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.4)
    monkeypatch.setattr(progress, "PAUSE_SECONDS", 0.1)
    cut, waiting = list[bool](), [100]

    async def play() -> None:
        reader = progress.Progress(lambda: waiting[0], lambda: cut.append(True))
        reader.block()
        waiting[0] = 0
        reader.unblock()
        await asyncio.sleep(0.3)
        waiting[0] = 9000
        reader.block()
        await asyncio.sleep(0.2)
        assert cut == []
        await asyncio.sleep(0.4)
        assert cut == [True]

    asyncio.run(play())


def test_long_body_behind_an_earlier_request_waits_for_its_turn() -> None:
    go_on = threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.get_running_loop().run_in_executor(None, go_on.wait, TIMEOUT)
        await app(scope, receive, send)

    behind = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 60000\r\n\r\n" + bytes(50_000)
    with served(slow) as url, closing(connect(url, FLOOD, GET.format("/", "").encode())) as connection:
        connection.sendall(behind)
        go_on.set()
        connection.sendall(bytes(10_000))
        told = rest(connection)
        assert (told.count(b"HTTP/1.1 "), told.count(b"HTTP/1.1 400 ")) == (2, 0)


HOLDERS: dict[str, tuple[str, Sequence[str], str | None]] = {
    "an address of a household": ("203.0.113.7", [], "203.0.113.7/32"),
    "a phone": ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
    "the same phone later": ("2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
    "an embedded address": ("::ffff:203.0.113.7", [], "203.0.113.7/32"),
    "this machine": ("127.0.0.1", [], "127.0.0.1/32"),
    "another name without a proxy": ("203.0.113.7", ["198.51.100.1"], "203.0.113.7/32"),
    "a proxy that names nobody": ("10.0.0.7", [], None),
    "a proxy that names nobody aloud": ("10.0.0.7", [""], None),
    "a proxy that names nonsense": ("10.0.0.7", ["unknown"], None),
    "a proxy that names a client": ("10.0.0.7", ["198.51.100.1, 203.0.113.7"], "203.0.113.7/32"),
    "two proxies": ("10.0.0.7", ["198.51.100.1", "203.0.113.7, 10.0.0.8"], "203.0.113.7/32"),
    "a proxy over IPv6": ("fd00::1", ["2001:db8:1:2::9"], "2001:db8:1:2::/64"),
    "an embedded proxy": ("::ffff:10.0.0.7", ["203.0.113.7"], "203.0.113.7/32"),
}


@pytest.mark.parametrize("case", HOLDERS)
def test_holder_is_address_of_a_household(case: str) -> None:
    host, forwarded, expected = HOLDERS[case]
    assert holder_of(host, forwarded, PROXIES) == expected


class Stalled:
    """A connection that has been stalled since a given time."""

    def __init__(self, since: float) -> None:
        self._since = since

    def stalled_since(self) -> float:
        return self._since

    def cut(self) -> None:
        raise AssertionError("only the server cuts")


def test_largest_holder_gives_way_first() -> None:
    shares, lonely, first, second = Shares(), Stalled(1), Stalled(3), Stalled(2)
    for connection, holder in ((lonely, "a"), (first, "b"), (second, "b")):
        shares.add(connection, holder)
    assert shares.next_to_go() is second
    shares.remove(second, "b")
    assert shares.next_to_go() is lonely


def test_proxied_connections_count_one_by_one() -> None:
    shares, proxied, first, second = Shares(), [Stalled(1), Stalled(2), Stalled(3)], Stalled(8), Stalled(9)
    for connection in proxied:
        shares.add(connection, None)
    shares.add(first, "a")
    assert shares.next_to_go() is proxied[0]
    shares.add(second, "a")
    assert shares.next_to_go() is first


def test_newest_busy_connection_gives_way_first() -> None:
    shares, busy = Shares(), [Stalled(inf), Stalled(inf)]
    for connection in busy:
        shares.add(connection, "a")
    assert shares.next_to_go() is busy[1]
    assert shares.gives_way("a", 2) is busy[1]


def test_removing_a_connection_twice_counts_it_once() -> None:
    shares, one = Shares(), Stalled(1)
    shares.add(one, "a")
    for _time in range(2):
        shares.remove(one, "a")
    assert len(shares) == 0
    assert shares.next_to_go() is None
