"""A small client of the public API for partners' connectors, the demonstration and tests; it uses HTTP only.

partner = Partner.connect("https://hub.example", client_id, private_jwk)
partner.post({"type": "capacity.declared.v1", "data": {...}})
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self
from uuid import uuid4

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, import_key

from services.common.encoding import base64url
from services.common.http.certificates import of_the_library
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE, MAX_BATCH_BODY

ALGORITHM = "ES256"
RENEW_SECONDS = 30


class Refused(Exception):
    """The hub answered with a problem, or a proxy before it answered with something else than success."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.problem: dict[str, Any] = _json(response)
        super().__init__(f"{self.status}: {self.problem.get('title', 'no problem document')}")


def new_key() -> Key:
    """Return a new key pair for a partner (ES256)."""
    key = ECKey.generate_key("P-256")
    key.ensure_kid()
    return key


def public_jwks(key: Key) -> dict[str, Any]:
    """Return the public key as the JWK set that `fireweed agency add --jwks` takes."""
    return dict(KeySet([key]).as_dict(private=False))


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins of a hub: one for everything, or some services at their own (`/intake`: ...)."""

    default: str
    own: Mapping[str, str] = field(default_factory=dict)

    def url(self, path: str) -> str:
        """Return the whole URL of a path."""
        return self.own.get("/" + path.split("/")[1], self.default) + path


@dataclass(slots=True)
class Partner:
    """An agency's system. It renews its token and sends a DPoP proof with each request."""

    origins: Origins
    client_id: str
    key: Key
    http: httpx2.Client
    _token: str = ""
    _renew_at: float = 0.0

    @classmethod
    def connect(cls, hub: str | Origins, client_id: str, private_jwk: Mapping[str, Any], timeout: float = 30.0) -> Self:
        """Return a partner of the hub at that origin or those origins."""
        origins = Origins(hub) if isinstance(hub, str) else hub
        return cls(
            origins, client_id, import_key(dict(private_jwk)), httpx2.Client(timeout=timeout, verify=of_the_library())
        )

    def post(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Post one event and return its result; `specversion`, `id` and `source` are filled in. Raise `Refused`."""
        return dict(self.call("POST", "/intake/v1/events", self.event(event), CONTENT_TYPE))

    def post_all(
        self, events: Iterator[Mapping[str, Any]], size: int = 100, most_bytes: int = MAX_BATCH_BODY
    ) -> Iterator[dict[str, Any]]:
        """Yield what became of each event, in order; raise `Refused`.

        They are posted as they come, so that a long file never has to fit in memory, in batches of at most `size` events
        and `most_bytes` bytes. An event that is larger by itself goes alone, for the hub to refuse.
        """
        for batch in _batches((_encoded(self.event(event)) for event in events), size, most_bytes):
            yield from self.call("POST", "/intake/v1/events", batch, BATCH_CONTENT_TYPE)

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return a CloudEvent made from its type, data and, if it is about one person, `subject`."""
        return {"specversion": "1.0", "id": str(uuid4()), "source": self.client_id, **event}

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Make one call with token and proof and return the decoded answer; raise `Refused`."""
        response = self.request(method, path, body, content_type)
        if not response.is_success:
            raise Refused(response)
        return response.json() if response.content else None

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> httpx2.Response:
        """Make one call with token and proof and return the response, whatever its status."""
        token = self.token()
        headers = {"authorization": f"DPoP {token}"} | ({} if body is None else {"content-type": content_type})
        content = body if isinstance(body, bytes) or body is None else _encoded(body)
        request = self.http.build_request(method, self.origins.url(path), headers=headers, content=content)
        # The URL as it is sent: characters that a URL may not hold are encoded by now.
        request.headers["dpop"] = self.proof(method, str(request.url).partition("?")[0], token)
        return self.http.send(request)

    def token(self) -> str:
        """Return an access token, a new one if the present one ends soon."""
        if time.monotonic() >= self._renew_at:
            url = self.origins.url("/intake/oauth/token")
            response = self.http.post(url, data=self.token_form(), headers={"dpop": self.proof("POST", url)})
            if not response.is_success:
                raise Refused(response)
            answer = response.json()
            self._token = str(answer["access_token"])
            self._renew_at = time.monotonic() + int(answer["expires_in"]) - RENEW_SECONDS
        return self._token

    def token_form(self) -> dict[str, str]:
        """Return the form for the token endpoint, with a new assertion."""
        now = int(time.time())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.origins.url("/intake"), "jti": str(uuid4())}
        assertion = self._sign({"typ": "JWT"}, {**claims, "iat": now, "exp": now + 60})
        return {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        """Return a DPoP proof (RFC 9449) for one request."""
        claims: dict[str, Any] = {"htm": method, "htu": url, "iat": int(time.time()), "jti": str(uuid4())}
        if token:
            claims["ath"] = base64url(sha256(token.encode()).digest())
        public = {name: value for name, value in self.key.as_dict(private=False).items() if name != "kid"}
        return self._sign({"typ": "dpop+jwt", "jwk": public}, claims)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def _sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": ALGORITHM, **header}, claims, self.key, algorithms=[ALGORITHM])


@dataclass(slots=True)
class Survivor:
    """A survivor who uses the JSON API of her own page."""

    origins: Origins
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=30.0, verify=of_the_library()))

    def claim(self, code: str) -> dict[str, str]:
        """Begin a session with a claim code and return her passphrase and PIN, which are shown once."""
        return dict(self.call("POST", "/session", {"claim_code": code}))

    def step_up(self, pin: str) -> None:
        """Send the PIN, so that the session may give grants."""
        self.call("POST", "/session/step-up", {"pin": pin})

    def allow(self, agency: str, purpose: str, categories: Sequence[str]) -> str:
        """Give a grant and return its id."""
        body = {"agency": agency, "purpose": purpose, "categories": list(categories)}
        return str(self.call("POST", "/grants", body)["id"])

    def revoke(self, grant: str) -> None:
        """Revoke a grant."""
        self.call("DELETE", f"/grants/{grant}")

    def ledger(self) -> list[dict[str, Any]]:
        """Return her newest ledger entries."""
        return list(self.call("GET", "/ledger")["entries"])

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def call(self, method: str, path: str, body: Any = None, pin: str | None = None) -> Any:
        """Make one call and return the decoded answer; raise `Refused`. The export takes the PIN in a header."""
        headers = {} if pin is None else {"fireweed-pin": pin}
        response = self.http.request(method, self.origins.url(f"/my/v1{path}"), json=body, headers=headers)
        if not response.is_success:
            raise Refused(response)
        return response.json() if response.content else None


def _encoded(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _batches(events: Iterable[bytes], size: int, most_bytes: int) -> Iterator[bytes]:
    """Yield JSON arrays of encoded events, none longer than both limits allow."""
    batch: list[bytes] = []
    length = 1
    for event in events:
        if batch and (len(batch) == size or length + len(event) + 1 > most_bytes):
            yield b"[%b]" % b",".join(batch)
            batch, length = [], 1
        batch.append(event)
        length += len(event) + 1
    if batch:
        yield b"[%b]" % b",".join(batch)


def _json(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
