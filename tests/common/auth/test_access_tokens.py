"""The access gate accepts the holder of a fresh token and of the key to which it is bound."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Request
from joserfc.jwk import KeySet, OKPKey
from sqlalchemy import select
from starlette.testclient import TestClient

from services.common.auth.access_tokens import AccessGate, TokenKeys, VerifiedTokens
from services.common.auth.access_tokens import Caller as TheCaller
from services.common.auth.jose import Signed
from services.common.auth.replay import ReplayGuard
from services.common.database.engine import Database
from services.common.errors import Problem
from services.common.http.app import create_app
from services.common.http.rate_limit import RateLimits
from services.common.http.server import BackgroundServer, listen, origin
from tests.support.clocks import StillClock
from tests.support.partner_tokens import ISSUER, NOW, Caller, Issuer
from tests.support.plumbing import metadata, plumbing

HUB = "https://hub.example"
PATH = "/intake/v1/events"
CANARY = "sample-aspen-canary"
routes = APIRouter()


@routes.api_route("/intake/v1/events", methods=["GET", "POST"])
@routes.get("/intake/v1/events/{event_id:path}")
def who(caller: TheCaller, event_id: str = "", cursor: str = "") -> dict[str, str]:
    return {"caller": caller, "event": event_id}


class GatedRoute:
    """A route behind the gate, and a caller."""

    def __init__(self, database: Database) -> None:
        self.clock, self.issuer, self.caller = StillClock(), Issuer(), Caller()
        self.standings: dict[str, str] = {"agency-a": "active"}
        self.gate = AccessGate(
            keys=TokenKeys(keys=KeySet([self.issuer.key])),
            issuer=ISSUER,
            public_url=HUB,
            replay=ReplayGuard(database, plumbing.replay),
            clock=self.clock,
            standing=self.standings.get,
            limits=RateLimits(self.clock),
        )
        self.http = TestClient(create_app("test", "", [routes], gate=self.gate), base_url=HUB)

    def token(self, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        return self.issuer.token(self.caller.key, header, **claims)

    def call(self, token: str, proof: str | None = None, *, method: str = "GET", path: str = PATH) -> Any:
        """Request the route with a token, and with a valid proof unless another is given; return the response."""
        proof = self.caller.proof(method, HUB + path.partition("?")[0], token) if proof is None else proof
        return self.http.request(method, path, headers={"authorization": f"DPoP {token}", "dpop": proof})

    def refused(self, answer: Any, status: int = 401) -> str:
        """Return the member that a refusal names."""
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert CANARY not in answer.text
        return str(answer.json()["errors"][0]["member"])


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[GatedRoute]:
    with closing(Database(f"sqlite:///{tmp_path / 'replay.sqlite'}")) as database:
        metadata.create_all(database.engine)
        yield GatedRoute(database)


def test_holder_of_token_and_key_is_accepted(gated: GatedRoute) -> None:
    assert gated.call(gated.token()).json() == {"caller": "agency-a", "event": ""}
    assert gated.call(gated.token(), method="POST").json() == {"caller": "agency-a", "event": ""}


def test_token_serves_many_requests_with_a_new_proof_each(gated: GatedRoute) -> None:
    token = gated.token()
    assert [gated.call(token).status_code for _ in range(3)] == [200, 200, 200]
    proof = gated.caller.proof("GET", HUB + PATH, token)
    assert gated.call(token, proof).status_code == 200
    assert gated.refused(gated.call(token, proof)) == "DPoP jti"


def test_proof_does_not_cover_the_query(gated: GatedRoute) -> None:
    assert gated.call(gated.token(), path=f"{PATH}?cursor=abc").status_code == 200


@pytest.mark.parametrize("name", ["a%2Fb", "a%3Fb", "%25", "a%20b", "%C3%A9"])
def test_proof_covers_the_path_before_decoding(gated: GatedRoute, name: str) -> None:
    assert gated.call(gated.token(), path=f"{PATH}/{name}").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "DPoP"},
        {"authorization": "DPoP "},
        {"authorization": "Basic YTpi"},
        {"authorization": CANARY},
    ],
)
def test_request_without_token_is_refused(gated: GatedRoute, headers: dict[str, str]) -> None:
    answer = gated.http.get(PATH, headers=headers)
    assert gated.refused(answer) == "Authorization"
    assert answer.headers["www-authenticate"].startswith("DPoP ")


def test_bound_token_as_bearer_token_is_refused(gated: GatedRoute) -> None:
    token = gated.token()
    assert gated.refused(gated.http.get(PATH, headers={"authorization": f"Bearer {token}"})) == "Authorization"
    assert gated.refused(gated.http.get(PATH, headers={"authorization": f"DPoP {token}"})) == "DPoP"


def test_the_scheme_may_be_spelt_in_any_case(gated: GatedRoute) -> None:
    token = gated.token()
    headers = {"authorization": f"dpop {token}", "dpop": gated.caller.proof("GET", HUB + PATH, token)}
    assert gated.http.get(PATH, headers=headers).status_code == 200


WRONG_CLAIMS: dict[str, list[Any]] = {
    "exp": [NOW, NOW - 1, None, "never", True],
    "iss": [None, "https://other.example/intake", CANARY, [ISSUER]],
    "aud": [None, "urn:other:hub", CANARY, ["urn:fireweed:hub", CANARY]],
    "client_id": [None, "", 1, "x" * 257],
    "jti": [None, "", 1],
    "iat": [NOW + 11, "now"],
    "nbf": [NOW + 11, "now"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_CLAIMS.items() for value in values]
)
def test_token_with_missing_or_wrong_claim_is_refused(gated: GatedRoute, name: str, value: Any) -> None:
    assert gated.refused(gated.call(gated.token(None, **{name: value}))) == f"access token {name}"


@pytest.mark.parametrize("kind", ["JWT", "dpop+jwt", None, CANARY])
def test_signed_jwt_of_another_type_is_refused_as_token(gated: GatedRoute, kind: str | None) -> None:
    assert gated.refused(gated.call(gated.token({"typ": kind}))) == "access token typ"


def test_token_by_another_signer_is_refused(gated: GatedRoute) -> None:
    assert gated.refused(gated.call(Issuer().token(gated.caller.key))) == "access token signature"


@pytest.mark.parametrize("token", [CANARY, "a.b.c", "eyJhbGciOiJub25lIn0.e30.", f"{CANARY}.e30.e30"])
def test_garbage_as_token_is_refused(gated: GatedRoute, token: str) -> None:
    assert gated.refused(gated.call(token)).startswith("access token")


def test_stolen_token_without_its_key_is_refused(gated: GatedRoute) -> None:
    token, thief = gated.token(), Caller()
    assert gated.refused(gated.call(token, thief.proof("GET", HUB + PATH, token))) == "access token cnf"


@pytest.mark.parametrize("cnf", [None, {}, {"jkt": ""}, {"x5t#S256": CANARY}])
def test_token_without_bound_key_is_refused(gated: GatedRoute, cnf: object) -> None:
    assert gated.refused(gated.call(gated.token(cnf=cnf))) == "access token cnf"


def test_proof_for_other_token_method_or_path_is_refused(gated: GatedRoute) -> None:
    token = gated.token()
    for member, proof in {
        "DPoP ath": gated.caller.proof("GET", HUB + PATH, gated.token()),
        "DPoP htm": gated.caller.proof("POST", HUB + PATH, token),
        "DPoP htu": gated.caller.proof("GET", f"{HUB}/consent/v1/openings", token),
    }.items():
        answer = gated.call(token, proof)
        assert gated.refused(answer) == member
        assert 'error="invalid_dpop_proof"' in answer.headers["www-authenticate"]


def test_request_with_two_proofs_is_refused(gated: GatedRoute) -> None:
    token = gated.token()
    proofs = [("dpop", gated.caller.proof("GET", HUB + PATH, token)) for _ in range(2)]
    answer = gated.http.get(PATH, headers=[("authorization", f"DPoP {token}"), *proofs])
    assert gated.refused(answer).startswith("DPoP")


def test_remembered_token_expires_at_its_time(gated: GatedRoute) -> None:
    token = gated.token()
    assert gated.call(token).status_code == 200
    gated.clock.move(timedelta(seconds=300))
    proof = gated.caller.proof("GET", HUB + PATH, token, iat=NOW + 300)
    assert gated.refused(gated.call(token, proof)) == "access token exp"


@pytest.mark.parametrize("standing", ["suspended", None, "", CANARY])
def test_inactive_agency_gets_403_without_details(gated: GatedRoute, standing: str | None) -> None:
    token = gated.token()
    assert gated.call(token).status_code == 200
    gated.standings |= {"agency-a": standing or ""}
    if standing is None:
        del gated.standings["agency-a"]
    answer = gated.call(token)
    assert answer.status_code == 403
    assert answer.json() == {
        "type": "urn:fireweed:problem:not-active",
        "title": "Your agency may not act here now. Please ask the hub's operator.",
        "status": 403,
    }


def used_once(database: Database) -> int:
    """Return the number of identifiers that a service remembers."""
    with database.reading() as connection:
        return len(connection.execute(select(plumbing.replay)).all())


def test_proofs_without_a_known_client_leave_no_row(database: Database) -> None:
    metadata.create_all(database.engine)
    gated, thief = GatedRoute(database), Caller()
    token = gated.token()
    for _ in range(5):
        assert gated.refused(gated.call(CANARY)).startswith("access token")
        assert gated.refused(gated.call(Issuer().token(gated.caller.key))) == "access token signature"
        assert gated.refused(gated.call(token, thief.proof("GET", HUB + PATH, token))) == "access token cnf"
    assert used_once(database) == 0
    assert gated.call(token).status_code == 200
    assert used_once(database) == 1


def test_proofs_of_an_inactive_agency_leave_no_row(database: Database) -> None:
    metadata.create_all(database.engine)
    gated = GatedRoute(database)
    gated.standings["agency-a"] = "suspended"
    assert [gated.call(gated.token()).status_code for _ in range(5)] == [403] * 5
    assert used_once(database) == 0


def test_standing_of_an_agency_is_not_told_to_strangers(gated: GatedRoute) -> None:
    gated.standings.clear()
    assert gated.call(Issuer().token(gated.caller.key)).status_code == 401


def test_signature_is_verified_once_per_token() -> None:
    """One token's verified signature never counts for another token."""
    seen, checks = VerifiedTokens(), list[str]()

    def check(token: str) -> Signed:
        checks.append(token)
        return Signed({}, {"token": token})

    for token in ("a", "b", "a", "a", "b"):
        assert seen.get(token, lambda token=token: check(token)).claims == {"token": token}  # type: ignore[misc]
    assert checks == ["a", "b"]


def test_token_that_fails_verification_is_not_remembered() -> None:
    seen = VerifiedTokens()

    def fail() -> Signed:
        raise LookupError

    for _time in range(2):
        with pytest.raises(LookupError):
            seen.get("a", fail)


def test_number_of_remembered_tokens_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.common.auth.access_tokens.KEPT_TOKENS", 3)
    seen = VerifiedTokens()
    for number in range(10):
        seen.get(str(number), lambda: Signed({}, {}))
    assert len(seen._kept) == 3


key_routes = APIRouter()


@key_routes.get("/jwks.json")
def published(request: Request) -> Any:
    if request.app.state.answers.pop(0) == "keys":
        return {"keys": [request.app.state.key.as_dict(private=False)]}
    raise Problem(500, "test", "test")


def test_keys_from_a_url_stay_after_a_failed_read() -> None:
    listener = listen(0)
    key = OKPKey.generate_key("Ed25519")
    app = create_app("test", "", [key_routes], key=key, answers=["fails", "keys", "fails"])
    server = BackgroundServer(app, listener)
    server.start()
    try:
        keys = TokenKeys(url=f"{origin(listener)}/jwks.json")
        with pytest.raises(Problem) as caught:
            keys.current()
        assert (caught.value.status, "Retry-After" in caught.value.headers) == (503, True)
        assert [key.thumbprint() for key in keys.current().keys] == [key.thumbprint()]
        keys.refresh()
        assert [key.thumbprint() for key in keys.current().keys] == [key.thumbprint()]
    finally:
        server.stop()
