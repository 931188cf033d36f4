"""The server sends answers without a buffer, knows its open connections, and limits what a client can make it keep."""

import asyncio
import logging
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from services.common.http import server as http_server
from services.common.http.server import (
    BackgroundServer,
    ByPrefix,
    discard_on_close,
    has_left,
    listen,
    origin,
    transport_of,
)
from tests.support.hubs import eventually
from tests.support.server import served

TIMEOUT = 20.0
# More bytes than small socket buffers hold, fewer than asyncio would silently buffer (64 KiB).
BODY = bytes(60_000)
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"hello from {scope['path']}")(scope, receive, send)


@dataclass(slots=True)
class Sender:
    """An application that sends `BODY` as openings are sent, and records its progress."""

    started: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)
    told: dict[str, Any] = field(default_factory=dict)
    between: Callable[[asyncio.Transport], Awaitable[object]] | None = None

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        transport = transport_of(scope)
        assert transport is not None
        self.told["peer"], self.told["client"] = transport.get_extra_info("peername"), scope["client"]
        headers = [(b"content-length", str(len(BODY)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY, "more_body": True})
        self.started.set()
        if self.between:
            self.told["between"] = await self.between(transport)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self.told["kept"] = transport.get_write_buffer_size()
        self.finished.set()


@contextmanager
def conversation(app: Sender, kernel_keeps: int = 4096) -> Iterator[socket.socket]:
    """Return a client with small buffers that has sent a request and read nothing yet."""
    listener = listen(0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel_keeps)
    server = BackgroundServer(app, listener)
    server.start()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(TIMEOUT)
    try:
        client.connect(listener.getsockname())
        client.sendall(REQUEST)
        assert app.started.wait(TIMEOUT)
        yield client
    finally:
        client.close()
        server.stop()


def read_all(client: socket.socket) -> bytes:
    found = b""
    while piece := client.recv(65536):
        found += piece
    return found


def reset(client: socket.socket) -> None:
    """Reset a connection, as seen from a machine that lost its power."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def known(port: int) -> list[object]:
    """Return the remembered connections to one port."""
    return [place for place in http_server._transports if place[1][1] == port]


def test_last_send_returns_when_the_kernel_has_everything() -> None:
    app = Sender()
    with conversation(app) as client:
        assert not app.finished.wait(0.2)
        assert read_all(client).endswith(BODY)
        assert app.finished.wait(TIMEOUT)
    assert app.told["kept"] == 0


def test_has_left_waits_until_the_receiver_has_everything() -> None:
    app = Sender(between=has_left)
    with conversation(app) as client:
        assert not app.finished.wait(0.2)
        assert read_all(client).endswith(BODY)
        assert app.finished.wait(TIMEOUT)
    assert app.told["between"] is True


def test_bytes_kept_for_a_slow_receiver_have_not_left() -> None:
    async def check(transport: asyncio.Transport) -> bool:
        app.told["with the kernel"] = transport.get_write_buffer_size() == 0
        return await has_left(transport)

    app = Sender(between=check)
    with conversation(app, kernel_keeps=1_000_000) as client:
        assert not app.finished.wait(0.2)
        assert read_all(client).endswith(BODY)
        assert app.finished.wait(TIMEOUT)
    assert app.told["with the kernel"]
    assert app.told["between"] is True


def test_bytes_that_a_lost_receiver_misses_have_not_left() -> None:
    app = Sender(between=has_left)
    with conversation(app) as client:
        reset(client)
        eventually(lambda: "between" in app.told)
    assert app.told["between"] is False


@pytest.mark.parametrize("discard", [True, False])
def test_cut_connection_discards_unsent_bytes_if_set(discard: bool) -> None:
    async def cut(transport: asyncio.Transport) -> None:
        discard_on_close(transport, discard)
        transport.abort()

    app = Sender(between=cut)
    with conversation(app, kernel_keeps=1_000_000) as client:
        assert app.finished.wait(TIMEOUT)
        if discard:
            with pytest.raises(ConnectionResetError):
                read_all(client)
        else:
            assert read_all(client).endswith(BODY)


def test_a_request_finds_its_own_connection() -> None:
    app = Sender()
    with conversation(app) as client:
        place = client.getsockname()
        read_all(client)
        assert app.finished.wait(TIMEOUT)
    assert app.told["peer"] == place
    assert tuple(app.told["client"]) == place


def test_another_server_gives_no_connection() -> None:
    found: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(transport_of(scope))
        await hello(scope, receive, send)

    assert TestClient(app).get("/").status_code == 200
    assert found == [None]
    assert transport_of({"type": "http"}) is None


def test_ended_connection_is_forgotten() -> None:
    with served(hello) as url:
        port = httpx2.URL(url).port or 0
        with httpx2.Client() as client:
            client.get(url)
            assert len(known(port)) == 1
        eventually(lambda: not known(port))
        rude = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        rude.sendall(REQUEST[:10])
        eventually(lambda: len(known(port)) == 1)
        reset(rude)
        eventually(lambda: not known(port))


def test_client_gone_before_it_is_accepted_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    listener = listen(0)
    port = listener.getsockname()[1]
    for _time in range(3):
        reset(socket.create_connection(("127.0.0.1", port), TIMEOUT))
    server = BackgroundServer(hello, listener)
    with caplog.at_level(logging.WARNING):
        server.start()
        assert httpx2.get(origin(listener)).status_code == 200
        server.stop()
    assert not server._thread.is_alive()
    assert [record.getMessage() for record in caplog.records if record.name in {"asyncio", "uvicorn.error"}] == []
    assert known(port) == []


def test_stopping_server_answers_running_requests() -> None:
    entered, go_on = threading.Event(), threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await asyncio.get_running_loop().run_in_executor(None, go_on.wait, TIMEOUT)
        await hello(scope, receive, send)

    listener = listen(0)
    server = BackgroundServer(slow, listener)
    server.start()
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(httpx2.get, f"{origin(listener)}/begun", timeout=TIMEOUT)
        assert entered.wait(TIMEOUT)
        stopped = pool.submit(server.stop)
        go_on.set()
        assert answer.result(TIMEOUT).text == "hello from /begun"
        stopped.result(TIMEOUT)


def test_stopping_server_does_not_wait_for_endless_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "END_SECONDS", 0.2)
    listener = listen(0)
    server = BackgroundServer(reading, listener)
    server.start()
    with closing(socket.create_connection(listener.getsockname()[:2])) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n1")
        eventually(lambda: server._server.server_state.tasks)
        server.stop()
        assert not server._thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_server_that_cannot_start_raises_an_error() -> None:
    listener = listen(0)
    listener.close()
    with pytest.raises(OSError, match="could not start"):
        BackgroundServer(hello, listener).start()


def test_a_port_that_is_taken_is_refused() -> None:
    with listen(0) as listener, pytest.raises(OSError, match="in use"):
        listen(listener.getsockname()[1])


def test_origin_is_the_url_of_the_socket() -> None:
    with listen(0) as listener:
        assert origin(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_one_origin_serves_several_applications() -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(f"other at {scope['path']}")(scope, receive, send)

    prefixes = ByPrefix({"/one": hello})
    with served(prefixes) as url, httpx2.Client(base_url=url) as client:
        assert client.get("/one/a/b").text == "hello from /one/a/b"
        assert client.get("/two").status_code == 404
        prefixes.add("/two", other)
        assert client.get("/two").text == "other at /two"
        assert [client.get(path).status_code for path in ("/", "/onetwo", "/ones")] == [404] * 3


def test_server_sends_no_header_about_itself() -> None:
    with served(hello) as url:
        assert set(httpx2.get(url).headers) == {"content-length", "content-type"}


def test_answer_does_not_wait_for_a_delayed_acknowledgement() -> None:
    with closing(listen(0)) as listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with closing(accepted):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


BEGINNINGS = {
    "header": b"GET / HTTP/1.1\r\na: ",
    "headers": b"GET / HTTP/1.1\r\n",
    "address": b"GET /",
    "trailers": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
    "chunk": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;",
}


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_endless_head_does_not_fill_the_memory(beginning: str) -> None:
    more = b"a: b\r\n" * 1000 if beginning in {"headers", "trailers"} else b"a" * 6000
    with (
        served(reading) as base,
        closing(socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])))) as connection,
    ):
        connection.settimeout(TIMEOUT)
        connection.sendall(BEGINNINGS[beginning])
        with pytest.raises(ConnectionError):  # as soon as the server has hung up
            connection.sendall(more * 5000)


def test_body_and_further_requests_do_not_count_as_head() -> None:
    with served(reading) as base, httpx2.Client() as client:
        for _ in range(3):
            told = client.post(base, content=(bytes(1000) for _ in range(300)), headers={"a": "b" * 30_000})
            assert told.text == "300000"


def connect_to(url: str) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(TIMEOUT)
    connection.connect(("127.0.0.1", httpx2.URL(url).port or 0))
    return connection


def hung_up(connection: socket.socket) -> bool:
    try:
        return read_all(connection) is not None
    except ConnectionError:
        return True


GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def test_pipelined_requests_are_answered_in_order() -> None:
    with served(hello) as url, closing(connect_to(url)) as connection:
        connection.sendall(GET * http_server.MOST_AHEAD + REQUEST)
        assert read_all(connection).count(b"hello from /") == http_server.MOST_AHEAD + 1


def test_number_of_pipelined_requests_is_limited() -> None:
    begun, go_on = [], threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope)
        await asyncio.get_running_loop().run_in_executor(None, go_on.wait, TIMEOUT)
        await hello(scope, receive, send)

    with served(slow) as url, closing(connect_to(url)) as connection:
        connection.sendall(GET * 10_000)
        assert hung_up(connection)
        go_on.set()
    assert len(begun) == 1


SILENT = {
    "at once": b"",
    "in a head": b"GET / HTTP/1.1\r\na: ",
    "in a body": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n1",
    "in a body behind another": GET + b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n1",
    "after an answer": GET + b"\r\n",
}


@pytest.mark.parametrize("where", SILENT)
def test_silent_connection_is_cut(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "WAIT_SECONDS", 0.3)
    with served(reading) as url, closing(connect_to(url)) as connection:
        connection.sendall(SILENT[where])
        if where == "after an answer":
            connection.recv(1000)
            connection.sendall(b"\r\n")
        assert hung_up(connection)
        eventually(lambda: not known(httpx2.URL(url).port or 0))


def test_connection_with_a_slow_answer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "WAIT_SECONDS", 0.2)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.6)
        await hello(scope, receive, send)

    with served(slow) as url, httpx2.Client() as client:
        assert [client.get(url).status_code for _time in range(2)] == [200, 200]


GET_LONG = b"GET /long HTTP/1.1\r\nhost: a\r\nconnection: %s\r\n\r\n"


def test_silent_connections_are_cut_before_active_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """They keep no new client out, and no client that waits for its answer is cut."""
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 8)
    go_on = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await asyncio.get_running_loop().run_in_executor(None, go_on.wait, TIMEOUT)
        await PlainTextResponse(bytes(10_000_000) if scope["path"] == "/long" else b"hello")(scope, receive, send)

    with served(app) as url, ThreadPoolExecutor(1) as pool, httpx2.Client() as first:
        begun = pool.submit(first.get, f"{url}/slow", timeout=TIMEOUT)
        eventually(lambda: len(known(httpx2.URL(url).port or 0)) == 1)
        connections = []
        for number in range(40):
            connections.append(connect_to(url))
            connections[-1].sendall((b"", GET_LONG % b"keep-alive", GET_LONG % b"close")[number % 3])
            time.sleep(0.01)
        for _time in range(3):
            assert httpx2.get(url).text == "hello"
        eventually(lambda: len(known(httpx2.URL(url).port or 0)) <= 9)
        go_on.set()
        assert begun.result(TIMEOUT).text == "hello"
        for connection in connections:
            connection.close()


async def reading(_scope: Scope, receive: Receive, send: Send) -> None:
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await PlainTextResponse(str(length))({"type": "http"}, receive, send)
