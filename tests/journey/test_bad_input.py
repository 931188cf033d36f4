"""Every kind of bad input over HTTP: refused with a problem, nothing repeated, nothing stored."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Event
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey
from sqlalchemy import select, text

import schemas
from services.client import Partner
from services.common.auth.jose import load_signing_key
from services.common.database.engine import Database
from services.common.encoding import base64url, from_base64url
from services.common.http.app import MAX_BODY
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE, MAX_BATCH_BODY
from services.intake import consent_client
from services.intake.models import plumbing, posted
from tests.support.hubs import TestHub, embedded_hub, eventually
from tests.support.people import Person, meet, referral, send, waiting
from tests.support.running_intake import capacity, decider, running_intake

pytestmark = pytest.mark.backend("sqlite", "local_log")
EVENTS, TOKEN, OPENINGS = "/intake/v1/events", "/intake/oauth/token", "/consent/v1/openings"
PROBLEM = "application/problem+json"
HUB = "urn:fireweed:hub"
THREADS = 8
# In every value that a test sends; so it must be in no answer.
MARK = "Cedarwaxwing"


@dataclass(slots=True)
class World:
    """A hub with three agencies and a person who lets the shelter have her summary."""

    hub: TestHub
    outreach: Partner
    shelter: Partner
    clinic: Partner
    person: Person
    intake: Database
    log: Database
    strangers_key: Key = field(default_factory=lambda: ECKey.generate_key("P-256"))

    def stored(self) -> tuple[set[Any], set[Any]]:
        """Return every stored event, and every agency's event that is in the outbox or on the bus.

        The relay writes to the bus before it empties the outbox, so reading in this order misses nothing.
        """
        with self.intake.reading() as connection:
            kept = {(row.source, row.id, row.status) for row in connection.execute(select(posted))}
            waits = connection.scalars(select(plumbing.outbox.table.c.headers)).all()
        with self.log.reading() as connection:
            left = connection.scalars(text("SELECT headers FROM record")).all()
        named = [json.loads(headers) for headers in (*waits, *left)]
        return kept, {(it["ce_source"], it["ce_id"]) for it in named if it["ce_source"].startswith("agency-")}

    @contextmanager
    def nothing_stored(self) -> Iterator[None]:
        """Check that the block leaves no event behind."""
        before = self.stored()
        yield
        assert self.stored() == before

    def referral(self, **changed: Any) -> dict[str, Any]:
        """Return an event that would be accepted."""
        parts = {"summary": {"text": f"{MARK} would like a quiet place."}}
        return self.outreach.event(referral(self.person, self.shelter, parts=parts, **changed))

    def token_key(self) -> OKPKey:
        """Return the key with which this hub signs its tokens."""
        return load_signing_key((self.hub.settings.keys_folder / "intake" / "token-key.json").read_bytes())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with embedded_hub(tmp_path_factory.mktemp("hub")) as hub:
        outreach, shelter = hub.join("Sample Outreach", "ngo"), hub.join("Sample Shelter", "housing")
        clinic = hub.join("Sample Clinic", "health")
        person = meet(hub, outreach)
        person.page.allow(shelter.client_id, "referral", ["summary"])
        databases = [hub.settings.database("intake"), f"sqlite:///{hub.settings.data / 'log.sqlite'}"]
        intake, log = map(Database, databases)
        with closing(intake), closing(log):
            yield World(hub, outreach, shelter, clinic, person, intake, log)


def post(partner: Partner, body: Any, content_type: str = CONTENT_TYPE, **headers: str) -> httpx2.Response:
    """Post a body of bytes or of JSON; `headers` replace those of a correct client."""
    url, token = partner.origins.url(EVENTS), partner.token()
    good = {
        "authorization": f"DPoP {token}",
        "dpop": partner.proof("POST", url, token),
        "content-type": content_type,
    }
    content = body if isinstance(body, bytes) or callable(body) else json.dumps(body).encode()
    return partner.http.post(url, content=content() if callable(content) else content, headers=good | headers)


def refused(answer: httpx2.Response, status: int, *members: str, sent: tuple[str, ...] = ()) -> dict[str, Any]:
    """Check that the answer is a problem that names these members with accepted values and repeats nothing; return it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:fireweed:problem:")
    assert problem["title"]
    faults = {fault["member"]: fault for fault in problem.get("errors", [])}
    assert set(members) == faults.keys()
    for fault in faults.values():
        assert fault["detail"]
        assert fault["accepted"]
    for value in (MARK, *sent):
        assert value not in answer.text
    return problem


# --- Malformed JSON, unknown type or category, a property too many ----------------------------------------------------

NO_JSON = {
    "nothing": b"",
    "half an object": b'{"type": "%s' % MARK.encode(),
    "words": MARK.encode(),
    "single quotes": b"{'type': 'x'}",
    "a trailing comma": b'{"type": "x",}',
    "two documents": b"{} {}",
    "not a number": b'{"data": {"total": NaN}}',
    "an infinite number": b'{"data": {"total": 1e400}}',
    "half of a surrogate pair": b'{"subject": "\\ud800"}',
    "bytes that are no UTF-8": b'{"subject": "\xe9"}',
    "UTF-16": json.dumps({"type": MARK}).encode("utf-16"),
    "far too deep": b"[" * 100_000,
    "a little too deep": b"[" * 33 + b"]" * 33,
}


@pytest.mark.parametrize("content_type", [CONTENT_TYPE, BATCH_CONTENT_TYPE])
@pytest.mark.parametrize("name", NO_JSON)
def test_malformed_json_is_refused(world: World, name: str, content_type: str) -> None:
    with world.nothing_stored():
        refused(post(world.outreach, NO_JSON[name], content_type), 400, "")


@pytest.mark.parametrize("document", [None, 7, "words", True, []])
def test_json_other_than_an_object_is_refused(world: World, document: object) -> None:
    with world.nothing_stored():
        refused(post(world.outreach, document), 422, "")


@pytest.mark.parametrize("document", [None, 7, "words", {}, {"events": []}])
def test_batch_other_than_an_array_is_refused(world: World, document: object) -> None:
    with world.nothing_stored():
        refused(post(world.outreach, document, BATCH_CONTENT_TYPE), 400, "")


NO_TEXT: tuple[object, ...] = ("left out", None, 7, ["x"], "")
LACKING = [(name, value) for name in ("specversion", "id", "source", "type", "data") for value in NO_TEXT]


@pytest.mark.parametrize(
    ("name", "value"), [*LACKING, *[(name, {"x": MARK}) for name in ("id", "source", "type")]], ids=str
)
def test_an_event_without_a_needed_attribute_is_refused(world: World, name: str, value: object) -> None:
    event = world.referral() | {name: value}
    if value == "left out":
        del event[name]
    with world.nothing_stored():
        refused(post(world.outreach, event), 422, f"/{name}")


@pytest.mark.parametrize(
    "kind", ["referral.imagined.v1", "referral.requested.v2", f"{MARK}.v1", "Referral.Requested.v1"]
)
def test_an_unknown_type_is_refused(world: World, kind: str) -> None:
    with world.nothing_stored():
        problem = refused(post(world.outreach, world.referral() | {"type": kind}), 422, "/type", sent=(kind,))
    assert "referral.requested.v1" in problem["errors"][0]["accepted"]


INTERNAL = sorted(set(schemas.event_types()) - set(schemas.event_types("agency")))


@pytest.mark.parametrize("kind", INTERNAL)
def test_a_type_of_the_hubs_own_is_refused_even_with_valid_data(world: World, kind: str) -> None:
    example = min((Path(schemas.__file__).parent / "examples" / kind).glob("valid-*.json"))
    event = world.outreach.event({"type": kind, "data": json.loads(example.read_text("utf-8"))})
    with world.nothing_stored():
        refused(post(world.outreach, event), 422, "/type", sent=(kind,))


def test_unknown_category_is_refused_with_the_known_ones(world: World) -> None:
    event = world.referral()
    event["data"]["parts"]["diary"] = {"text": MARK}
    with world.nothing_stored():
        problem = refused(post(world.outreach, event), 422, "/data/parts", sent=("diary",))
    assert set(problem["errors"][0]["accepted"].split(", ")) == schemas.code_set("categories")


@pytest.mark.parametrize(
    ("name", "codes"),
    [("purpose", "purposes"), ("need", "needs"), ("stage", "stages"), ("region", "regions"), ("urgency", "urgencies")],
)
@pytest.mark.parametrize("value", [MARK, "", 7, None, ["N02"], {"code": "N02"}], ids=str)
def test_unknown_code_is_refused_with_the_known_ones(world: World, name: str, codes: str, value: object) -> None:
    with world.nothing_stored():
        problem = refused(post(world.outreach, world.referral(**{name: value})), 422, f"/data/{name}")
    assert set(problem["errors"][0]["accepted"].split(", ")) == schemas.code_set(codes)


@pytest.mark.parametrize(
    ("place", "member"),
    [
        ((), ""),
        (("data",), "/data"),
        (("data", "parts"), "/data/parts"),
        (("data", "parts", "summary"), "/data/parts/summary"),
    ],
    ids=["the event", "its data", "its parts", "one part"],
)
@pytest.mark.parametrize("name", ["notes", MARK, "", "a/b~c"])
def test_a_property_too_many_is_refused_wherever_it_is(
    world: World, place: tuple[str, ...], member: str, name: str
) -> None:
    event = inner = world.referral()
    for step in place:
        inner = inner[step]
    inner[name] = f"{MARK} told me this in confidence."
    with world.nothing_stored():
        problem = refused(post(world.outreach, event), 422, member)
    assert name not in [step for fault in problem["errors"] for step in fault["member"].split("/") if step]


@pytest.mark.parametrize("name", ["data_base64", "partitionkey", "tracestate", "authid"])
def test_extension_attribute_is_refused(world: World, name: str) -> None:
    with world.nothing_stored():
        refused(post(world.outreach, world.referral() | {name: "eA"}), 422, "", sent=(name,))


def test_a_missing_member_is_named(world: World) -> None:
    event = world.referral()
    del event["data"]["urgency"], event["data"]["parts"]
    with world.nothing_stored():
        refused(post(world.outreach, event), 422, "/data/urgency", "/data/parts")


@pytest.mark.parametrize("parts", [{}, {"summary": {}}, {"summary": {"text": ""}}, {"summary": MARK}, []], ids=str)
def test_parts_without_content_are_refused(world: World, parts: object) -> None:
    with world.nothing_stored():
        answer = post(world.outreach, world.outreach.event(referral(world.person, world.shelter, parts=parts)))
    problem = answer.json()
    assert answer.status_code == 422
    assert all(fault["member"].startswith("/data/parts") and fault["accepted"] for fault in problem["errors"])


def test_too_long_text_is_refused_without_repeating_it(world: World) -> None:
    parts = {"summary": {"text": f"{MARK} " * 1000}}
    event = world.outreach.event(referral(world.person, world.shelter, parts=parts))
    with world.nothing_stored():
        problem = refused(post(world.outreach, event), 422, "/data/parts/summary/text")
    assert problem["errors"][0]["accepted"] == "at most 4000 characters"


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "application/cloudevents+xml", "", "application/cloudevents+jsonx"],
)
def test_other_content_type_returns_415_with_the_accepted_ones(world: World, content_type: str) -> None:
    with world.nothing_stored():
        problem = refused(post(world.outreach, world.referral(), content_type), 415, "Content-Type")
    assert problem["errors"][0]["accepted"] == f"{CONTENT_TYPE} or {BATCH_CONTENT_TYPE}"


# --- A body over 256 kB, a batch over 12 MB or over 500 events -----------------------------------------------------------


def in_pieces(size: int) -> Callable[[], Iterator[bytes]]:
    """Return a body whose length is not announced."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, 16_384):
            yield b" " * min(16_384, size - start)

    return pieces


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("content_type", "limit"), [(CONTENT_TYPE, MAX_BODY), (BATCH_CONTENT_TYPE, MAX_BATCH_BODY)])
def test_body_over_its_limit_returns_413_if_announced(world: World, content_type: str, limit: int, times: int) -> None:
    with world.nothing_stored():
        problem = refused(post(world.outreach, b" " * (times * limit + 1), content_type), 413, "")
    assert problem["errors"][0]["accepted"] == f"at most {limit} bytes"


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("content_type", "limit"), [(CONTENT_TYPE, MAX_BODY), (BATCH_CONTENT_TYPE, MAX_BATCH_BODY)])
def test_body_over_its_limit_returns_413_if_not_announced(
    world: World, content_type: str, limit: int, times: int
) -> None:
    with world.nothing_stored():
        refused(post(world.outreach, in_pieces(times * limit + 1), content_type), 413, "")


def test_a_body_of_256_kb_is_taken(world: World) -> None:
    event = json.dumps(world.outreach.event(capacity())).encode()
    assert post(world.outreach, event.ljust(MAX_BODY)).status_code == 202


@pytest.mark.parametrize(
    ("path", "limit"),
    # A batch of openings holds up to 200 envelopes.
    [(TOKEN, MAX_BODY), (OPENINGS, 4 * 1024 * 1024), ("/consent/v1/subjects", MAX_BODY), ("/my/v1/session", MAX_BODY)],
)
@pytest.mark.parametrize("announced", [True, False])
def test_large_body_returns_413_on_every_route(world: World, path: str, limit: int, announced: bool) -> None:
    url, token = world.outreach.origins.url(path), world.outreach.token()
    headers = {
        "authorization": f"DPoP {token}",
        "dpop": world.outreach.proof("POST", url, token),
        "content-type": "application/x-www-form-urlencoded" if path == TOKEN else "application/json",
    }
    content = b" " * (limit + 1) if announced else in_pieces(limit + 1)()
    refused(world.outreach.http.post(url, content=content, headers=headers), 413, "")


def test_a_batch_over_500_is_refused_whole(world: World) -> None:
    batch = [world.outreach.event(capacity()) for _ in range(501)]
    with world.nothing_stored():
        problem = refused(post(world.outreach, batch, BATCH_CONTENT_TYPE), 413, "")
    assert problem["errors"][0]["accepted"] == "1 to 500 events"


def test_an_empty_batch_is_refused(world: World) -> None:
    with world.nothing_stored():
        refused(post(world.outreach, [], BATCH_CONTENT_TYPE), 400, "")


# --- Whose, about whom, when ------------------------------------------------------------------------------------------


def test_a_source_that_is_not_the_caller_is_refused(world: World) -> None:
    for source in (world.shelter.client_id, "agency-zzzzzzzzzz", "intake", MARK):
        with world.nothing_stored():
            refused(post(world.outreach, world.referral() | {"source": source}), 422, "/source", sent=(source,))


def test_unusable_ppids_get_one_answer(world: World) -> None:
    elsewhere = meet(world.hub, world.clinic)
    erased = meet(world.hub, world.outreach)
    erased.page.call("DELETE", "", {"pin": erased.pin})
    unlinked = ["a" * 26, world.outreach.client_id, MARK, elsewhere.ppid, erased.ppid]
    event = world.referral()
    with world.nothing_stored():
        answers = [post(world.outreach, event | {"subject": ppid}) for ppid in unlinked]
        needs = [
            post(world.outreach, event | {"subject": ppid, "type": "need.recorded.v1", "data": _need()})
            for ppid in unlinked
        ]
    for answer, ppid in zip(answers, unlinked, strict=True):
        assert (answer.status_code, answer.json()["status"]) == (202, "withheld")
        assert ppid not in answer.text
    for group in (answers, needs):
        assert len({(answer.content, *answer.headers.items()) for answer in group}) == 1


@pytest.mark.parametrize("subject", ["\x00", "two words", "é", "x" * 65, "", 7, ["x"], {"x": MARK}], ids=str)
def test_a_ppid_that_could_not_be_one_is_refused(world: World, subject: object) -> None:
    with world.nothing_stored():
        refused(post(world.outreach, world.referral() | {"subject": subject}), 422, "/subject")


def test_an_event_about_a_person_needs_its_subject(world: World) -> None:
    for kind, data in (("referral.requested.v1", world.referral()["data"]), ("need.recorded.v1", _need())):
        with world.nothing_stored():
            refused(post(world.outreach, world.outreach.event({"type": kind, "data": data})), 422, "/subject")


def test_an_event_about_nobody_may_have_no_subject(world: World) -> None:
    with world.nothing_stored():
        answer = post(world.outreach, world.outreach.event(capacity() | {"subject": world.person.ppid}))
        refused(answer, 422, "/subject", sent=(world.person.ppid,))


def test_an_agency_cannot_refer_to_itself(world: World) -> None:
    with world.nothing_stored():
        answer = post(world.outreach, world.outreach.event(referral(world.person, world.outreach)))
        refused(answer, 422, "/data/to", sent=(world.outreach.client_id,))


def test_a_time_far_in_the_future_is_refused(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=2)
    for when in (soon.isoformat(), "2999-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"):
        with world.nothing_stored():
            refused(post(world.outreach, world.referral() | {"time": when}), 422, "/time", sent=(when,))


def test_a_time_a_little_ahead_is_taken_since_clocks_differ(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert post(world.outreach, world.referral() | {"time": soon.isoformat()}).status_code == 202


@pytest.mark.parametrize(
    "when",
    ["yesterday", "", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", 1767225600, ["x"]],
    ids=str,
)
def test_a_time_that_cannot_be_read_is_refused(world: World, when: object) -> None:
    with world.nothing_stored():
        refused(post(world.outreach, world.referral() | {"time": when}), 422, "/time")


# --- Who sends: tokens, proofs, assertions ----------------------------------------------------------------------------


def signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key, algorithm: str = "ES256") -> str:
    """Return a JWT over any claims."""
    content = json.dumps(dict(claims)).encode()
    return jws.serialize_compact({"alg": algorithm, **header}, content, key, algorithms=[algorithm])


def assertion(partner: Partner, key: Key | None = None, **changed: Any) -> str:
    """Return a correct client assertion, except for the claims that a test changes."""
    now = int(time.time())
    claims = {"iss": partner.client_id, "sub": partner.client_id, "aud": partner.origins.url("/intake")}
    times = {"jti": str(uuid4()), "iat": now, "exp": now + 60}
    return signed({"typ": "JWT"}, {**claims, **times, **changed}, key or partner.key)


def proof(partner: Partner, method: str, path: str, token: str | None = None, **changed: Any) -> str:
    """Return a correct DPoP proof, except for the claims that a test changes; `key` signs it and is in it."""
    key = changed.pop("key", partner.key)
    public = {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}
    claims = {"htm": method, "htu": partner.origins.url(path), "iat": int(time.time()), "jti": str(uuid4())}
    if token is not None:
        claims["ath"] = base64url(sha256(token.encode()).digest())
    return signed({"typ": "dpop+jwt", "jwk": public}, claims | changed, key)


def without_algorithm(token: str) -> str:
    """Return a JWT with these claims and no signature."""
    header, payload, _ = token.split(".")
    said = json.loads(from_base64url(header)) | {"alg": "none"}
    return f"{base64url(json.dumps(said).encode())}.{payload}."


def access_token(world: World, partner: Partner, key: OKPKey | None = None, **changed: Any) -> str:
    """Return an access token as the hub signs them, except for the claims that a test changes."""
    now, signing = int(time.time()), key or world.token_key()
    claims = {
        "iss": partner.origins.url("/intake"),
        "sub": partner.client_id,
        "client_id": partner.client_id,
        "aud": HUB,
        "jti": str(uuid4()),
        "iat": now,
        "exp": now + 300,
        "cnf": {"jkt": partner.key.thumbprint()},
    }
    header = {"typ": "at+jwt", "kid": world.token_key().kid} | changed.pop("header", {})
    return signed(header, claims | changed, signing, "Ed25519")


def ask_for_token(partner: Partner, asserted: str, proven: str | None = None) -> httpx2.Response:
    """Ask for a token with this assertion and proof."""
    form = partner.token_form() | {"client_assertion": asserted}
    proven = proven or proof(partner, "POST", TOKEN)
    return partner.http.post(partner.origins.url(TOKEN), data=form, headers={"dpop": proven})


def with_token(world: World, token: str, proven: str | None = None) -> httpx2.Response:
    """Post an event, which would be accepted, with this token and proof."""
    proven = proven or proof(world.outreach, "POST", EVENTS, token)
    return post(world.outreach, world.referral(), authorization=f"DPoP {token}", dpop=proven)


def unauthorized(answer: httpx2.Response, member: str, error: str, *sent: str) -> None:
    """Check for a 401 that names the member and has OAuth's error code in its challenge."""
    refused(answer, 401, member, sent=sent)
    challenge = answer.headers["www-authenticate"]
    assert challenge == f'DPoP algs="ES256 PS256 Ed25519", error="{error}"'


def no_token(answer: httpx2.Response, member: str, error: str, *sent: str) -> None:
    """Check for a refused token request that also carries OAuth's error (RFC 6749, section 5.2)."""
    problem = refused(answer, 400, member, sent=sent)
    assert problem["error"] == error
    assert problem["error_description"] == problem["errors"][0]["detail"]
    assert "access_token" not in answer.text


def test_tokens_and_proofs_of_these_tests_are_valid(world: World) -> None:
    assert ask_for_token(world.outreach, assertion(world.outreach)).status_code == 200
    assert with_token(world, access_token(world, world.outreach)).status_code == 202


def test_a_replayed_proof_is_refused(world: World) -> None:
    token = world.outreach.token()
    proven = proof(world.outreach, "POST", EVENTS, token)
    assert with_token(world, token, proven).status_code == 202
    with world.nothing_stored():
        for _ in range(3):
            unauthorized(with_token(world, token, proven), "DPoP jti", "invalid_dpop_proof", proven, token)


def test_a_replayed_proof_is_refused_at_the_token_endpoint(world: World) -> None:
    proven = proof(world.outreach, "POST", TOKEN)
    assert ask_for_token(world.outreach, assertion(world.outreach), proven).status_code == 200
    again = assertion(world.outreach)
    no_token(ask_for_token(world.outreach, again, proven), "DPoP jti", "invalid_dpop_proof", proven, again)


def test_a_proof_sent_by_many_at_once_is_good_for_one(world: World) -> None:
    token = world.outreach.token()
    proven = proof(world.outreach, "POST", EVENTS, token)
    answers = at_once(lambda: with_token(world, token, proven))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 401: THREADS - 1}


def test_a_replayed_assertion_is_refused(world: World) -> None:
    asserted = assertion(world.outreach)
    assert ask_for_token(world.outreach, asserted).status_code == 200
    no_token(ask_for_token(world.outreach, asserted), "client_assertion jti", "invalid_client", asserted)


def test_an_assertion_sent_by_many_at_once_is_good_for_one(world: World) -> None:
    asserted = assertion(world.outreach)
    answers = at_once(lambda: ask_for_token(world.outreach, asserted))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: THREADS - 1}


def test_an_assertion_without_an_algorithm_is_refused(world: World) -> None:
    asserted = without_algorithm(assertion(world.outreach))
    no_token(ask_for_token(world.outreach, asserted), "client_assertion alg", "invalid_client", asserted)


def test_a_proof_without_an_algorithm_is_refused(world: World) -> None:
    token = world.outreach.token()
    proven = without_algorithm(proof(world.outreach, "POST", EVENTS, token))
    with world.nothing_stored():
        unauthorized(with_token(world, token, proven), "DPoP alg", "invalid_dpop_proof", proven, token)
    proven = without_algorithm(proof(world.outreach, "POST", TOKEN))
    no_token(ask_for_token(world.outreach, assertion(world.outreach), proven), "DPoP alg", "invalid_dpop_proof", proven)


def test_a_token_without_an_algorithm_is_refused(world: World) -> None:
    token = without_algorithm(world.outreach.token())
    with world.nothing_stored():
        unauthorized(with_token(world, token), "access token alg", "invalid_token", token)


def test_an_assertion_by_a_wrong_key_is_refused(world: World) -> None:
    asserted = assertion(world.outreach, key=world.strangers_key)
    no_token(ask_for_token(world.outreach, asserted), "client_assertion signature", "invalid_client", asserted)


def test_an_assertion_for_somebody_else_is_refused(world: World) -> None:
    name = world.shelter.client_id
    asserted = assertion(world.outreach, iss=name, sub=name)
    no_token(ask_for_token(world.outreach, asserted), "client_assertion signature", "invalid_client", asserted)


def test_a_token_signed_by_a_wrong_key_is_refused(world: World) -> None:
    token = access_token(world, world.outreach, OKPKey.generate_key("Ed25519"))
    with world.nothing_stored():
        unauthorized(with_token(world, token), "access token signature", "invalid_token", token)


def test_a_stolen_token_is_of_no_use_without_its_key(world: World) -> None:
    token = world.outreach.token()
    for key in (world.strangers_key, world.shelter.key):
        proven = proof(world.outreach, "POST", EVENTS, token, key=key)
        with world.nothing_stored():
            unauthorized(with_token(world, token, proven), "access token cnf", "invalid_token", proven, token)


def test_a_proof_signed_by_another_key_than_its_own_is_refused(world: World) -> None:
    token = world.outreach.token()
    good = proof(world.outreach, "POST", EVENTS, token)
    other = proof(world.outreach, "POST", EVENTS, token, key=world.strangers_key)
    forged = ".".join([good.split(".")[0], *other.split(".")[1:]])
    with world.nothing_stored():
        unauthorized(with_token(world, token, forged), "DPoP signature", "invalid_dpop_proof", forged)


def test_an_expired_token_is_refused(world: World) -> None:
    past = int(time.time()) - 1
    token = access_token(world, world.outreach, iat=past - 300, exp=past)
    with world.nothing_stored():
        unauthorized(with_token(world, token), "access token exp", "invalid_token", token)


def test_an_expired_assertion_is_refused(world: World) -> None:
    past = int(time.time()) - 1
    asserted = assertion(world.outreach, iat=past - 60, exp=past)
    no_token(ask_for_token(world.outreach, asserted), "client_assertion exp", "invalid_client", asserted)


def test_an_old_proof_is_refused(world: World) -> None:
    token = world.outreach.token()
    proven = proof(world.outreach, "POST", EVENTS, token, iat=int(time.time()) - 65)
    with world.nothing_stored():
        unauthorized(with_token(world, token, proven), "DPoP iat", "invalid_dpop_proof", proven)


def test_assertion_with_other_or_several_audiences_is_refused(world: World) -> None:
    issuer = world.outreach.origins.url("/intake")
    for audience in (
        [issuer],
        [issuer, "https://elsewhere.example"],
        "https://elsewhere.example",
        f"{issuer}/oauth/token",
    ):
        asserted = assertion(world.outreach, aud=audience)
        answer = ask_for_token(world.outreach, asserted)
        no_token(answer, "client_assertion aud", "invalid_client", asserted, "elsewhere.example")
        assert answer.json()["errors"][0]["accepted"] == issuer


@pytest.mark.parametrize(
    ("changed", "member"),
    [
        ({"aud": "https://elsewhere.example"}, "aud"),
        ({"aud": [HUB]}, "aud"),
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"client_id": 7}, "client_id"),
        ({"header": {"typ": "JWT"}}, "typ"),
        ({"header": {"typ": "service+jwt"}}, "typ"),
        ({"iat": 9_999_999_999}, "iat"),
    ],
    ids=str,
)
def test_a_token_for_something_else_is_refused(world: World, changed: dict[str, Any], member: str) -> None:
    token = access_token(world, world.outreach, **changed)
    with world.nothing_stored():
        unauthorized(with_token(world, token), f"access token {member}", "invalid_token", token, "elsewhere.example")


@pytest.mark.parametrize(
    ("changed", "member"),
    [
        ({"htm": "GET"}, "htm"),
        ({"htu": "https://elsewhere.example/intake/v1/events"}, "htu"),
        ({"ath": "AAAA"}, "ath"),
        ({"ath": None}, "ath"),
        ({"jti": ""}, "jti"),
        ({"jti": "\ud800"}, "jti"),
        ({"iat": float("nan")}, "iat"),
    ],
    ids=str,
)
def test_a_proof_for_another_request_is_refused(world: World, changed: dict[str, Any], member: str) -> None:
    token = world.outreach.token()
    proven = proof(world.outreach, "POST", EVENTS, token, **changed)
    with world.nothing_stored():
        unauthorized(
            with_token(world, token, proven), f"DPoP {member}", "invalid_dpop_proof", proven, "elsewhere.example"
        )


def test_two_proofs_in_one_request_are_refused(world: World) -> None:
    token, url = world.outreach.token(), world.outreach.origins.url(EVENTS)
    proofs = [("dpop", proof(world.outreach, "POST", EVENTS, token)) for _ in range(2)]
    headers = [("authorization", f"DPoP {token}"), ("content-type", CONTENT_TYPE), *proofs]
    with world.nothing_stored():
        answer = world.outreach.http.post(url, content=json.dumps(world.referral()).encode(), headers=headers)
        unauthorized(answer, "DPoP", "invalid_dpop_proof", proofs[0][1])


@pytest.mark.parametrize("authorization", ["", "DPoP", "Bearer {token}", "Basic eDp4", "{token}"])
def test_a_request_without_a_token_of_the_right_kind_is_refused(world: World, authorization: str) -> None:
    token = world.outreach.token()
    with world.nothing_stored():
        answer = post(world.outreach, world.referral(), authorization=authorization.format(token=token))
        unauthorized(answer, "Authorization", "invalid_token", token)


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "e30.e30.", "[" * 3000 + ".e30.eA"])
def test_malformed_token_is_refused(world: World, token: str) -> None:
    with world.nothing_stored():
        answer = with_token(world, token)
    assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM)
    assert answer.json()["errors"][0]["member"].startswith("access token")


# --- One bad event in a batch, one id twice ---------------------------------------------------------------------------


def test_one_bad_event_in_a_batch_rejects_that_event_only(world: World) -> None:
    bad = {
        "/data/region": world.outreach.event(capacity(region=MARK)),
        "/source": world.outreach.event(capacity() | {"source": world.shelter.client_id}),
        "/type": world.outreach.event({"type": "referral.sealed.v1", "data": {}}),
        "/time": world.referral() | {"time": "2999-01-01T00:00:00Z"},
        "": MARK,
    }
    good = [world.outreach.event(capacity()), world.referral()]
    kept_before, _ = world.stored()
    answer = post(world.outreach, [good[0], *bad.values(), good[1]], BATCH_CONTENT_TYPE)
    kept, _ = world.stored()

    assert answer.status_code == 202
    assert MARK not in answer.text
    results = answer.json()
    assert [result["status"] for result in results] == ["accepted", *["rejected"] * len(bad), "accepted"]
    for member, result in zip(bad, results[1:-1], strict=True):
        assert [(fault["member"], bool(fault["accepted"])) for fault in result["errors"]] == [(member, True)]
    assert {name for _, name, _ in kept - kept_before} == {event["id"] for event in good}


def test_event_repeated_in_a_batch_is_taken_once(world: World) -> None:
    event = world.referral()
    first, second = post(world.outreach, [event, event], BATCH_CONTENT_TYPE).json()
    assert (first["status"], second["status"]) == ("accepted", "duplicate")
    assert first | {"status": "duplicate"} == second
    waiting(world.shelter, first["thread"])


def test_one_id_for_two_events_in_one_batch_takes_the_first_only(world: World) -> None:
    first = world.outreach.event(capacity(available=5))
    second = first | capacity(available=6)
    results = post(world.outreach, [first, second], BATCH_CONTENT_TYPE).json()
    assert [result["status"] for result in results] == ["accepted", "rejected"]
    assert [fault["member"] for fault in results[1]["errors"]] == ["/id"]


def test_reused_id_returns_409_and_the_first_event_stays(world: World) -> None:
    first = world.referral()
    accepted = post(world.outreach, first).json()
    with world.nothing_stored():
        other = first | {"data": first["data"] | {"need": "N03"}}
        refused(post(world.outreach, other), 409, "/id", sent=(first["id"],))
        assert post(world.outreach, first).json() == accepted | {"status": "duplicate"}
    assert world.outreach.call("GET", f"{EVENTS}/{first['id']}") == accepted
    assert waiting(world.shelter, accepted["thread"])["need"] == "N02"


@pytest.mark.parametrize("kind", ["referral", "capacity"])
def test_event_posted_concurrently_is_accepted_once(world: World, kind: str) -> None:
    for _ in range(5):
        event = world.referral() if kind == "referral" else world.outreach.event(capacity())
        results = [answer.json() for answer in at_once(lambda event=event: post(world.outreach, event))]  # type: ignore[misc]
        assert Counter(result["status"] for result in results) == {"accepted": 1, "duplicate": THREADS - 1}
        assert len({result.get("thread") for result in results}) == 1
        kept, told = world.stored()
        assert [status for _, name, status in kept if name == event["id"]] == ["accepted"]
        assert len([name for _, name in told if name == event["id"]]) == 1


# --- The consent service is down --------------------------------------------------------------------------------------

NO_KEY: dict[str, Any] = {
    "statistics": None,
    "seal": {
        "grant": str(uuid4()),
        "public_key": "AA",
        "categories": ["summary"],
        "epoch": 1,
        "texts": {},
        "hers": [],
    },
    "not_as_approved": [],
}
BROKEN: dict[str, tuple[int, bytes]] = {
    "answers garbage": (200, b"<html>Sample</html>"),
    "answers nothing": (200, b""),
    "answers too little": (200, b"[]"),
    "answers something else": (200, b'[{"allowed": true}]'),
    "answers with a key that is none": (200, json.dumps([NO_KEY]).encode()),
    "has failed": (500, b"{}"),
    "does not believe us": (401, b"{}"),
}


def unavailable(consent_url: str, folder: Path) -> None:
    """Check that intake with that consent service answers 503 to a referral, alone or in a batch, and stores nothing."""
    with running_intake(folder, consent_url) as running:
        partner = running.join()
        parts = {"summary": {"text": MARK}}
        data = _referral(parts) | {"to": running.agency("Sample Shelter", "housing")}
        about_her = {"subject": "ppid-of-sample-aspen", "type": "referral.requested.v1", "data": data}
        batch = [partner.event(capacity()), partner.event(about_her)]
        for body, kind in ((batch[1], CONTENT_TYPE), (batch, BATCH_CONTENT_TYPE)):
            answer = post(partner, body, kind)
            refused(answer, 503)
            assert int(answer.headers["retry-after"]) >= 1
        assert running.kept() == {}
        assert running.sent() == []
        assert partner.request("GET", f"{EVENTS}/{batch[0]['id']}").status_code == 404


def test_consent_down_is_a_503_and_nothing_is_stored(tmp_path: Path) -> None:
    unavailable("http://127.0.0.1:1", tmp_path)


@pytest.mark.parametrize("what", BROKEN)
def test_disordered_consent_service_returns_503(tmp_path: Path, what: str) -> None:
    with decider() as consent:
        consent.raw = lambda _sendings: BROKEN[what]
        unavailable(consent.url, tmp_path)


def test_slow_consent_service_returns_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent_client, "TIMEOUT_SECONDS", 0.2)
    with decider() as consent:
        over = Event()

        def too_late(sendings: Any) -> tuple[int, bytes]:
            over.wait(20)
            return 200, json.dumps([consent.permit("summary")] * len(sendings)).encode()

        consent.raw = too_late
        unavailable(consent.url, tmp_path)
        over.set()


def test_event_is_taken_after_consent_is_back(tmp_path: Path) -> None:
    with decider() as consent, running_intake(tmp_path, consent.url) as running:
        partner = running.join()
        data = _referral({"summary": {"text": MARK}}) | {"to": running.agency("Sample Shelter", "housing")}
        event = partner.event({"subject": "ppid-of-sample-aspen", "type": "referral.requested.v1", "data": data})
        consent.raw = lambda _sendings: (500, b"")
        assert post(partner, event).status_code == 503
        consent.raw, consent.decide = None, lambda _sending: consent.permit("summary")
        assert post(partner, event).json()["status"] == "accepted"
        assert len(running.sent()) == 1


# --- A suspended agency -----------------------------------------------------------------------------------------------

PARTNER_ROUTES = sorted(
    (method.upper(), path)
    for document in (Path(schemas.__file__).parent / "openapi").glob("*.json")
    for path, operations in json.loads(document.read_text("utf-8"))["paths"].items()
    for method, operation in operations.items()
    if {"partner": []} in operation["security"]
)


def test_every_partner_route_is_tested_under_suspension() -> None:
    assert {("POST", EVENTS), ("POST", OPENINGS), ("GET", "/referral/v1/inbox")} <= set(PARTNER_ROUTES)
    assert len(PARTNER_ROUTES) >= 10


@pytest.mark.slow
def test_suspended_agency_is_refused_on_every_partner_route(world: World) -> None:
    agency = world.hub.join("Sample Drop-in", "ngo")

    def answers() -> list[httpx2.Response]:
        paths = [(method, re.sub(r"{\w+}", "x", path)) for method, path in PARTNER_ROUTES]
        return [agency.request(method, path, {} if method != "GET" else None) for method, path in paths]

    def is_closed() -> bool:
        return all(answer.status_code == 403 for answer in answers())

    assert 403 not in {answer.status_code for answer in answers()}
    world.hub.command("agency", "suspend", agency.client_id)
    # Intake refuses at once; the other services learn of it by an event.
    event = agency.event(capacity())
    with world.nothing_stored():
        assert refused(post(agency, event), 403)["type"] == "urn:fireweed:problem:not-active"
    eventually(is_closed)
    assert len({answer.content for answer in answers()}) == 1
    no_token(ask_for_token(agency, assertion(agency)), "client_assertion sub", "invalid_client")

    world.hub.command("agency", "restore", agency.client_id)
    eventually(lambda: 403 not in {answer.status_code for answer in answers()})
    assert post(agency, event).json()["status"] == "accepted"


def test_an_agency_that_this_hub_does_not_know_is_refused(world: World) -> None:
    token = access_token(world, world.outreach, client_id="agency-zzzzzzzzzz")
    with world.nothing_stored():
        refused(with_token(world, token), 403)


# --- Denied looks like absent -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Unopenable:
    """Envelopes that may not be opened, by reason, each with the agency that tries."""

    world: World
    made: dict[str, tuple[Partner, str]] = field(default_factory=dict)

    def add(self, why: str, end: Callable[[Person, str], object]) -> None:
        """Add an envelope that could be opened until this act."""
        person = meet(self.world.hub, self.world.outreach)
        grant = person.page.allow(self.world.shelter.client_id, "referral", ["summary", "housing"])
        envelope = waiting(self.world.shelter, send(person, self.world.outreach, self.world.shelter))["envelope"]
        assert opening(self.world.shelter, envelope).status_code == 200
        end(person, grant)
        self.made[why] = self.world.shelter, envelope


def opening(agency: Partner, envelope: str) -> httpx2.Response:
    return agency.request("POST", OPENINGS, {"envelope": envelope})


def expire(hub: TestHub, grant: str) -> None:
    """Set a grant's end into the past."""
    consent = Database(hub.settings.database("consent"))
    with closing(consent), consent.transaction() as connection:
        over = {"now": datetime.now(UTC).replace(tzinfo=None).isoformat(" "), "grant": grant.replace("-", "")}
        ended = connection.execute(text("UPDATE consent_grant SET valid_until = :now WHERE id = :grant"), over)
        assert ended.rowcount == 1


@pytest.mark.slow
def test_every_envelope_that_may_not_be_opened_gets_the_same_404(world: World) -> None:
    unopenable = Unopenable(world)
    hub, shelter, clinic = world.hub, world.shelter, world.clinic
    unopenable.add("revoked", lambda person, grant: person.page.revoke(grant))
    unopenable.add("expired", lambda _person, grant: expire(hub, grant))
    unopenable.add("paused", lambda person, _grant: person.page.call("POST", "/pause"))
    unopenable.add("erased", lambda person, _grant: person.page.call("DELETE", "", {"pin": person.pin}))
    unopenable.add(
        "restricted", lambda person, _grant: person.page.call("POST", "/restrictions", {"sector": "housing"})
    )
    unopenable.add("revoked by card", lambda person, _grant: revoke_card(hub, person))

    live = waiting(shelter, send(world.person, world.outreach, shelter))["envelope"]
    unopenable.made |= {
        "foreign": (clinic, live),
        "the sender's own": (world.outreach, live),
        "of a grant that never was": (shelter, altered(live, grant=str(uuid4()))),
        "for another recipient": (shelter, altered(live, recipient=clinic.client_id)),
        "of another epoch": (shelter, altered(live, epoch=0)),
        "of another referral": (shelter, altered(live, id=str(uuid4()))),
        "of a grant that is no id": (shelter, altered(live, grant=MARK)),
        "changed": (shelter, changed_content(live)),
        "cut short": (shelter, live[:-10]),
        "doubled": (shelter, live + live),
    }
    unopenable.made |= {
        f"malformed: {given[:8]!r}": (shelter, given)
        for given in ("", "x", "fw1.", "fw1.x", "fw1.bm90aGluZw", "fw1." + base64url(b"[" * 3000), "\x00", MARK)
    }
    nothing = opening(shelter, "fw1.unknown")
    problem = refused(nothing, 404)
    assert problem == {
        "type": "urn:fireweed:problem:not-found",
        "title": "Not found.",
        "status": 404,
    }
    for why, (agency, envelope) in unopenable.made.items():
        answer = opening(agency, envelope)
        assert answer.status_code == 404, why
        assert (answer.headers.raw, answer.content) == (nothing.headers.raw, nothing.content), why
    assert opening(shelter, live).status_code == 200


def revoke_card(hub: TestHub, person: Person) -> None:
    """Revoke everything by the code of her card."""
    answer = httpx2.post(hub.origins.url("/my/v1/revoke-card"), json={"revoke_code": person.revoke_code})
    assert answer.is_success, answer.text


def altered(envelope: str, **header: Any) -> str:
    """Return the envelope with another header."""
    document = json.loads(from_base64url(envelope.removeprefix("fw1.")))
    document["header"] |= header
    return "fw1." + base64url(json.dumps(document).encode())


def changed_content(envelope: str) -> str:
    """Return the envelope with one bit of a part changed."""
    document = json.loads(from_base64url(envelope.removeprefix("fw1.")))
    part = bytearray(from_base64url(document["parts"]["summary"]))
    part[20] ^= 1
    document["parts"]["summary"] = base64url(bytes(part))
    return "fw1." + base64url(json.dumps(document).encode())


@pytest.mark.parametrize("body", [{}, {"envelope": None}, {"envelope": 7}, {"envelope": ["x"]}, [], "x"], ids=str)
def test_a_request_for_an_opening_that_holds_no_envelope_says_so(world: World, body: object) -> None:
    answer = world.shelter.request("POST", OPENINGS, body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert answer.json()["errors"]


def test_unknown_property_is_refused_by_consent_unrepeated(world: World) -> None:
    answer = world.shelter.request("POST", OPENINGS, {"envelope": "x", MARK: MARK})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert MARK not in answer.text


# --- What the tests above share ---------------------------------------------------------------------------------------


def at_once(request: Callable[[], httpx2.Response]) -> list[httpx2.Response]:
    """Send one request from several threads that start together."""
    ready = Barrier(THREADS)

    def run(_number: int) -> httpx2.Response:
        ready.wait(20)
        return request()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def _need() -> dict[str, str]:
    return {"need": "N02", "stage": "crisis", "region": "toronto"}


def _referral(parts: Mapping[str, Any]) -> dict[str, Any]:
    routing = {"to": "agency-bbbbbbbbbb", "purpose": "referral", "urgency": "24h"}
    return _need() | routing | {"parts": parts}
