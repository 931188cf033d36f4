"""Signed JWTs are accepted with listed algorithms, public keys of the right kind, and times by our own clock."""

import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey

from services.common.auth.jose import (
    ALGORITHMS,
    FUTURE_SECONDS,
    Untrusted,
    check_claims,
    check_texts,
    check_window,
    header_of,
    key_set,
    public_key,
    verify,
)
from services.common.encoding import base64url
from tests.support.clocks import NOON

NOW = int(NOON.timestamp())
CANARY = "sample-aspen-canary"
EC, OKP, RSA = ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)
KEYS: Mapping[str, Key] = {"ES256": EC, "PS256": RSA, "Ed25519": OKP, "EdDSA": OKP}


def sign(key: Key = EC, algorithm: str = "ES256", header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    return jwt.encode({"alg": algorithm, **(header or {})}, claims, key, algorithms=[algorithm])


def compact(header: object, payload: object, signature: bytes = b"") -> str:
    """Return a JWS built by hand, which no library would sign."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64url(part) for part in parts)


def refused(token: str, key: Key | KeySet = EC) -> str:
    """Return the member that the refusal of a token names."""
    with pytest.raises(Untrusted) as caught:
        verify(token, key, "token")
    assert CANARY not in str(caught.value.fault)
    return caught.value.fault.member


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_listed_algorithm_is_accepted(algorithm: str) -> None:
    key = KEYS[algorithm]
    token = sign(key, algorithm, a=1)
    assert verify(token, key, "token").claims == {"a": 1}
    assert verify(token, key, "token").header["alg"] == algorithm


def test_the_old_name_of_ed25519_means_the_same_key() -> None:
    assert (
        verify(sign(OKP, "EdDSA", a=1), OKP, "token").claims == verify(sign(OKP, "Ed25519", a=1), OKP, "token").claims
    )


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", None, "HS256", "RS256", "ES384", ["ES256"]])
def test_unlisted_algorithm_is_refused_before_verifying(name: object) -> None:
    assert refused(compact({"alg": name}, {"a": 1})) in {"token alg", "token"}


def test_an_unsigned_token_is_refused_with_and_without_signature() -> None:
    for signature in (b"", b"x" * 64):
        assert refused(compact({"alg": "none"}, {"a": 1}, signature)).startswith("token")


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
def test_public_key_as_shared_secret_is_refused(algorithm: str) -> None:
    published = EC.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = compact({"alg": algorithm}, {"a": 1}).rpartition(".")[0]
    forged = f"{body}.{base64url(hmac.digest(published, body.encode(), sha256))}"
    assert refused(forged) == ("token alg" if algorithm == "HS256" else "token signature")


def test_another_key_of_the_same_kind_does_not_verify() -> None:
    assert refused(sign(ECKey.generate_key("P-256"), a=1)) == "token signature"


@pytest.mark.parametrize(("algorithm", "key"), [("ES256", RSA), ("ES256", OKP), ("PS256", EC), ("Ed25519", EC)])
def test_a_key_of_another_kind_does_not_verify(algorithm: str, key: Key) -> None:
    assert refused(sign(KEYS[algorithm], algorithm, a=1), key) == "token signature"


def test_changed_token_does_not_verify() -> None:
    head, payload, signature = sign(sub="a").split(".")
    other = base64url(json.dumps({"sub": CANARY}).encode())
    assert refused(f"{head}.{other}.{signature}") == "token signature"
    assert refused(f"{head}.{payload}.{base64url(bytes(64))}") == "token signature"


NAMES_OF_NOTHING: list[object] = [0, None, True, 1.5, "exp", [0], [[]], [{}]]
MUST_BE_UNDERSTOOD = [{"crit": ["exp"], "exp": NOW}, {"crit": ["b64"], "b64": False}, {"crit": ["x"]}]


@pytest.mark.parametrize("header", [*MUST_BE_UNDERSTOOD, *({"crit": names} for names in NAMES_OF_NOTHING)])
def test_unknown_critical_header_member_is_refused(header: dict[str, Any]) -> None:
    signing = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
    body = f"{base64url(json.dumps({'alg': 'ES256', **header}).encode())}.{base64url(b'{}')}"
    signature = signing.get_alg("ES256").sign(body.encode(), EC)
    assert refused(f"{body}.{base64url(signature)}").startswith("token")


def test_token_must_name_its_key_among_several() -> None:
    keys = [ECKey.generate_key("P-256") for _ in range(3)]
    for key in keys:
        key.ensure_kid()
    known = key_set([key.as_dict(private=False) for key in keys])
    assert verify(sign(keys[1], header={"kid": keys[1].kid}, a=1), known, "token").claims == {"a": 1}
    assert refused(sign(keys[1], header={"kid": keys[0].kid}, a=1), known) == "token signature"
    assert refused(sign(keys[1], header={"kid": CANARY}, a=1), known) == "token signature"


DEEP = base64url(b"[" * 50_000)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c", CANARY, f"{CANARY}.{CANARY}.{CANARY}", "é.é.é", f"{DEEP}.e30.x", "e30.e30.e30"]
    + [f"{base64url(content)}.e30." for content in (b"[]", b"1", b'"x"', b"null", b"{", b'{"alg":{}}', b"\xff")],
)
def test_garbage_is_refused_as_a_token(token: str) -> None:
    assert refused(token).startswith("token")


@pytest.mark.parametrize("payload", [b"[]", b"1", b"text", b"\xff\xfe", b"[" * 6_000])
def test_signed_payload_must_be_an_object(payload: bytes) -> None:
    assert refused(jws.serialize_compact({"alg": "ES256"}, payload, EC)) == "token signature"


@given(st.text(st.characters(codec="utf-8")) | st.binary().map(lambda raw: f"{base64url(raw)}.e30.e30"))
def test_any_text_is_refused_without_other_errors(token: str) -> None:
    with pytest.raises(Untrusted):
        header_of(token, "token")


@pytest.mark.parametrize("key", [EC, OKP, RSA], ids=["EC", "OKP", "RSA"])
def test_a_public_key_of_each_kind_can_be_used(key: Key) -> None:
    assert public_key(key.as_dict(private=False), "token").thumbprint() == key.thumbprint()


def weak_rsa() -> dict[str, str]:
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505 - weak on purpose
    return {"kty": "RSA", "n": base64url(numbers.n.to_bytes(128)), "e": base64url(numbers.e.to_bytes(3))}


UNUSABLE = {
    "private EC": EC.as_dict(private=True),
    "private OKP": OKP.as_dict(private=True),
    "private RSA": RSA.as_dict(private=True),
    "RSA of 1024 bits": weak_rsa(),
    "P-384": ECKey.generate_key("P-384").as_dict(private=False),
    "P-521": ECKey.generate_key("P-521").as_dict(private=False),
    "X25519": OKPKey.generate_key("X25519").as_dict(private=False),
    "Ed448": OKPKey.generate_key("Ed448").as_dict(private=False),
    "shared secret": OctKey.generate_key(256).as_dict(private=True),
    "not on the curve": {"kty": "EC", "crv": "P-256", "x": base64url(bytes(32)), "y": base64url(bytes(32))},
    "nothing": {},
    "null": None,
    "text": CANARY,
    "list": [EC.as_dict(private=False)],
}


@pytest.mark.filterwarnings("ignore:Key size should be")
@pytest.mark.parametrize("document", UNUSABLE.values(), ids=UNUSABLE)
def test_secret_weak_or_unknown_key_is_refused(document: object) -> None:
    with pytest.raises(Untrusted) as caught:
        public_key(document, "token")
    assert caught.value.fault.member == "token jwk"
    assert CANARY not in str(caught.value.fault)


odd = st.none() | st.integers() | st.booleans() | st.text(max_size=50) | st.lists(st.text(max_size=5), max_size=2)
members = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "use", "key_ops", "alg", "k", "d", "x5c", "kid"])


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@given(base=st.sampled_from([EC, OKP, RSA]), changed=st.dictionaries(members, odd, min_size=1))
def test_key_with_any_content_is_usable_or_refused(base: Key, changed: dict[str, object]) -> None:
    try:
        public_key({**base.as_dict(private=False), **changed}, "token")
    except Untrusted as refusal:
        assert refusal.fault.member == "token jwk"  # noqa: PT017 - being usable is as good


def window(**claims: Any) -> str | None:
    """Return the claim that is refused at noon, None if all are accepted; 60 s is the greatest age."""
    try:
        check_window(claims, NOON, "token", max_age=60)
    except Untrusted as refusal:
        return refusal.fault.member
    return None


def test_fresh_unexpired_claims_are_accepted() -> None:
    assert window(iat=NOW, nbf=NOW, exp=NOW + 1) is None
    assert window(iat=NOW - 60) is None
    assert window(iat=NOW + FUTURE_SECONDS, nbf=NOW + FUTURE_SECONDS) is None
    assert window(iat=NOW - 0.5) is None


@pytest.mark.parametrize(
    ("claims", "member"),
    [
        ({"iat": NOW, "exp": NOW}, "token exp"),
        ({"iat": NOW, "exp": NOW - 1}, "token exp"),
        ({"iat": NOW + FUTURE_SECONDS + 1}, "token iat"),
        ({"iat": NOW, "nbf": NOW + FUTURE_SECONDS + 1}, "token nbf"),
        ({"iat": NOW - 61}, "token iat"),
        ({}, "token iat"),
        ({"exp": NOW + 5}, "token iat"),
    ],
)
def test_expired_old_or_future_claims_are_refused(claims: dict[str, int], member: str) -> None:
    assert window(**claims) == member


@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", [CANARY, None, True, [NOW], {}, float("nan"), float("inf"), float("-inf")])
def test_time_that_is_not_a_number_is_refused(name: str, value: object) -> None:
    assert window(**{"iat": NOW, "exp": NOW + 60, name: value}) == f"token {name}"


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_time_of_any_size_is_accepted_or_refused(value: int) -> None:
    assert window(iat=value) == "token iat"


def test_old_token_without_max_age_is_valid_until_it_expires() -> None:
    check_window({"iat": NOW - 10**6, "exp": NOW + 1}, NOON, "token")
    with pytest.raises(Untrusted):
        check_window({"iat": NOW - 10**6, "exp": NOW + 1}, NOON + timedelta(seconds=1), "token")


def test_different_claim_is_named_with_the_expected_value() -> None:
    check_claims({"aud": "here", "more": 1}, {"aud": "here"}, "token")
    for claims in ({"aud": CANARY}, {"aud": ["here"]}, {}, {"aud": None}):
        with pytest.raises(Untrusted) as caught:
            check_claims(claims, {"aud": "here"}, "token")
        assert (caught.value.fault.member, caught.value.fault.accepted) == ("token aud", "here")
        assert CANARY not in str(caught.value.fault)


@pytest.mark.parametrize("value", [None, "", 1, ["x"], "x" * 257, "a\x00b", "a\nb", "\ud800"])
def test_malformed_text_claim_is_named(value: object) -> None:
    check_texts({"jti": "x" * 256}, ["jti"], "token")
    with pytest.raises(Untrusted) as caught:
        check_texts({"jti": value}, ["jti"], "token")
    assert caught.value.fault.member == "token jti"
