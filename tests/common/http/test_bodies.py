"""A body is read only after the caller is known, and no address can fill the memory with bodies."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPResponse
from ipaddress import ip_network
from typing import Annotated

import pytest
from fastapi import APIRouter, Body, Depends, Form, Request

from services.common.errors import Problem
from services.common.http import bodies
from services.common.http.app import create_app
from services.common.http.bodies import BodyBudget
from services.common.http.gates import before_body, checked, checked_in_thread
from tests.support.server import served

TIMEOUT = 20.0
FLOOD, OTHER, PROXY = "127.0.0.2", "127.0.0.3", "127.0.0.9"
MOST = 1024 * 1024
routes = APIRouter(prefix="/test")
asked: list[str] = []


def gate(request: Request) -> str:
    asked.append(request.url.path)
    name = request.headers.get("authorization")
    if name is None:
        raise Problem(401, "not-authorized", "Who is it?")
    return name


@before_body(gate)
async def caller(request: Request) -> str:
    found: str = await checked_in_thread(request, gate)
    return found


@before_body(gate)
def page(request: Request) -> str:
    found: str = checked(request, gate)
    return found


@routes.post("/open")
def anybody(body: Annotated[dict[str, str], Body()]) -> int:
    return len(body)


@routes.post("/gated")
def known(name: Annotated[str, Depends(caller)], body: Annotated[dict[str, str], Body()]) -> str:
    return f"{name} {len(body)}"


@routes.post("/form")
def form(name: Annotated[str, Depends(page)], text: Annotated[str, Form()] = "") -> str:
    return f"{name} {len(text)}"


@routes.get("/gated")
def reading(name: Annotated[str, Depends(caller)]) -> str:
    return name


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(bodies, "MOST_BYTES", MOST)
    asked.clear()
    app = create_app("test", "", [routes], {"/test/open": MOST})
    with served(app, [ip_network(PROXY)]) as url:
        yield url


def begun(url: str, source: str, path: str, headers: str = "", size: int = 200_000) -> socket.socket:
    """Return a connection that has sent a JSON body without its last byte."""
    connection = socket.socket()
    connection.settimeout(TIMEOUT)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    kind = "application/x-www-form-urlencoded" if path.endswith("form") else "application/json"
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\n{headers}"
    connection.sendall(f"{head}content-length: {size}\r\n\r\n".encode())
    connection.sendall((b'{"a": "' + b"x" * (size - 9) + b'"}')[:-1])
    return connection


def status(connection: socket.socket) -> int:
    return int(connection.recv(65536)[9:12])


def finish(connection: socket.socket) -> int:
    connection.sendall(b"}")
    return status(connection)


def answers(connection: socket.socket) -> bool:
    """Tell whether an answer arrives soon."""
    connection.settimeout(0.2)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        connection.settimeout(TIMEOUT)


@pytest.mark.parametrize("path", ["/test/gated", "/test/form"])
def test_stranger_is_refused_before_the_body_is_sent(url: str, path: str) -> None:
    with closing(begun(url, FLOOD, path)) as connection:
        assert status(connection) == 401
    assert asked == [path]


def test_stranger_is_not_told_to_go_on(url: str) -> None:
    with closing(begun(url, FLOOD, "/test/gated", "expect: 100-continue\r\n", 10)) as connection:
        assert status(connection) == 401
    with closing(begun(url, FLOOD, "/test/gated", "expect: 100-continue\r\nauthorization: a\r\n", 10)) as connection:
        assert status(connection) == 100


@pytest.mark.parametrize("path", ["/test/gated", "/test/form"])
def test_known_caller_is_checked_once(url: str, path: str) -> None:
    with closing(begun(url, FLOOD, path, "authorization: a\r\n")) as connection:
        assert not answers(connection)
        assert finish(connection) == 200
    assert asked == [path]


def test_connection_serves_on_after_a_refused_body(url: str) -> None:
    with closing(begun(url, FLOOD, "/test/gated", size=100)) as connection:
        connection.sendall(b"}")
        with closing(HTTPResponse(connection)) as refused:
            refused.begin()
            assert refused.status == 401
            refused.read()
        connection.sendall(b"GET /test/gated HTTP/1.1\r\nhost: a\r\nauthorization: a\r\n\r\n")
        assert status(connection) == 200


def test_bodies_of_one_address_are_limited_together(url: str) -> None:
    with ExitStack() as kept:
        flood = []
        for number in range(6):
            flood.append(kept.enter_context(closing(begun(url, FLOOD, "/test/open"))))
            assert answers(flood[-1]) == (number > 1)
        assert {status(one) for one in flood[2:]} == {503}
        assert finish(kept.enter_context(closing(begun(url, OTHER, "/test/open")))) == 200
        assert finish(kept.enter_context(closing(begun(url, FLOOD, "/test/open", size=500)))) == 200
        assert [finish(one) for one in flood[:2]] == [200, 200]
        assert finish(kept.enter_context(closing(begun(url, FLOOD, "/test/open")))) == 200


def test_bodies_of_lost_connections_count_no_more(url: str) -> None:
    for _time in range(3):
        with ExitStack() as kept:
            flood = [kept.enter_context(closing(begun(url, FLOOD, "/test/open"))) for _ in range(2)]
            assert not any(answers(one) for one in flood)
        time.sleep(0.1)
    with closing(begun(url, FLOOD, "/test/open")) as connection:
        assert finish(connection) == 200


def test_agencies_behind_a_proxy_pay_each_for_themselves(url: str) -> None:
    with ExitStack() as kept:
        for number in range(4):
            one = kept.enter_context(closing(begun(url, PROXY, "/test/gated", "authorization: a\r\n")))
            assert answers(one) == (number > 1)
        other = kept.enter_context(closing(begun(url, PROXY, "/test/gated", "authorization: b\r\n")))
        assert finish(other) == 200


def test_new_payer_gets_its_part_when_all_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 100)
    budget = BodyBudget()
    for payer in ("a", "b"):
        budget.take(payer, 50)
    budget.take("c", 30)
    for payer, size in (("a", 1), ("c", 30)):
        with pytest.raises(Problem) as refused:
            budget.take(payer, size)
        assert refused.value.status == 503
    budget.give_back("b", 50)
    budget.take("c", 20)


def test_budget_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    budget, taken = BodyBudget(), 0
    for number in range(10_000):
        try:
            budget.take(f"address {number}", 10)
            taken += 10
        except Problem:
            continue
    assert taken <= 2000
