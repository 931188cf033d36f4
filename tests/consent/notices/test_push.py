"""Test pushing notices: at once, over TLS, to a public address only, and until the agency has acknowledged them."""

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
from tests.support.notice_receiver import poll, said
from tests.support.server import answering


@dataclass(slots=True)
class Endpoint:
    """A receiver at an agency that answers as a test sets it, and keeps the requests that it got."""

    url: str
    status: int = 202
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    got: list[tuple[dict[str, str], str]] = field(default_factory=list)


@contextmanager
def endpoint(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Endpoint]:
    """Serve an endpoint on this machine, with TLS if a context is given."""

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
        made = Endpoint(f"{'https' if tls else 'http'}://{host}:{port}/notices")
        yield made


@pytest.fixture
def near(house: House) -> Iterator[House]:
    """Yield a house that may push to this machine, as its setting allows."""
    strict, state = house.context, house.service.app.state  # type: ignore[attr-defined]
    house.context = state.context = replace(strict, pusher=Pusher(OutgoingClient(to_loopback=True)))
    yield house
    house.context = state.context = strict


def set_push_url(house: House, agency: Agency, url: str) -> int:
    """Set the push URL of an agency; return the status of the answer."""
    return house.call(agency, "/consent/v1/notices/push", {"url": url}, "PUT").status_code


def revoke_new_grant(house: House, agency: Agency) -> Person:
    """Revoke a grant of a new survivor, so that a notice waits for the agency; return the survivor."""
    person = house.person(agency)
    grants.revoke_grant(house.context, person.subject, house.allow(person, agency))
    return person


def row(house: House, person: Person) -> Any:
    """Return the first notice about this survivor."""
    return house.rows(notice, notice.c.subject_id == person.subject)[0]


def push(context: Context) -> int:
    return push_due(context, 10_000)


def test_accepted_push_acknowledges_the_notice(near: House) -> None:
    agency = near.agency()
    with endpoint() as receiver:
        assert set_push_url(near, agency, receiver.url) == 204
        person = revoke_new_grant(near, agency)
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
def test_only_202_acknowledges_and_redirects_are_not_followed(near: House, status: int) -> None:
    """A notice that was not acknowledged can still be polled."""
    agency = near.agency()
    with endpoint() as elsewhere, endpoint() as receiver:
        receiver.status, receiver.headers = status, {"location": elsewhere.url}
        set_push_url(near, agency, receiver.url)
        person = revoke_new_grant(near, agency)
        assert push(near.context) == 0

    assert len(receiver.got) == 1
    assert elsewhere.got == []
    assert row(near, person).acknowledged_at is None
    assert list(poll(near, agency)[0]) == [str(row(near, person).id)], "it can still be polled"


def test_failed_push_backs_off_until_the_notice_is_polled(near: House) -> None:
    """The pause doubles from five seconds up to an hour."""
    agency = near.agency()
    with endpoint() as receiver:
        receiver.status = 500
        set_push_url(near, agency, receiver.url)
        person = revoke_new_grant(near, agency)
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


def test_unreachable_agency_does_not_delay_others(near: House) -> None:
    gone, there = near.agency(), near.agency()
    with endpoint() as closed:
        pass
    with endpoint() as receiver:
        set_push_url(near, gone, closed.url)
        set_push_url(near, there, receiver.url)
        missed = [revoke_new_grant(near, gone)]
        near.clock.move(timedelta(seconds=1))
        missed.append(revoke_new_grant(near, gone))
        revoke_new_grant(near, there)
        assert push(near.context) == 1

    assert len(receiver.got) == 1
    assert [row(near, person).push_tries for person in missed] == [1, 0], "one try in each round"


def test_backlog_of_unreachable_agency_does_not_delay_others(near: House) -> None:
    """After one failed try, all notices of the unreachable agency wait; a round takes only two notices here."""
    push(near.context)
    gone, there = near.agency(), near.agency()
    with endpoint() as closed:
        pass
    with endpoint() as receiver:
        set_push_url(near, gone, closed.url)
        set_push_url(near, there, receiver.url)
        missed = [revoke_new_grant(near, gone) for _ in range(3)]
        revoke_new_grant(near, there)
        assert push_due(near.context, 2) == 1

    soon = near.clock.now() + timedelta(seconds=5)
    assert [row(near, person).push_after for person in missed] == [soon] * 3, "all notices for that agency wait"
    assert len(receiver.got) == 1


def test_slow_agency_gets_one_notice_a_round(near: House) -> None:
    """Other agencies get all of their notices in the same round."""
    push(near.context)
    slow, there = near.agency(), near.agency()
    with endpoint() as late, endpoint() as receiver:
        late.seconds = 1.1
        set_push_url(near, slow, late.url)
        set_push_url(near, there, receiver.url)
        for _ in range(2):
            revoke_new_grant(near, slow)
        for _ in range(2):
            revoke_new_grant(near, there)
        assert push(near.context) == 3
        assert (len(late.got), len(receiver.got)) == (1, 2)
        assert push(near.context) == 1, "the next one in the next round"


def test_agency_gets_a_second_of_each_round(near: House) -> None:
    """Just below the limit for one notice, many notices for it would delay those for others."""
    agency = near.agency()
    push(near.context)
    with endpoint() as receiver:
        receiver.seconds = 0.7
        set_push_url(near, agency, receiver.url)
        for _ in range(3):
            revoke_new_grant(near, agency)
        assert [push(near.context) for _ in range(2)] == [2, 1]


def test_unreadable_notice_does_not_delay_the_next_one(near: House) -> None:
    agency = near.agency()
    with endpoint() as receiver:
        receiver.status, receiver.body = 400, b'{"err": "invalid_request"}'
        set_push_url(near, agency, receiver.url)
        people = [revoke_new_grant(near, agency) for _ in range(2)]
        push(near.context)

    assert [row(near, person).error for person in people] == ["invalid_request"] * 2


def test_error_code_of_receiver_is_kept_and_other_text_is_not(near: House) -> None:
    """The error is kept if it is a known code; any other text is dropped."""
    agency = near.agency()
    with endpoint() as receiver:
        receiver.status, receiver.body = 400, b'{"err": "invalid_key", "description": "Sample words"}'
        set_push_url(near, agency, receiver.url)
        person = revoke_new_grant(near, agency)
        push(near.context)
        assert (row(near, person).error, row(near, person).acknowledged_at) == ("invalid_key", None)
        receiver.body = b'{"err": "We know where you are"}'
        other = revoke_new_grant(near, agency)
        push(near.context)

    assert row(near, other).error is None, "only codes are kept"
    assert row(near, other).push_tries == 1


def test_oversized_answer_of_receiver_counts_as_a_try(near: House) -> None:
    agency = near.agency()
    with endpoint() as receiver:
        receiver.status, receiver.body = 400, b" " * 100_000
        set_push_url(near, agency, receiver.url)
        person = revoke_new_grant(near, agency)
        assert push(near.context) == 0
    assert row(near, person).push_tries == 1


@pytest.mark.parametrize(
    "body", [b"[" * 4000, b'{"err": ' * 500, b'{"err": "\\ud800"}', b"\xff", b'"invalid_key"', b""]
)
def test_malformed_answer_does_not_delay_the_next_agency(near: House, body: bytes) -> None:
    odd, there = near.agency(), near.agency()
    with endpoint() as strange, endpoint() as receiver:
        strange.status, strange.body = 400, body
        set_push_url(near, odd, strange.url)
        set_push_url(near, there, receiver.url)
        person = revoke_new_grant(near, odd)
        revoke_new_grant(near, there)
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
def test_push_to_a_trickling_receiver_ends_at_its_deadline(begin: bytes, more: bytes) -> None:
    """The deadline holds for the whole push, however slowly the bytes of the answer arrive."""
    with slow_endpoint(begin, more) as url:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            Pusher(OutgoingClient(to_loopback=True, seconds=0.5)).send(url, "token")
        assert time.monotonic() - began < 2


@contextmanager
def slow_endpoint(begin: bytes, more: bytes) -> Iterator[str]:
    """Serve a receiver that sends a few bytes, twenty times a second, for four seconds."""

    def speak() -> None:
        with listener.accept()[0] as connection, suppress(OSError):
            connection.sendall(begin)
            for _ in range(80):
                time.sleep(0.05)
                connection.sendall(more)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        speaking = threading.Thread(target=speak, daemon=True)
        speaking.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/notices"
        speaking.join()


def test_deleted_push_url_gets_no_more_notices(near: House) -> None:
    agency = near.agency()
    with endpoint() as receiver:
        set_push_url(near, agency, receiver.url)
        assert near.call(agency, "/consent/v1/notices/push", None, "DELETE").status_code == 204
        revoke_new_grant(near, agency)
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
        "https://@agency.example/",
        "https://93.184.215.14/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1:8443/",
        "https://127.1./",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://bücher.example/",
    ],
)
def test_invalid_push_url_returns_400(house: House, url: str) -> None:
    answer = house.call(house.agency(), "/consent/v1/notices/push", {"url": url}, "PUT")
    assert (answer.status_code, answer.json()["errors"][0]["member"]) == (400, "/url")


def test_push_to_loopback_without_the_setting_is_refused(house: House) -> None:
    with endpoint() as receiver:
        assert set_push_url(house, house.agency(), receiver.url) == 400
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
def test_push_to_a_non_public_address_is_refused(found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One such address among several is enough to refuse, and so is an empty list; nothing is sent."""

    def request(**_: object) -> None:
        raise AssertionError("a request was sent")

    monkeypatch.setattr("services.common.http.outgoing.httpx2.AsyncClient", request)
    pusher = Pusher(OutgoingClient(resolve=lambda _host, _port: found))
    assert pusher.fault("https://agency.example/notices") is None
    with pytest.raises(Unreachable):
        pusher.send("https://agency.example/notices", "token")


def test_push_checks_certificate_against_the_host_name(tmp_path: Path) -> None:
    """The address was resolved before, so only the TLS handshake and the header carry the host name."""
    own, trust = certificate(tmp_path, "agency.example")
    with endpoint(own, "agency.example") as receiver:
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
    """Make a certificate for a name; return a server context with it and a client context that trusts only it."""
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
