"""The token endpoint: client credentials with `private_key_jwt` (RFC 7523) and DPoP (RFC 9449), on Authlib's core.

Rules for algorithms, audience and clocks follow the FAPI 2.0 Security Profile: an explicit algorithm list, the issuer as
the one audience (a single string), 300 s tokens that are bound to the caller's key, no refresh tokens.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from services.common.auth.access_tokens import AUDIENCE
from services.common.auth.dpop import Expected, Proof, verify_proof
from services.common.auth.jose import (
    Signed,
    Untrusted,
    check_claims,
    check_texts,
    check_window,
    header_of,
    key_set,
    verify,
)
from services.common.auth.replay import ReplayGuard
from services.common.clock import Clock
from services.common.errors import Fault, Problem

TOKEN_SECONDS = 300
ASSERTION_MAX_SECONDS = 300
ASSERTION_TYPE: str = JWTBearerClientAssertion.CLIENT_ASSERTION_TYPE
METHOD = "private_key_jwt"
GRANT = "client_credentials"
WHAT = "client_assertion"


@dataclass(frozen=True, slots=True)
class Client:
    """An agency as the authorization server sees it."""

    client_id: str
    jwks: Mapping[str, Any]
    active: bool

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Return whether this client may authenticate by this method; Authlib calls it."""
        return method == METHOD and self.active

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether this client may use this grant type; Authlib calls it."""
        return grant_type == GRANT


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to the token endpoint, independent of the web framework."""

    url: str
    form: Mapping[str, str]
    dpop: str | None


class TokenEndpoint:
    """Issues tokens. One instance serves many threads; state of one request lives in objects made for that request."""

    def __init__(
        self, issuer: str, key: OKPKey, find_client: Callable[[str], Client | None], replay: ReplayGuard, clock: Clock
    ) -> None:
        self.issuer, self.key, self.find_client, self.replay, self.clock = issuer, key, find_client, replay, clock

    def metadata(self) -> dict[str, object]:
        """Return the authorization server metadata (RFC 8414)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": f"{self.issuer}/oauth/token",
            "jwks_uri": f"{self.issuer}/jwks.json",
            "grant_types_supported": [GRANT],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": [METHOD],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256", "PS256", "Ed25519"],
            "dpop_signing_alg_values_supported": ["ES256", "PS256", "Ed25519"],
        }

    def public_keys(self) -> dict[str, Any]:
        """Return the public keys that verify tokens (RFC 7517)."""
        return {"keys": [self.key.as_dict(private=False, kid=self.key.kid, alg="Ed25519", use="sig")]}

    def issue(self, request: TokenRequest) -> dict[str, Any]:
        """Return the token answer; raise a 400 or 401 problem that also carries OAuth's `error`."""
        if request.form.get("grant_type") != GRANT:
            accepted = f"{GRANT}, in a form (application/x-www-form-urlencoded)"
            raise _refusal("unsupported_grant_type", 400, Fault("grant_type", "Missing or not offered here.", accepted))
        try:
            proof = verify_proof(request.dpop, Expected("POST", request.url), self.clock.now())
        except Untrusted as reason:
            raise _bad_proof(reason) from reason
        server = _Server(self, proof)
        status, body, _headers = server.create_token_response(request)
        if status != 200:
            raise _refusal(body["error"], status, server.fault or _default_fault(body["error"]))
        return dict(body)

    def make_token(self, client: Client, thumbprint: str) -> dict[str, Any]:
        """Return a token answer: a JWT access token (RFC 9068) bound to the key with that thumbprint."""
        now = self.clock.now()
        claims = {
            "iss": self.issuer,
            "sub": client.client_id,
            "client_id": client.client_id,
            "aud": AUDIENCE,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=TOKEN_SECONDS)).timestamp()),
            "jti": str(self.clock.new_id()),
            "cnf": {"jkt": thumbprint},
        }
        header = {"alg": "Ed25519", "typ": "at+jwt", "kid": self.key.kid}
        token = jwt.encode(header, claims, self.key, algorithms=["Ed25519"])
        return {"access_token": token, "token_type": "DPoP", "expires_in": TOKEN_SECONDS}


class _Request(OAuth2Request):  # type: ignore[misc]  # Authlib ships no types
    def __init__(self, request: TokenRequest) -> None:
        # Authlib insists on https here; whether a plain origin may be served at all is `Settings`' decision.
        super().__init__("POST", request.url.replace("http://", "https://", 1), headers={})
        self.payload = BasicOAuth2Payload(dict(request.form))

    @property
    def form(self) -> dict[str, str]:
        return dict(self.payload.data)

    @property
    def args(self) -> dict[str, str]:
        return {}


class _Server(AuthorizationServer):  # type: ignore[misc]  # as above
    """Authlib's core for one request. It sends no signals, and its answers stay plain tuples."""

    def __init__(self, endpoint: TokenEndpoint, proof: Proof) -> None:
        super().__init__()
        self.endpoint, self.proof = endpoint, proof
        self.fault: Fault | None = None
        self.register_client_auth_method(METHOD, _Assertion(self))
        self.register_grant(_Grant)
        self.register_token_generator("default", self._generate)

    def query_client(self, client_id: str) -> Client | None:
        # Asked before the signature is checked, so this may be any text; a database has no place for some characters.
        client = self.endpoint.find_client(client_id) if client_id.isprintable() else None
        if client is None:
            self.fault = Fault(f"{WHAT} sub", "Not a client of this hub.", "the client id that the operator gave you")
        return client

    def save_token(self, token: object, request: object) -> None:
        """Tokens are self-contained; an agency's standing is looked up at each use instead."""

    def create_oauth2_request(self, request: TokenRequest) -> _Request:
        return _Request(request)

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
        return status, body, headers

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Do nothing: no part of the hub uses Authlib's signals."""

    def _generate(self, client: Client, **_asked: object) -> dict[str, Any]:
        return self.endpoint.make_token(client, self.proof.thumbprint)


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]  # as above
    TOKEN_ENDPOINT_AUTH_METHODS = (METHOD,)


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]  # as above
    """Authlib's own check takes any algorithm of joserfc's default list and any audience list; both are narrowed here."""

    CLIENT_AUTH_METHOD = METHOD

    def __init__(self, server: _Server) -> None:
        super().__init__()
        self._server = server
        self._jti = ""

    def __call__(self, query_client: Any, request: Any) -> Any:
        try:
            if request.form.get("client_assertion_type") != ASSERTION_TYPE:
                raise Untrusted(Fault(f"{WHAT}_type", "Missing or not offered here.", ASSERTION_TYPE))
            header_of(request.form.get(WHAT, ""), WHAT)
            return super().__call__(query_client, request)
        except Untrusted as reason:
            self._server.fault = reason.fault
            raise InvalidClientError(description=reason.fault.detail) from reason

    def extract_assertion(self, assertion: str) -> Any:
        try:
            return super().extract_assertion(assertion)
        except RecursionError as error:
            raise InvalidClientError from error

    def resolve_client_public_key(self, client: Client) -> KeySet:
        return key_set(client.jwks["keys"])

    def process_assertion_claims(self, assertion: str, key: KeySet) -> Mapping[str, Any]:
        endpoint = self._server.endpoint
        now = endpoint.clock.now()
        claims = _verified(assertion, key).claims
        check_texts(claims, ["iss", "sub", "jti"], WHAT)
        check_claims(claims, {"aud": endpoint.issuer, "iss": claims["sub"]}, WHAT)
        check_window(claims, now, WHAT)
        if claims.get("exp", float("inf")) > now.timestamp() + ASSERTION_MAX_SECONDS:
            accepted = f"at most {ASSERTION_MAX_SECONDS} s ahead"
            raise Untrusted(Fault(f"{WHAT} exp", "Missing or too far ahead.", accepted))
        self._jti = claims["jti"]
        return claims

    def authenticate_client(self, client: Client) -> Client:
        if not client.active:
            raise Untrusted(Fault(f"{WHAT} sub", "Your agency may not act here now.", "please ask the hub's operator"))
        authenticated: Client = super().authenticate_client(client)
        self._use_up(authenticated)
        return authenticated

    def _use_up(self, client: Client) -> None:
        """Remember the assertion of an active client, then the proof beside it; raise `Untrusted` or a 400 problem.

        The proof comes second: with a copy of a used assertion, a stranger could send any number of own proofs.
        """
        endpoint = self._server.endpoint
        now = endpoint.clock.now()
        until = now + timedelta(seconds=ASSERTION_MAX_SECONDS + 60)
        if not endpoint.replay.first_use(f"assertion:{client.client_id}:{self._jti}", until):
            raise Untrusted(Fault(f"{WHAT} jti", "This assertion was used before.", "a new one for each request"))
        try:
            self._server.proof.use_up(endpoint.replay, now)
        except Untrusted as reason:
            raise _bad_proof(reason) from reason


def _verified(assertion: str, keys: KeySet) -> Signed:
    """Return the content of an assertion; raise `Untrusted`. Without a `kid` any of the client's few keys may have signed it.

    A client that names no key must not be locked out while it has two of them.
    """
    if "kid" in header_of(assertion, WHAT):
        return verify(assertion, keys, WHAT)
    *others, last = keys.keys
    for key in others:
        with suppress(Untrusted):
            return verify(assertion, key, WHAT)
    return verify(assertion, last, WHAT)


def _bad_proof(reason: Untrusted) -> Problem:
    return _refusal("invalid_dpop_proof", 400, reason.fault)


def _refusal(error: str, status: int, fault: Fault) -> Problem:
    extra = {"error": error, "error_description": fault.detail}
    headers = {"WWW-Authenticate": "DPoP"} if status == 401 else {}
    return Problem(status, error.replace("_", "-"), "No token was issued.", [fault], headers, extra)


def _default_fault(error: str) -> Fault:
    if error == "invalid_client":
        return Fault(WHAT, "Not a signed JSON object that names a client.", METHOD)
    return Fault("", "The request is not one for this endpoint.", f"{GRANT} with {METHOD}")
