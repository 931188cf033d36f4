"""Push: an agency that asked for it gets its notices at once, over TLS, at a public address, until it has them."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.common.auth.jose import key_set, verify
from services.common.http.outgoing import OutgoingClient, Unreachable
from services.consent.context import Context
from services.consent.handlers.grants import grants
from services.consent.handlers.notices.push import push_due
from services.consent.models import notice
from services.consent.notice_delivery import Pusher
from tests.support.consent import Agency, House, Person
from tests.support.receiver import poll, said
from tests.support.server import answering


@dataclass(slots=True)
class Ear:
    """A receiver at an agency, which answers as it is told and keeps what it got."""

    url: str
    status: int = 202
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    got: list[tuple[dict[str, str], str]] = field(default_factory=list)


@contextmanager
def ear(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Ear]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            made.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            time.sleep(made.seconds)
            self.send_response(made.status)
            for name, value in {"content-length": str(len(made.body)), **made.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with answering(Handler, tls) as port:
        made = Ear(f"{'https' if tls else 'http'}://{host}:{port}/notices")
        yield made


@pytest.fixture
def near(house: House) -> Iterator[House]:
    """A house that may push to this machine, as its setting says."""
    strict, state = house.context, house.service.app.state  # type: ignore[attr-defined]
    house.context = state.context = replace(strict, pusher=Pusher(OutgoingClient(to_loopback=True)))
    yield house
    house.context = state.context = strict


def listen_at(house: House, agency: Agency, url: str) -> int:
    return house.call(agency, "/consent/v1/notices/push", {"url": url}, "PUT").status_code


def something_to_tell(house: House, agency: Agency) -> Person:
    person = house.person(agency)
    grants.revoke_grant(house.context, person.subject, house.allow(person, agency))
    return person


def row(house: House, person: Person) -> Any:
    return house.rows(notice, notice.c.subject_id == person.subject)[0]


def push(context: Context) -> int:
    return push_due(context, 10_000)


def test_what_is_pushed_and_accepted_is_acknowledged(near: House) -> None:
    agency = near.agency()
    with ear() as receiver:
        assert listen_at(near, agency, receiver.url) == 204
        person = something_to_tell(near, agency)
        assert push(near.context) == 1
        assert push(near.context) == 0

    [(headers, token)] = receiver.got
    assert headers["content-type"] == "application/secevent+jwt"
    keys = key_set(near.http.get(f"{near.url}/consent/jwks.json").json()["keys"])
    claims = verify(token, keys, "notice").claims
    assert (claims["jti"], said(claims)["action"]) == (str(row(near, person).id), "delete")
    assert row(near, person).acknowledged_at is not None
    assert near.kinds(person)[-1] == "notice.acknowledged"
    assert poll(near, agency) == ({}, False)


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 404, 500, 503])
def test_nothing_but_202_is_an_acknowledgement_and_no_redirect_is_followed(near: House, status: int) -> None:
    agency = near.agency()
    with ear() as elsewhere, ear() as receiver:
        receiver.status, receiver.headers = status, {"location": elsewhere.url}
        listen_at(near, agency, receiver.url)
        person = something_to_tell(near, agency)
        assert push(near.context) == 0

    assert len(receiver.got) == 1
    assert elsewhere.got == []
    assert row(near, person).acknowledged_at is None
    assert list(poll(near, agency)[0]) == [str(row(near, person).id)], "it can still be polled"


def test_it_is_tried_again_with_longer_and_longer_pauses_and_polling_ends_it(near: House) -> None:
    agency = near.agency()
    with ear() as receiver:
        receiver.status = 500
        listen_at(near, agency, receiver.url)
        person = something_to_tell(near, agency)
        pauses = []
        for _ in range(12):
            push(near.context)
            tries = len(receiver.got)
            pauses.append(row(near, person).push_after - near.clock.now())
            near.clock.move(pauses[-1] - timedelta(seconds=1))
            push(near.context)
            assert len(receiver.got) == tries, "too soon"
            near.clock.move(timedelta(seconds=1))
        assert pauses[:4] == [timedelta(seconds=number) for number in (5, 10, 20, 40)]
        assert pauses[-1] == timedelta(hours=1)
        tries = len(receiver.got)
        agency.token = near.signer.token(agency.id, agency.key)
        poll(near, agency, ack=[str(row(near, person).id)])
        push(near.context)
        assert len(receiver.got) == tries


def test_an_agency_that_is_away_keeps_nobody_elses_notices(near: House) -> None:
    gone, there = near.agency(), near.agency()
    with ear() as closed:
        pass
    with ear() as receiver:
        listen_at(near, gone, closed.url)
        listen_at(near, there, receiver.url)
        missed = [something_to_tell(near, gone) for _ in range(2)]
        something_to_tell(near, there)
        assert push(near.context) == 1

    assert len(receiver.got) == 1
    assert [row(near, person).push_tries for person in missed] == [1, 0], "one try a round is enough"


def test_however_much_waits_for_an_agency_that_is_away_it_keeps_nobody_elses_notices(near: House) -> None:
    push(near.context)
    gone, there = near.agency(), near.agency()
    with ear() as closed:
        pass
    with ear() as receiver:
        listen_at(near, gone, closed.url)
        listen_at(near, there, receiver.url)
        missed = [something_to_tell(near, gone) for _ in range(3)]
        something_to_tell(near, there)
        assert push_due(near.context, 2) == 1

    soon = near.clock.now() + timedelta(seconds=5)
    assert [row(near, person).push_after for person in missed] == [soon] * 3, "all of its notices wait for it"
    assert len(receiver.got) == 1


def test_a_slow_agency_gets_one_notice_a_round_and_keeps_nobody_elses(near: House) -> None:
    push(near.context)
    slow, there = near.agency(), near.agency()
    with ear() as behind, ear() as receiver:
        behind.seconds = 1.1
        listen_at(near, slow, behind.url)
        listen_at(near, there, receiver.url)
        for _ in range(2):
            something_to_tell(near, slow)
        for _ in range(2):
            something_to_tell(near, there)
        assert push(near.context) == 3
        assert (len(behind.got), len(receiver.got)) == (1, 2)
        assert push(near.context) == 1, "and the next one in the next"


def test_a_notice_that_cannot_be_read_keeps_no_other_notice_of_its_agency(near: House) -> None:
    agency = near.agency()
    with ear() as receiver:
        receiver.status, receiver.body = 400, b'{"err": "invalid_request"}'
        listen_at(near, agency, receiver.url)
        people = [something_to_tell(near, agency) for _ in range(2)]
        push(near.context)

    assert [row(near, person).error for person in people] == ["invalid_request"] * 2


def test_a_receiver_that_cannot_read_it_says_why_and_she_sees_it(near: House) -> None:
    agency = near.agency()
    with ear() as receiver:
        receiver.status, receiver.body = 400, b'{"err": "invalid_key", "description": "Sample words"}'
        listen_at(near, agency, receiver.url)
        person = something_to_tell(near, agency)
        push(near.context)
        assert (row(near, person).error, row(near, person).acknowledged_at) == ("invalid_key", None)
        receiver.body = b'{"err": "We know where you are"}'
        other = something_to_tell(near, agency)
        push(near.context)

    assert row(near, other).error is None, "only codes are kept"
    assert row(near, other).push_tries == 1


def test_an_answer_without_end_is_not_read(near: House) -> None:
    agency = near.agency()
    with ear() as receiver:
        receiver.status, receiver.body = 400, b" " * 100_000
        listen_at(near, agency, receiver.url)
        person = something_to_tell(near, agency)
        assert push(near.context) == 0
    assert row(near, person).push_tries == 1


@pytest.mark.parametrize(
    "body", [b"[" * 4000, b'{"err": ' * 500, b'{"err": "\\ud800"}', b"\xff", b'"invalid_key"', b""]
)
def test_whatever_a_receiver_answers_the_next_agency_is_told(near: House, body: bytes) -> None:
    odd, there = near.agency(), near.agency()
    with ear() as strange, ear() as receiver:
        strange.status, strange.body = 400, body
        listen_at(near, odd, strange.url)
        listen_at(near, there, receiver.url)
        person = something_to_tell(near, odd)
        something_to_tell(near, there)
        assert push(near.context) == 1

    assert (row(near, person).push_tries, row(near, person).error) == (1, None)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 202 Accepted\r\nx: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 4000\r\n\r\n", b" "),
    ],
    ids=["head", "no end of heads", "body"],
)
def test_a_receiver_has_so_many_seconds_in_all_however_little_it_says_at_a_time(begin: bytes, more: bytes) -> None:
    with slow_ear(begin, more) as url:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            Pusher(OutgoingClient(to_loopback=True, seconds=0.5)).send(url, "token")
        assert time.monotonic() - began < 2


@contextmanager
def slow_ear(begin: bytes, more: bytes) -> Iterator[str]:
    """A receiver that says a little, twenty times a second, for four seconds."""

    def speak() -> None:
        with listener.accept()[0] as line, suppress(OSError):
            line.sendall(begin)
            for _ in range(80):
                time.sleep(0.05)
                line.sendall(more)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        speaking = threading.Thread(target=speak, daemon=True)
        speaking.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/notices"
        speaking.join()


def test_no_more_is_pushed_to_who_does_not_want_it(near: House) -> None:
    agency = near.agency()
    with ear() as receiver:
        listen_at(near, agency, receiver.url)
        assert near.call(agency, "/consent/v1/notices/push", None, "DELETE").status_code == 204
        something_to_tell(near, agency)
        push(near.context)
    assert receiver.got == []


@pytest.mark.parametrize(
    "url",
    [
        "http://agency.example/notices",
        "ftp://agency.example/notices",
        "https://user:words@agency.example/",
        "https://agency.example/#part",
        "https://",
        "agency.example",
        "https://agency.example:0/",
        "https://agency.example:99999/",
        "https://[agency/",
        "https://agency.example/\n",
    ],
)
def test_a_place_that_is_none_is_refused(house: House, url: str) -> None:
    answer = house.call(house.agency(), "/consent/v1/notices/push", {"url": url}, "PUT")
    assert (answer.status_code, answer.json()["errors"][0]["member"]) == (400, "/url")


def test_without_the_setting_nothing_goes_to_this_machine(house: House) -> None:
    with ear() as receiver:
        assert listen_at(house, house.agency(), receiver.url) == 400
        with pytest.raises(Unreachable):
            house.context.pusher.send(receiver.url, "token")
    assert receiver.got == []


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["10.0.0.7"],
        ["169.254.169.254"],
        ["::1"],
        ["fd00::1"],
        ["::ffff:10.0.0.7"],
        ["0.0.0.0"],
        ["93.184.215.14", "192.168.1.1"],
        [],
    ],
)
def test_no_name_leads_into_a_network_that_is_not_public(found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def called(**_: object) -> None:
        raise AssertionError("somebody was called")

    monkeypatch.setattr("services.common.http.outgoing.httpx2.AsyncClient", called)
    pusher = Pusher(OutgoingClient(resolve=lambda _host, _port: found))
    assert pusher.fault("https://agency.example/notices") is None
    with pytest.raises(Unreachable):
        pusher.send("https://agency.example/notices", "token")


def test_the_certificate_is_checked_against_the_name_not_the_address(tmp_path: Path) -> None:
    """The address was looked up beforehand, so the name reaches the server in the handshake and in the header only."""
    own, trust = certificate(tmp_path, "agency.example")
    with ear(own, "agency.example") as receiver:
        client = OutgoingClient(to_loopback=True, resolve=lambda _host, _port: ["127.0.0.1"], trust=trust)
        assert Pusher(client).send(receiver.url, "token") is None
        for changed in (replace(client, trust=ssl.create_default_context()), client):
            url = receiver.url if changed is not client else receiver.url.replace("agency.example", "other.example")
            with pytest.raises(Unreachable):
                Pusher(changed).send(url, "token")

    [(headers, body)] = receiver.got
    assert headers["host"].startswith("agency.example:")
    assert body == "token"


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side and a client's side that trusts only it."""
    key, subject = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "server.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + pem
    )
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(folder / "server.pem")
    return own, ssl.create_default_context(cadata=pem.decode())
