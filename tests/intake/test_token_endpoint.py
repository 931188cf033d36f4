"""The token endpoint: issued tokens and their claims, and every refusal (FAPI 2.0, 5.3 and 5.4)."""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey
from sqlalchemy import select

from services.common.auth.access_tokens import AUDIENCE
from services.common.auth.jose import key_set
from services.common.auth.replay import ReplayGuard
from services.common.encoding import base64url, from_base64url
from services.common.errors import Problem
from services.intake import handlers, models
from services.intake.main import build
from services.intake.token_endpoint import TokenEndpoint, TokenRequest
from tests.support.clocks import StillClock
from tests.support.running_intake import RunningIntake

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS: Mapping[str, Callable[[], Key]] = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "PS256": lambda: RSAKey.generate_key(2048),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
}


def identified(key: Key) -> Key:
    key.ensure_kid()
    return key


@dataclass(slots=True)
class Client:
    """A partner's client of the token endpoint that can send anything."""

    endpoint: TokenEndpoint
    clock: StillClock
    id: str = ""
    algorithm: str = "ES256"
    key: Key = field(default_factory=lambda: identified(ECKey.generate_key("P-256")))

    @property
    def url(self) -> str:
        return f"{self.endpoint.issuer}/oauth/token"

    def seconds(self, offset: int = 0) -> int:
        return int(self.clock.now().timestamp()) + offset

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any], key: Key | None = None) -> str:
        """Return a signed JWT; a member that is `None` is left out."""
        full = {name: value for name, value in {"alg": self.algorithm, **header}.items() if value is not None}
        said = {name: value for name, value in claims.items() if value is not None}
        return jws.serialize_compact(full, json.dumps(said).encode(), key or self.key, algorithms=[full["alg"]])

    def assertion(self, header: Mapping[str, Any] | None = None, key: Key | None = None, **changed: Any) -> str:
        claims = {"iss": self.id, "sub": self.id, "aud": self.endpoint.issuer, "jti": str(uuid4())}
        times = {"iat": self.seconds(), "exp": self.seconds(60)}
        return self.sign({"typ": "JWT", **(header or {})}, {**claims, **times, **changed}, key)

    def proof(self, header: Mapping[str, Any] | None = None, key: Key | None = None, **changed: Any) -> str:
        public = {name: value for name, value in self.key.as_dict(private=False).items() if name != "kid"}
        claims = {"htm": "POST", "htu": self.url, "iat": self.seconds(), "jti": str(uuid4()), **changed}
        return self.sign({"typ": "dpop+jwt", "jwk": public, **(header or {})}, claims, key)

    def request(self, assertion: str | None = None, proof: str | None = None, **form: str) -> TokenRequest:
        filled = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion() if assertion is None else assertion,
        }
        return TokenRequest(self.url, filled | form, self.proof() if proof is None else proof)

    def ask(self, assertion: str | None = None, proof: str | None = None, **form: str) -> dict[str, Any]:
        return self.endpoint.issue(self.request(assertion, proof, **form))

    def refused(self, assertion: str | None = None, proof: str | None = None, **form: str) -> tuple[str, str]:
        """Return OAuth's error and the member at fault; check that the problem repeats nothing that was sent."""
        request = self.request(assertion, proof, **form)
        with pytest.raises(Problem) as caught:
            self.endpoint.issue(request)
        problem = caught.value
        assert problem.status in {400, 401}
        told = json.dumps(problem.as_json())
        for sent in (request.form["client_assertion"], request.dpop):
            assert not sent or sent not in told
        [fault] = problem.faults
        assert fault.accepted
        assert problem.extra["error_description"] == fault.detail
        return str(problem.extra["error"]), fault.member


@pytest.fixture
def client(shared_intake: RunningIntake) -> Client:
    return enrolled(shared_intake)


def enrolled(running: RunningIntake, *more: Key, **changed: Any) -> Client:
    """Return a client whose keys the hub knows."""
    client = Client(running.service.app.state.tokens, running.service.clock, **changed)  # type: ignore[attr-defined, arg-type]
    jwks = KeySet([client.key, *more]).as_dict(private=False)
    client.id = handlers.add_agency(running.context, "Sample Outreach", "ngo", dict(jwks), force=True).id
    return client


def test_token_names_its_client_and_is_bound_to_the_proofs_key(client: Client) -> None:
    answer = client.ask()
    signed = jwt.decode(answer["access_token"], client.endpoint.key, algorithms=["Ed25519"])
    assert (answer["token_type"], answer["expires_in"]) == ("DPoP", 300)
    assert sorted(answer) == ["access_token", "expires_in", "token_type"]  # no refresh token, ever
    assert signed.header == {"alg": "Ed25519", "typ": "at+jwt", "kid": client.endpoint.key.kid}
    jti = signed.claims.pop("jti")
    assert jti
    assert signed.claims == {
        "iss": client.endpoint.issuer,
        "sub": client.id,
        "client_id": client.id,
        "aud": AUDIENCE,
        "iat": client.seconds(),
        "exp": client.seconds(300),
        "cnf": {"jkt": client.key.thumbprint()},
    }


def test_no_two_tokens_have_the_same_id(client: Client) -> None:
    tokens = [client.ask()["access_token"] for _ in range(5)]
    claims = [jwt.decode(token, client.endpoint.key, algorithms=["Ed25519"]).claims for token in tokens]
    assert len({said["jti"] for said in claims}) == 5


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_client_may_sign_with_any_algorithm_of_the_profile(shared_intake: RunningIntake, algorithm: str) -> None:
    client = enrolled(shared_intake, algorithm=algorithm, key=identified(ALGORITHMS[algorithm]()))
    assert client.ask()["token_type"] == "DPoP"


def test_the_proofs_key_need_not_be_a_registered_one(client: Client) -> None:
    other = ECKey.generate_key("P-256")
    answer = client.ask(proof=client.proof({"jwk": other.as_dict(private=False)}, other))
    claims = jwt.decode(answer["access_token"], client.endpoint.key, algorithms=["Ed25519"]).claims
    assert claims["cnf"] == {"jkt": other.thumbprint()}


def test_assertion_names_its_key_among_several(shared_intake: RunningIntake) -> None:
    second = identified(ECKey.generate_key("P-256"))
    client = enrolled(shared_intake, second)
    for key in (client.key, second):
        assert client.ask(client.assertion({"kid": key.kid}, key))
    assert client.refused(client.assertion({"kid": second.kid})) == ("invalid_client", "client_assertion signature")
    assert client.refused(client.assertion({"kid": "unknown"})) == ("invalid_client", "client_assertion signature")
    # Without a name each key is tried, so that a client with one key is not locked out while a second one is added.
    assert client.ask(client.assertion())


def test_an_assertion_is_good_once(running: RunningIntake) -> None:
    client = enrolled(running)
    assertion = client.assertion()
    client.ask(assertion)
    assert client.refused(assertion) == ("invalid_client", "client_assertion jti")


def test_an_assertion_is_good_once_for_all_processes_together(running: RunningIntake) -> None:
    client = enrolled(running)
    assertion = client.assertion()
    client.ask(assertion)
    second = build(running.service.settings, "http://127.0.0.1:1", client.clock)
    client.endpoint = second.app.state.tokens  # type: ignore[attr-defined]
    assert client.refused(assertion) == ("invalid_client", "client_assertion jti")
    second.close()


def test_used_assertion_is_remembered_while_it_is_valid(running: RunningIntake) -> None:
    client = enrolled(running)
    assertion = client.assertion(exp=client.seconds(300))
    client.ask(assertion)
    client.clock.move(timedelta(seconds=299))
    ReplayGuard(running.context.database, models.plumbing.replay).forget(client.clock.now())
    assert client.refused(assertion) == ("invalid_client", "client_assertion jti")


def test_a_refused_assertion_does_not_use_up_its_id(client: Client) -> None:
    jti = str(uuid4())
    client.refused(client.assertion(jti=jti, aud="https://elsewhere.example"))
    assert client.ask(client.assertion(jti=jti))


def test_a_stranger_cannot_use_up_an_agencys_assertion_ids(client: Client) -> None:
    jti, stranger = str(uuid4()), ECKey.generate_key("P-256")
    client.refused(client.assertion(key=stranger, jti=jti))
    assert client.ask(client.assertion(jti=jti))


def used_once(running: RunningIntake) -> int:
    """Return the number of identifiers that intake remembers."""
    with running.context.database.reading() as connection:
        return len(connection.execute(select(models.plumbing.replay)).all())


def test_proofs_of_nobody_leave_no_row(running: RunningIntake) -> None:
    nobody = Client(running.service.app.state.tokens, running.service.clock, "agency-zzzzzzzzzz")  # type: ignore[attr-defined, arg-type]
    for number in range(400):
        assertion = None if number % 2 else ""
        assert nobody.refused(assertion)[0] == "invalid_client"
    assert used_once(running) == 0


def test_forged_assertions_leave_no_row(running: RunningIntake) -> None:
    """An assertion that names a known agency counts only with that agency's signature."""
    client, stranger = enrolled(running), identified(ECKey.generate_key("P-256"))
    for _ in range(5):
        assert client.refused(client.assertion(key=stranger))[1] == "client_assertion signature"
        assert client.refused(client.assertion(aud="https://elsewhere.example"))[1] == "client_assertion aud"
    assert used_once(running) == 0


def test_suspended_agency_leaves_no_row(running: RunningIntake) -> None:
    client = enrolled(running)
    handlers.set_standing(running.context, client.id, "suspended")
    for _ in range(5):
        assert client.refused() == ("invalid_client", "client_assertion sub")
    assert used_once(running) == 0


def test_proofs_beside_a_used_assertion_leave_no_row(running: RunningIntake) -> None:
    """A stranger who copied a request could otherwise send its assertion with any number of own proofs."""
    client = enrolled(running)
    assertion = client.assertion()
    client.ask(assertion)
    assert used_once(running) == 2
    for _ in range(5):
        other = ECKey.generate_key("P-256")
        proof = client.proof({"jwk": other.as_dict(private=False)}, other)
        assert client.refused(assertion, proof) == ("invalid_client", "client_assertion jti")
    assert used_once(running) == 2


@pytest.mark.parametrize(
    ("claims", "member"),
    [
        ({"aud": None}, "aud"),
        ({"aud": "https://elsewhere.example/intake"}, "aud"),
        ({"aud": ["{issuer}"]}, "aud"),
        ({"aud": ["{issuer}", "https://elsewhere.example"]}, "aud"),
        ({"aud": "{issuer}/oauth/token"}, "aud"),
        ({"aud": "{issuer}/"}, "aud"),
        ({"iss": None}, "iss"),
        ({"iss": "agency-zzzzzzzzzz"}, "iss"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
        ({"jti": "x" * 257}, "jti"),
        ({"jti": "\ud800"}, "jti"),
        ({"jti": "\x00"}, "jti"),
        ({"exp": None}, "exp"),
        ({"exp": 0}, "exp"),
        ({"exp": -1}, "exp"),
        ({"exp": 301}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": True}, "exp"),
        ({"iat": 61}, "iat"),
        ({"nbf": 61}, "nbf"),
        ({"nbf": [1]}, "nbf"),
    ],
    ids=str,
)
def test_an_assertion_that_says_anything_else_gets_no_token(
    client: Client, claims: dict[str, Any], member: str
) -> None:
    said = {name: _resolved(client, name, value) for name, value in claims.items()}
    assert client.refused(client.assertion(**said)) == ("invalid_client", f"client_assertion {member}")


@pytest.mark.parametrize("claims", [{"iat": 10}, {"nbf": 10}, {"exp": 300}, {"iat": -3600}], ids=str)
def test_clocks_may_differ_by_what_the_profile_forgives(client: Client, claims: dict[str, int]) -> None:
    said: dict[str, Any] = {name: client.seconds(value) for name, value in claims.items()}
    assert client.ask(client.assertion(**said))


@pytest.mark.parametrize(
    ("subject", "member"),
    [
        ("agency-zzzzzzzzzz", "client_assertion sub"),
        ("\x00", "client_assertion sub"),
        ("\ud800", "client_assertion sub"),
        ("", "client_assertion sub"),
        (None, "client_assertion"),
        (7, "client_assertion"),
        (["a"], "client_assertion"),
        ({"a": 1}, "client_assertion"),
    ],
)
def test_a_client_that_is_not_known_gets_no_token(client: Client, subject: object, member: str) -> None:
    assert client.refused(client.assertion(iss=subject, sub=subject)) == ("invalid_client", member)


def test_a_suspended_agency_gets_no_token_until_it_is_restored(shared_intake: RunningIntake, client: Client) -> None:
    handlers.set_standing(shared_intake.context, client.id, "suspended")
    assert client.refused() == ("invalid_client", "client_assertion sub")
    handlers.set_standing(shared_intake.context, client.id, "active")
    assert client.ask()


def test_a_stranger_does_not_learn_that_an_agency_is_suspended(shared_intake: RunningIntake, client: Client) -> None:
    stranger = ECKey.generate_key("P-256")
    before = client.refused(client.assertion(key=stranger))
    handlers.set_standing(shared_intake.context, client.id, "suspended")
    assert client.refused(client.assertion(key=stranger)) == before


def test_an_assertion_signed_by_another_key_gets_no_token(client: Client) -> None:
    stranger = identified(ECKey.generate_key("P-256"))
    for header in ({}, {"kid": client.key.kid}, {"jwk": stranger.as_dict(private=False)}):
        assertion = client.assertion(header, stranger)
        assert client.refused(assertion) == ("invalid_client", "client_assertion signature")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", 7, ["ES256"]])
def test_jwt_without_an_algorithm_gets_no_token(client: Client, algorithm: object) -> None:
    assertion = _with_header(client.assertion(), alg=algorithm)
    proof = _with_header(client.proof(), alg=algorithm)
    for signature in ("", assertion.rpartition(".")[2]):
        unsigned = [f"{text.rpartition('.')[0]}.{signature}" for text in (assertion, proof)]
        assert client.refused(unsigned[0]) == ("invalid_client", "client_assertion alg")
        assert client.refused(proof=unsigned[1]) == ("invalid_dpop_proof", "DPoP alg")


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES384", "ES512", "ES256K", "RSA1_5"])
def test_other_algorithms_get_no_token(client: Client, algorithm: str) -> None:
    assert client.refused(_with_header(client.assertion(), alg=algorithm))[1] == "client_assertion alg"
    assert client.refused(proof=_with_header(client.proof(), alg=algorithm))[1] == "DPoP alg"


def test_the_public_key_cannot_be_used_as_a_shared_secret(client: Client) -> None:
    # The library refuses to make such a key of a PEM, so the attacker's signature is made by hand.
    assert isinstance(client.key, ECKey)
    secret = client.key.as_pem(private=False)
    claims = {"iss": client.id, "sub": client.id, "aud": client.endpoint.issuer, "jti": "x", "exp": client.seconds(60)}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    forged = f"{signed}.{base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"
    assert client.refused(forged) == ("invalid_client", "client_assertion alg")


@pytest.mark.parametrize("header", [{"crit": ["urgent"], "urgent": True}, {"crit": ["b64"], "b64": False}], ids=str)
def test_unknown_critical_header_gets_no_token(client: Client, header: dict[str, Any]) -> None:
    claims = {"iss": client.id, "sub": client.id, "aud": client.endpoint.issuer, "jti": "x", "exp": client.seconds(60)}
    assert client.refused(_by_hand(client.key, header, claims))[0] == "invalid_client"
    said = {"typ": "dpop+jwt", "jwk": client.key.as_dict(private=False), **header}
    proof = {"htm": "POST", "htu": client.url, "iat": client.seconds(), "jti": "x"}
    assert client.refused(proof=_by_hand(client.key, said, proof))[0] == "invalid_dpop_proof"


def test_a_header_that_need_not_be_understood_is_passed_over(client: Client) -> None:
    claims = {"iss": client.id, "sub": client.id, "aud": client.endpoint.issuer, "jti": "x", "exp": client.seconds(60)}
    assert client.ask(_by_hand(client.key, {"vendor": "sample"}, claims))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "..",
        "é.é.é",
        base64url(b"[]") + ".e30.eA",
        base64url(b'"x"') + ".e30.eA",
        base64url(b"\xff") + ".e30.eA",
        base64url(b'{"alg":"ES256"') + ".e30.eA",
        base64url(b"[" * 2000) + ".e30.eA",
        base64url(b'{"alg":"ES256","typ":' + b"[" * 2000 + b"}") + ".e30.eA",
    ],
    ids=range(13),
)
def test_malformed_jwt_gets_no_token(client: Client, text: str) -> None:
    assert client.refused(text) == ("invalid_client", "client_assertion")
    assert client.refused(proof=text) == ("invalid_dpop_proof", "DPoP")


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b'"x"', b"7", b"\xff", b"[" * 5000], ids=range(7))
def test_signed_payload_other_than_an_object_gets_no_token(client: Client, payload: bytes) -> None:
    def signed(header: Mapping[str, Any]) -> str:
        return jws.serialize_compact({"alg": "ES256", **header}, payload, client.key, algorithms=["ES256"])

    public = client.key.as_dict(private=False)
    assert client.refused(signed({}))[0] == "invalid_client"
    assert client.refused(proof=signed({"typ": "dpop+jwt", "jwk": public}))[0] == "invalid_dpop_proof"


@pytest.mark.parametrize(
    ("form", "error", "member"),
    [
        ({"grant_type": ""}, "unsupported_grant_type", "grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type", "grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type", "grant_type"),
        ({"client_assertion_type": ""}, "invalid_client", "client_assertion_type"),
        ({"client_assertion_type": "urn:other"}, "invalid_client", "client_assertion_type"),
        ({"client_assertion": ""}, "invalid_client", "client_assertion"),
    ],
)
def test_a_form_for_something_else_is_told_what_is_offered(
    client: Client, form: dict[str, str], error: str, member: str
) -> None:
    assert client.refused(**form) == (error, member)


def test_missing_proof_gets_no_token(client: Client) -> None:
    assert client.refused(proof="") == ("invalid_dpop_proof", "DPoP")


def test_a_proof_is_good_once(running: RunningIntake) -> None:
    client = enrolled(running)
    proof = client.proof()
    client.ask(proof=proof)
    assert client.refused(proof=proof) == ("invalid_dpop_proof", "DPoP jti")


def test_two_proofs_in_one_request_are_no_proof(client: Client) -> None:
    assert client.refused(proof=f"{client.proof()}, {client.proof()}") == ("invalid_dpop_proof", "DPoP")


@pytest.mark.parametrize(
    ("claims", "member"),
    [
        ({"htm": "GET"}, "htm"),
        ({"htm": None}, "htm"),
        ({"htm": ["POST"]}, "htm"),
        ({"htu": None}, "htu"),
        ({"htu": 7}, "htu"),
        ({"htu": "https://elsewhere.example/intake/oauth/token"}, "htu"),
        ({"htu": "http://[half"}, "htu"),
        ({"jti": None}, "jti"),
        ({"jti": "\ud800"}, "jti"),
        ({"iat": None}, "iat"),
        ({"iat": -61}, "iat"),
        ({"iat": 61}, "iat"),
        ({"iat": float("nan")}, "iat"),
        ({"iat": 10**400}, "iat"),
        ({"exp": -1}, "exp"),
    ],
    ids=str,
)
def test_a_proof_of_anything_else_gets_no_token(client: Client, claims: dict[str, Any], member: str) -> None:
    said = {name: _resolved(client, name, value) for name, value in claims.items()}
    assert client.refused(proof=client.proof(**said)) == ("invalid_dpop_proof", f"DPoP {member}")


def test_a_proof_may_spell_the_url_in_another_way(client: Client) -> None:
    upper = client.url.replace("http://127", "HTTP://127").replace("oauth", "%6fauth")
    for url in (client.url + "?x=1", client.url + "#x", upper):
        assert client.ask(proof=client.proof(htu=url))


def test_a_proof_of_another_type_gets_no_token(client: Client) -> None:
    for kind in ("JWT", "at+jwt", None):
        assert client.refused(proof=client.proof({"typ": kind})) == ("invalid_dpop_proof", "DPoP typ")


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        "key",
        {},
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": "P-256", "x": 5, "y": 5},
        {"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
        {"kty": "EC", "crv": "Ed25519", "x": "AQAB", "y": "AQAB"},
        {"kty": "OKP", "crv": "P-256", "x": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "x": "AQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQA"},
        {"kty": ["EC"]},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    ],
    ids=range(12),
)
def test_a_proof_without_a_usable_public_key_gets_no_token(client: Client, jwk: object) -> None:
    proof = _with_header(client.proof(), jwk=jwk)
    assert client.refused(proof=proof) == ("invalid_dpop_proof", "DPoP jwk")


def test_a_proof_that_gives_away_its_private_key_gets_no_token(client: Client) -> None:
    private = {name: value for name, value in client.key.as_dict(private=True).items() if name != "kid"}
    proof = client.proof({"jwk": private})
    assert client.refused(proof=proof) == ("invalid_dpop_proof", "DPoP jwk")


def test_a_proof_signed_by_another_key_gets_no_token(client: Client) -> None:
    proof = client.proof(key=ECKey.generate_key("P-256"))
    assert client.refused(proof=proof) == ("invalid_dpop_proof", "DPoP signature")


def test_published_keys_verify_tokens_and_are_public(client: Client) -> None:
    published = client.endpoint.public_keys()
    [key] = published["keys"]
    assert "d" not in key
    assert (key["kid"], key["alg"], key["use"]) == (client.endpoint.key.kid, "Ed25519", "sig")
    token = client.ask()["access_token"]
    assert jwt.decode(token, key_set(published["keys"]), algorithms=["Ed25519"]).claims["sub"] == client.id


def _resolved(client: Client, name: str, value: Any) -> Any:
    """Return claims; times are offsets from now, audiences have a place for the issuer."""
    if name in {"iat", "nbf", "exp"} and isinstance(value, int) and not isinstance(value, bool) and value < 10**6:
        return client.seconds(value)
    if isinstance(value, list):
        return [_resolved(client, name, item) for item in value] if name == "aud" else value
    return value.format(issuer=client.endpoint.issuer) if name == "aud" and isinstance(value, str) else value


def _by_hand(key: Key, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return a JWT with an ES256 signature over any header, also one that the library would not sign."""
    private = key.raw_value
    assert isinstance(private, EllipticCurvePrivateKey)
    said = [json.dumps({"alg": "ES256", **header}), json.dumps(claims)]
    text = ".".join(base64url(part.encode()) for part in said)
    first, second = decode_dss_signature(private.sign(text.encode(), ECDSA(SHA256())))
    return f"{text}.{base64url(first.to_bytes(32) + second.to_bytes(32))}"


def _with_header(text: str, **changed: Any) -> str:
    """Return a JWT whose header differs from the signed one."""
    header, _, rest = text.partition(".")
    said = json.loads(from_base64url(header)) | changed
    written = {name: value for name, value in said.items() if value is not None}
    return f"{base64url(json.dumps(written).encode())}.{rest}"
