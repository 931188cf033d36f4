"""Runs intake alone, with a consent service of the test: a real HTTP server that decides as the test says."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select

from services.client import Origins, Partner, new_key, public_jwks
from services.common.clock import Clock
from services.common.database.migrations import upgrade
from services.common.encoding import base64url
from services.common.envelope import NONCE, SUITE, Envelope, part_context, part_key, read
from services.common.http.server import BackgroundServer, listen, origin
from services.common.service import Service
from services.common.settings import Settings
from services.intake import handlers, models
from services.intake import main as intake
from services.intake.context import Context
from tests.support.server import answering

Sending = dict[str, Any]
Decision = dict[str, Any]
NOTHING: Decision = {"seal": None, "statistics": None, "not_as_approved": []}
CAPACITY = {
    "program": "sample-house",
    "need": "N02",
    "region": "halifax",
    "unit": "bed",
    "total": 12,
    "available": 7,
    "as_of": "2026-01-01T04:00:00+00:00",
}


@dataclass(slots=True)
class Decider:
    """A consent service that answers `decide` for each sending, or `raw` for the whole request."""

    url: str = ""
    key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    grant: str = field(default_factory=lambda: str(uuid4()))
    decide: Callable[[Sending], Decision] = lambda _sending: NOTHING
    raw: Callable[[Sequence[Sending]], tuple[int, bytes]] | None = None
    asked: list[list[Sending]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def permit(self, *categories: str, statistics: str | None = None, epoch: int = 3) -> Decision:
        """Return a decision that permits these categories."""
        public = base64url(self.key.public_key().public_bytes_raw())
        seal = {"grant": self.grant, "public_key": public, "categories": list(categories), "epoch": epoch, "hers": []}
        return {"seal": seal, "statistics": statistics, "not_as_approved": []}

    def answer(self, sendings: list[Sending], token: str) -> tuple[int, bytes]:
        """Return the status and body of an answer."""
        self.asked.append(sendings)
        self.tokens.append(token)
        if self.raw:
            return self.raw(sendings)
        return 200, json.dumps([_with_texts(self.decide(sending), sending) for sending in sendings]).encode()

    def open(self, envelope: str) -> dict[str, Any]:
        """Return the content of an envelope, as the consent service would open it."""
        return open_parts(self.key, read(envelope))


def _with_texts(decision: Decision, sending: Sending) -> Decision:
    """Return a decision that allows the texts which were asked about, unless it names others."""
    return {**decision, "seal": {"texts": sending["texts"], **decision["seal"]}} if decision["seal"] else decision


def open_parts(key: X25519PrivateKey, envelope: Envelope) -> dict[str, Any]:
    """Return every part of an envelope; raise if the key or any byte does not fit."""
    header = envelope.header
    content_key = SUITE.decrypt(envelope.key, key, info=header.context)
    return {
        category: json.loads(
            AESGCM(part_key(content_key, category)).decrypt(NONCE, sealed, part_context(header, category))
        )
        for category, sealed in envelope.parts.items()
    }


@contextmanager
def decider() -> Iterator[Decider]:
    """Yield a decider that listens on a port."""
    made = Decider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, content = made.answer(body["sendings"], self.headers["authorization"])
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    with answering(Handler) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made


@dataclass(slots=True)
class RunningIntake:
    """Intake on its own database. Nothing is relayed, so sent events stay in the outbox for tests to read."""

    service: Service
    context: Context
    origins: Origins
    clients: ExitStack

    def agency(self, name: str = "Sample Outreach", sector: str = "ngo") -> str:
        """Add an agency and return its id, for tests that call handlers."""
        return str(handlers.add_agency(self.context, name, sector, public_jwks(new_key()), force=True).id)

    def join(self, name: str = "Sample Outreach", sector: str = "ngo") -> Partner:
        """Add an agency and return its client, for tests over HTTP."""
        key = new_key()
        row = handlers.add_agency(self.context, name, sector, public_jwks(key), force=True)
        partner = Partner.connect(self.origins, row.id, key.as_dict(private=True))
        self.clients.callback(partner.close)
        return partner

    def kept(self) -> dict[str, Any]:
        """Return every stored event, by id."""
        with self.context.database.reading() as connection:
            return {row.id: row for row in connection.execute(select(models.posted))}

    def sent(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return type, key and data of each event in the outbox except `agency.changed.v1`, oldest first."""
        return [row for row in outgoing(self.context) if row[0] != "agency.changed.v1"]


def outgoing(context: Context) -> list[tuple[str, str, dict[str, Any]]]:
    """Return type, key and data of each event in the outbox, oldest first."""
    with context.database.reading() as connection:
        rows = context.outbox.oldest(connection, 0, 100_000)
    return [(row.type, row.key, json.loads(row.payload)) for row in rows]


@contextmanager
def running_intake(
    folder: Path, consent_url: str, clock: Clock | None = None, database_url: str | None = None
) -> Iterator[RunningIntake]:
    """Yield intake on an empty database, listening, with the consent service at that URL."""
    listener = listen(0)
    own: Mapping[str, Any] = {"database_url": database_url} if database_url else {}
    settings = Settings(data=folder, public_url=origin(listener), **own)
    service = intake.build(settings, consent_url, clock)
    upgrade(intake.NAME, service.database)
    server = BackgroundServer(service.app, listener)
    server.start()
    try:
        with ExitStack() as clients:
            yield RunningIntake(service, service.app.state.context, Origins(settings.public_url), clients)  # type: ignore[attr-defined]
    finally:
        server.stop()
        service.close()


def referral(to: str, subject: str = "ppid-of-sample-aspen", **changed: Any) -> dict[str, Any]:
    """Return a referral to an agency as a sender writes it, without the members that the client adds."""
    data = {
        "to": to,
        "purpose": "referral",
        "need": "N02",
        "stage": "crisis",
        "region": "toronto",
        "urgency": "24h",
        "parts": {
            "summary": {"text": "Sample Aspen would like a quiet place."},
            "housing": {"needs": "A room of her own."},
        },
    }
    return {"type": "referral.requested.v1", "subject": subject, "data": data | changed}


def capacity(**changed: Any) -> dict[str, Any]:
    """Return a declaration of capacity, which has no subject."""
    return {"type": "capacity.declared.v1", "data": CAPACITY | changed}


def event(source: str, content: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """Return a whole event from an agency."""
    return {"specversion": "1.0", "id": str(uuid4()), "source": source, **content, **changed}
