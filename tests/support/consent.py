"""Runs the consent service alone, with its API on a real socket, and adds synthetic survivors and agencies."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from hashlib import sha256
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from joserfc import jwt
from joserfc.jwk import Key, KeySet, OKPKey
from sqlalchemy import ColumnElement, Table, select, text

from services.client import new_key
from services.common.auth.access_tokens import AUDIENCE, TokenKeys
from services.common.clock import Clock
from services.common.database.migrations import upgrade
from services.common.encoding import base64url, random_name
from services.common.envelope import Header
from services.common.http.certificates import of_the_library
from services.common.http.server import BackgroundServer, ByPrefix, listen, origin
from services.common.messaging.cloudevents import Event
from services.common.service import Service
from services.common.settings import Settings
from services.consent import main as consent
from services.consent.api.survivors.export import written
from services.consent.context import Context
from services.consent.credentials import Secrets
from services.consent.handlers.accounts import sessions
from services.consent.handlers.accounts.sessions import Session
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from services.consent.ledger import entries as ledger
from services.consent.store import permissions, subjects
from services.intake.sealing import seal
from tests.support.clocks import StillClock

PIN = "271828"
SUMMARY = {"text": "Sample Aspen would like a quiet place for some nights."}


class TokenSigner:
    """Signs access tokens as intake does, so that consent can be tested without intake."""

    def __init__(self, issuer: str, clock: Clock) -> None:
        self.key = OKPKey.generate_key("Ed25519")
        self.key.ensure_kid()
        self._issuer, self._clock = issuer, clock

    @property
    def public(self) -> KeySet:
        """Return the public keys that verify its tokens."""
        return KeySet([OKPKey.import_key(self.key.as_dict(private=False))])

    def token(self, agency: str, holder: Key) -> str:
        """Return an access token for an agency, valid for an hour and bound to its key."""
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "client_id": agency,
            "jti": random_name(16),
            "iat": now,
            "exp": now + 3600,
            "cnf": {"jkt": holder.thumbprint()},
        }
        return self.sign({"typ": "at+jwt"}, claims)

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """Return a JWT of any header members and claims."""
        full = {"alg": "Ed25519", "kid": self.key.kid, **header}
        return jwt.encode(full, dict(claims), self.key, algorithms=["Ed25519"])


@dataclass(slots=True)
class Agency:
    """An agency on consent's roster, with its key and its token."""

    id: str
    sector: str
    clock: Clock
    key: Key
    token: str

    def headers(self, method: str, url: str) -> dict[str, str]:
        """Return the headers of one request: access token and DPoP proof."""
        claims = {
            "htm": method,
            "htu": url,
            "iat": int(self.clock.now().timestamp()),
            "jti": random_name(24),
            "ath": base64url(sha256(self.token.encode()).digest()),
        }
        public = {name: value for name, value in self.key.as_dict(private=False).items() if name != "kid"}
        proof = jwt.encode({"alg": "ES256", "typ": "dpop+jwt", "jwk": public}, claims, self.key, algorithms=["ES256"])
        return {"authorization": f"DPoP {self.token}", "dpop": proof, "content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Person:
    """A survivor as one agency registered her."""

    subject: UUID
    ppid: str
    claim_code: str
    revoke_code: str


def forgetful_client() -> httpx2.Client:
    """Return a client that keeps no cookies, so that each request carries its own session or none."""
    return httpx2.Client(
        timeout=20.0, verify=of_the_library(), cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    )


@dataclass(slots=True)
class House:
    """The running consent service and helpers to use it. `clock` stands still until a test moves it."""

    service: Service
    context: Context
    clock: StillClock
    signer: TokenSigner
    url: str
    http: httpx2.Client = field(default_factory=forgetful_client)

    @property
    def port(self) -> int:
        """Return the port of its API."""
        return int(self.url.rpartition(":")[2])

    def agency(self, sector: str = "housing", standing: str = "active") -> Agency:
        """Add an agency and return it."""
        return join(self.context, self.signer, sector, standing)

    def person(self, agency: Agency | None = None, language: str = "en") -> Person:
        """Register a survivor at an agency (a new one by default) and return her."""
        return register(self.context, (agency or self.agency()).id, language)

    def session(self, person: Person, *, stepped_up: bool = False) -> str:
        """Return the token of a new session of hers, without the slow passphrase check."""
        return open_session(self.context, person.subject, stepped_up=stepped_up)

    def here(self, person: Person, *, stepped_up: bool = False) -> Session:
        """Return a new session of hers as handlers receive it."""
        return sessions.find_session(self.context, self.session(person, stepped_up=stepped_up))

    def allow(self, person: Person, agency: Agency, *categories: str, days: int | None = None) -> UUID:
        """Give a grant of these categories (`summary` by default) for referrals; return its id."""
        wish = Wish(agency.id, "referral", categories or ("summary",), days)
        return grants.give_grant(self.context, person.subject, wish)

    def envelope(self, grant: UUID, parts: Mapping[str, Mapping[str, Any]] | None = None, **header: Any) -> str:
        """Return an envelope sealed under a grant, as intake makes it."""
        return sealed(self.context, grant, parts or {"summary": SUMMARY}, **header)

    def call(self, agency: Agency, path: str, body: Any, method: str = "POST") -> httpx2.Response:
        """Send a request of an agency."""
        return self.http.request(method, self.url + path, json=body, headers=agency.headers(method, self.url + path))

    def open(self, agency: Agency, envelope: str) -> httpx2.Response:
        """Send a request for an opening."""
        return self.call(agency, "/consent/v1/openings", {"envelope": envelope})

    def my(
        self, method: str, path: str, token: str | None = None, body: Any = None, pin: str | None = None
    ) -> httpx2.Response:
        """Send a request of a survivor; a PIN goes into a header."""
        headers = {"cookie": f"s={token}"} if token else {}
        if pin is not None:
            headers["fireweed-pin"] = pin
        return self.http.request(method, f"{self.url}/my/v1{path}", json=body, headers=headers)

    def give_pin(self, person: Person) -> None:
        """Set her PIN to `PIN`, without the slow claim."""
        with self.context.database.transaction() as connection:
            subjects.change_subject(connection, person.subject, pin_hash=pin_hash(self.context.secrets))

    def copy(self, person: Person) -> Any:
        """Return her export as JSON, without the PIN that its route asks for."""
        return json.loads("".join(written(self.context, person.subject)))

    def ledger(self, person: Person) -> list[Any]:
        """Return her ledger entries, oldest first."""
        return ledger_of(self.context, person.subject)

    def kinds(self, person: Person) -> list[str]:
        """Return the kinds of her ledger entries, oldest first."""
        return [row.kind for row in self.ledger(person)]

    def epoch(self, person: Person) -> int:
        """Return her current epoch."""
        with self.context.database.reading() as connection:
            row = subjects.get_subject(connection, person.subject)
        assert row is not None
        return int(row.epoch)

    def rows(self, table: Table, *conditions: ColumnElement[bool]) -> list[Any]:
        """Return the rows of a table in the order of its primary key, read by a new connection."""
        with self.context.database.reading() as connection:
            return list(connection.execute(select(table).where(*conditions).order_by(*table.primary_key)))


@cache
def pin_hash(secrets: Secrets) -> str:
    """Return the hash of `PIN`, computed once because hashing is slow on purpose."""
    return secrets.pin_hash(PIN)


@contextmanager
def house(database_url: str, folder: Path, name: str = "127.0.0.1") -> Iterator[House]:
    """Serve consent on an empty database; `name` is the host name in its public URL."""
    listener = listen(0)
    address = origin(listener).replace("127.0.0.1", name)
    settings = Settings(database_url=database_url, data=folder, public_url=address)
    clock = StillClock()
    signer = TokenSigner(settings.token_issuer, clock)
    service = consent.build(settings, TokenKeys(keys=signer.public), clock)
    upgrade(consent.NAME, service.database)
    apps = dict.fromkeys(service.prefixes, service.app)
    assert service.inner_app is not None
    server = BackgroundServer(ByPrefix({**apps, "/internal": service.inner_app}), listener)
    server.start()
    made = House(service, service.app.state.context, clock, signer, settings.public_url)  # type: ignore[attr-defined]
    try:
        yield made
    finally:
        made.http.close()
        server.stop()
        service.close()


def join(context: Context, signer: TokenSigner, sector: str, standing: str = "active") -> Agency:
    """Put a new agency on consent's roster by an `agency.changed.v1` event; return it."""
    name = f"agency-{random_name(10)}"
    change_standing(context, name, sector, standing, 1)
    key = new_key()
    return Agency(name, sector, context.clock, key, signer.token(name, key))


def change_standing(
    context: Context, name: str, sector: str, standing: str, version: int, called: str | None = None
) -> None:
    """Send consent an `agency.changed.v1` event."""
    data = {
        "agency": name,
        "name": called or f"Sample {name}",
        "sector": sector,
        "standing": standing,
        "version": version,
    }
    event = Event(str(context.clock.new_id()), "intake", "agency.changed.v1", context.clock.now(), data, name)
    with context.database.transaction() as connection:
        context.roster.take(connection, event)


def register(context: Context, agency: str, language: str = "en") -> Person:
    """Register a survivor at an agency and return her."""
    made = sessions.register(context, agency, language)
    with context.database.reading() as connection:
        subject = subjects.linked(connection, [(agency, made.ppid)])[agency, made.ppid]
    return Person(subject, made.ppid, made.claim_code, made.revoke_code)


def open_session(context: Context, subject: UUID, *, stepped_up: bool = False) -> str:
    """Add a session and return its token, without the slow passphrase check."""
    token, now = random_name(32), context.clock.now()
    digest = context.secrets.session_digest(token)
    with context.database.transaction() as connection:
        subjects.add_session(connection, digest, subject, now)
        if stepped_up:
            subjects.change_session(connection, digest, stepped_up_until=now + timedelta(minutes=5))
    return token


def ledger_of(context: Context, subject: UUID) -> list[Any]:
    """Return the ledger entries of a survivor, oldest first."""
    with context.database.reading() as connection:
        return list(ledger.about(connection, subject, None, 1_000_000))[::-1]


def sealed(context: Context, grant: UUID, parts: Mapping[str, Mapping[str, Any]], **header: Any) -> str:
    """Return an envelope sealed under a grant; `header` replaces members of the header."""
    with context.database.reading() as connection:
        row = permissions.get_grant(connection, grant)
    assert row is not None
    written = {
        "id": str(context.clock.new_id()),
        "recipient": row.agency,
        "grant": str(grant),
        "epoch": row.agency_epoch,
        "type": "referral.requested.v1",
    }
    return seal(Header(**{**written, **header}), X25519PublicKey.from_public_bytes(row.public_key), parts)


@contextmanager
def without_ledger(house: House) -> Iterator[None]:
    """Rename the table of ledger entries away, so that each append fails."""
    for old, new in (("ledger_entry", "elsewhere"), ("elsewhere", "ledger_entry")):
        with house.context.database.transaction() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
        if new == "elsewhere":
            yield


def during(monkeypatch: pytest.MonkeyPatch, check: str, act: Callable[[], object]) -> None:
    """Call `act` once, while the method `check` of `Secrets` makes or checks a hash; later calls are unchanged."""
    slow = getattr(Secrets, check)

    def interrupted(self: Secrets, *arguments: str) -> Any:
        found = slow(self, *arguments)
        monkeypatch.setattr(Secrets, check, slow)
        act()
        return found

    monkeypatch.setattr(Secrets, check, interrupted)
