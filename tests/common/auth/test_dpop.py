"""A proof is accepted once, for one request and one key (RFC 9449; FAPI 2.0)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from services.common.auth.dpop import CHALLENGE, MAX_AGE_SECONDS, Expected, verify_proof
from services.common.auth.jose import FUTURE_SECONDS, Untrusted
from services.common.auth.replay import ReplayGuard
from services.common.database.engine import Database
from tests.support.clocks import NOON
from tests.support.partner_tokens import NOW, Caller, key_pair, public, sign, thumbprint_of
from tests.support.plumbing import metadata, plumbing

METHOD, URL, TOKEN = "POST", "https://hub.example/intake/v1/events", "a.token.of-ours"
TIMEOUT = 20.0
CANARY = "sample-aspen-canary"
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def replay(database: Database) -> ReplayGuard:
    metadata.create_all(database.engine)
    return ReplayGuard(database, plumbing.replay)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def check(proof: str | None, replay: ReplayGuard, token: str | None = TOKEN) -> str:
    """Verify a proof at noon and use it up; return the thumbprint of its key."""
    verified = verify_proof(proof, Expected(METHOD, URL, token), NOON)
    verified.use_up(replay, NOON)
    return verified.thumbprint


def refused(proof: str | None, replay: ReplayGuard) -> str:
    """Return the member that the refusal of a proof names; the refusal must not repeat the sender's values."""
    with pytest.raises(Untrusted) as caught:
        check(proof, replay)
    assert CANARY not in str(caught.value.fault)
    assert caught.value.fault.detail
    return caught.value.fault.member


@sqlite
def test_valid_proof_returns_the_thumbprint_of_its_key(replay: ReplayGuard, caller: Caller) -> None:
    assert check(caller.proof(METHOD, URL, TOKEN), replay) == caller.key.thumbprint()


@sqlite
@pytest.mark.parametrize(
    ("algorithm", "caller"),
    [
        ("PS256", Caller(RSAKey.generate_key(2048))),
        ("Ed25519", Caller(OKPKey.generate_key("Ed25519"))),
        ("EdDSA", Caller(OKPKey.generate_key("Ed25519"))),
    ],
)
def test_a_proof_may_use_any_listed_algorithm(replay: ReplayGuard, algorithm: str, caller: Caller) -> None:
    assert check(caller.proof(METHOD, URL, TOKEN, {"alg": algorithm}), replay) == caller.key.thumbprint()


@sqlite
def test_proof_at_the_token_endpoint_needs_no_token(replay: ReplayGuard, caller: Caller) -> None:
    assert check(caller.proof(METHOD, URL), replay, token=None) == caller.key.thumbprint()


@sqlite
@pytest.mark.parametrize("proof", [None, "", CANARY, "a.b.c", "e30.e30."])
def test_request_without_proof_is_refused(replay: ReplayGuard, proof: str | None) -> None:
    assert refused(proof, replay).startswith("DPoP")


WRONG_CLAIMS: dict[str, list[Any]] = {
    "htm": [None, "GET", "post", "", [METHOD], CANARY],
    "htu": [None, "", 1, [URL], CANARY, "https://hub.example/intake/v1", f"{URL}/", "//hub.example/intake/v1/events"],
    "ath": [None, "", thumbprint_of("another.token"), TOKEN, CANARY],
    "jti": [None, "", 1, ["x"], "x" * 257],
    "iat": [None, "now", CANARY, True, NOW - MAX_AGE_SECONDS - 1, NOW + FUTURE_SECONDS + 1, float("nan"), float("inf")],
    "exp": [NOW, NOW - 1, CANARY],
    "nbf": [NOW + FUTURE_SECONDS + 1, CANARY],
}


@sqlite
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_CLAIMS.items() for value in values]
)
def test_a_claim_that_is_missing_or_wrong_is_named(replay: ReplayGuard, caller: Caller, name: str, value: Any) -> None:
    assert refused(caller.proof(METHOD, URL, TOKEN, None, **{name: value}), replay) == f"DPoP {name}"


@sqlite
@pytest.mark.parametrize("other", ["http://hub.example", "https://hub.example:8443", "https://other.example"])
def test_a_proof_for_another_origin_is_refused(replay: ReplayGuard, caller: Caller, other: str) -> None:
    assert refused(caller.proof(METHOD, URL.replace("https://hub.example", other), TOKEN), replay) == "DPoP htu"


@sqlite
@pytest.mark.parametrize("value", [NOW - MAX_AGE_SECONDS, NOW + FUTURE_SECONDS, NOW + 0.25])
def test_clocks_may_differ_by_some_seconds(replay: ReplayGuard, caller: Caller, value: float) -> None:
    assert check(caller.proof(METHOD, URL, TOKEN, iat=value), replay)


@sqlite
@pytest.mark.parametrize("url", ["HTTPS://Hub.Example/intake/v1/events", "https://hub.example:443/intake/v1/event%73"])
def test_proof_may_spell_its_url_in_another_way(replay: ReplayGuard, caller: Caller, url: str) -> None:
    assert check(caller.proof(METHOD, url, TOKEN), replay)


@sqlite
@pytest.mark.parametrize(
    ("header", "member"),
    [
        ({"typ": None}, "DPoP typ"),
        ({"typ": "JWT"}, "DPoP typ"),
        ({"typ": "at+jwt"}, "DPoP typ"),
        ({"jwk": None}, "DPoP jwk"),
        ({"jwk": {"kty": CANARY}}, "DPoP jwk"),
        ({"jwk": public(ECKey.generate_key("P-256"))}, "DPoP signature"),
        ({"jwk": public(RSAKey.generate_key(2048))}, "DPoP signature"),
        ({"jwk": ECKey.generate_key("P-384").as_dict(private=False)}, "DPoP jwk"),
        ({"jwk": OctKey.generate_key(256).as_dict(private=True)}, "DPoP jwk"),
    ],
)
def test_a_header_that_is_missing_or_wrong_is_named(
    replay: ReplayGuard, caller: Caller, header: dict[str, Any], member: str
) -> None:
    assert refused(caller.proof(METHOD, URL, TOKEN, header), replay) == member


@sqlite
def test_proof_with_a_private_key_in_it_is_refused(replay: ReplayGuard, caller: Caller) -> None:
    header = {"jwk": caller.key.as_dict(private=True)}
    assert refused(caller.proof(METHOD, URL, TOKEN, header), replay) == "DPoP jwk"


@sqlite
def test_key_id_beside_the_key_is_ignored(replay: ReplayGuard, caller: Caller) -> None:
    header = {"jwk": {**public(caller.key), "kid": "another"}, "kid": "a third"}
    assert check(caller.proof(METHOD, URL, TOKEN, header), replay) == caller.key.thumbprint()


@sqlite
def test_access_token_as_proof_is_refused(replay: ReplayGuard, caller: Caller) -> None:
    token = sign(caller.key, {"alg": "ES256", "typ": "at+jwt", "jwk": public(caller.key)}, {"jti": "1", "iat": NOW})
    assert refused(token, replay) == "DPoP typ"


def test_proof_is_accepted_once(replay: ReplayGuard, caller: Caller) -> None:
    proof = caller.proof(METHOD, URL, TOKEN)
    check(proof, replay)
    assert refused(proof, replay) == "DPoP jti"


def test_concurrent_copies_of_a_proof_are_accepted_once(replay: ReplayGuard, caller: Caller) -> None:
    proof, together = caller.proof(METHOD, URL, TOKEN), threading.Barrier(8)

    def attempt(_number: int) -> bool:
        together.wait(TIMEOUT)
        try:
            check(proof, replay)
        except Untrusted:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


@sqlite
def test_another_signature_of_the_same_id_is_a_replay_too(replay: ReplayGuard, caller: Caller) -> None:
    check(caller.proof(METHOD, URL, TOKEN, jti="1"), replay)
    assert refused(caller.proof(METHOD, URL, TOKEN, jti="1"), replay) == "DPoP jti"


@sqlite
def test_two_callers_may_choose_the_same_id(replay: ReplayGuard) -> None:
    for caller in (Caller(), Caller()):
        assert check(caller.proof(METHOD, URL, TOKEN, jti="1"), replay)


@sqlite
def test_a_stranger_cannot_use_up_a_callers_id(replay: ReplayGuard, caller: Caller) -> None:
    copy = Caller(key_pair()).proof(METHOD, URL, TOKEN, {"jwk": public(caller.key)}, jti="1")
    assert refused(copy, replay) == "DPoP signature"
    assert check(caller.proof(METHOD, URL, TOKEN, jti="1"), replay)


@sqlite
def test_proof_refused_for_another_reason_is_not_used_up(replay: ReplayGuard, caller: Caller) -> None:
    assert refused(caller.proof("GET", URL, TOKEN, jti="1"), replay) == "DPoP htm"
    assert check(caller.proof(METHOD, URL, TOKEN, jti="1"), replay)


@sqlite
def test_used_proof_is_remembered_while_it_could_be_fresh(replay: ReplayGuard, caller: Caller) -> None:
    proof = caller.proof(METHOD, URL, TOKEN, iat=NOW + FUTURE_SECONDS)
    check(proof, replay)
    last = NOON + timedelta(seconds=FUTURE_SECONDS + MAX_AGE_SECONDS)
    replay.forget(last)
    copy = verify_proof(proof, Expected(METHOD, URL, TOKEN), last)
    with pytest.raises(Untrusted) as caught:
        copy.use_up(replay, last)
    assert caught.value.fault.member == "DPoP jti"


def test_the_challenge_names_the_algorithms() -> None:
    assert CHALLENGE == 'DPoP algs="ES256 PS256 Ed25519"'
