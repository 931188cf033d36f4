"""Outgoing calls: only to URLs that may be called, with an answer that is read in bounds and only where it is wanted."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from services.common.http.outgoing import MOST_READ, Answer, OutgoingClient, Unreachable
from tests.support.server import answering

CLIENT = OutgoingClient(to_loopback=True)


class Answering(BaseHTTPRequestHandler):
    """Answers each POST with status 400 and its own body."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(400)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with answering(Answering) as port:
        yield f"http://127.0.0.1:{port}/"


def test_body_is_read_only_for_the_named_statuses(url: str) -> None:
    assert CLIENT.post(url, "hello", {}) == Answer(400)
    assert CLIENT.post(url, "hello", {}, read_on={404}) == Answer(400)
    assert CLIENT.post(url, "hello", {}, read_on={400}) == Answer(400, b"hello")


def test_body_beyond_the_limit_is_unreachable(url: str) -> None:
    assert CLIENT.post(url, "x" * MOST_READ, {}, read_on={400}).content == b"x" * MOST_READ
    with pytest.raises(Unreachable):
        CLIENT.post(url, "x" * (MOST_READ + 1), {}, read_on={400})


def test_this_machine_is_called_only_if_allowed(url: str) -> None:
    assert not OutgoingClient().accepts(url)
    with pytest.raises(Unreachable):
        OutgoingClient().post(url, "hello", {})


def test_name_without_public_address_is_unreachable() -> None:
    client = OutgoingClient(resolve=lambda _host, _port: ["93.184.215.14", "10.0.0.7"])
    assert client.accepts("https://agency.example/")
    with pytest.raises(Unreachable):
        client.post("https://agency.example/", "hello", {})
