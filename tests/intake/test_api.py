"""Intake's routes over HTTP: metadata and keys, accepted bodies, and results of one's own events."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

import schemas
from services.client import Partner
from services.common.http.app import MAX_BODY
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE, MAX_BATCH, MAX_BATCH_BODY
from tests.support.running_intake import NOTHING, Decider, RunningIntake, capacity, event, referral, running_intake

METADATA = ("/intake/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/intake")
ALGORITHMS = ["ES256", "PS256", "Ed25519"]
EVENTS = "/intake/v1/events"


@pytest.fixture
def running(database_url: str, tmp_path: Path, consent: Decider) -> Iterator[RunningIntake]:
    """Yield intake with the machine's clock, which partners' clients use too."""
    with running_intake(tmp_path, consent.url, database_url=database_url) as made:
        yield made


@pytest.fixture
def partner(running: RunningIntake) -> Partner:
    return running.join()


def test_metadata_is_the_same_at_both_well_known_urls(shared_intake: RunningIntake) -> None:
    issuer = shared_intake.origins.url("/intake")
    for path in METADATA:
        answer = httpx2.get(shared_intake.origins.url(path))
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/oauth/token",
            "jwks_uri": f"{issuer}/jwks.json",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "dpop_signing_alg_values_supported": ALGORITHMS,
        }


def test_published_token_keys_hold_nothing_private(shared_intake: RunningIntake) -> None:
    [key] = httpx2.get(shared_intake.origins.url("/intake/jwks.json")).json()["keys"]
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "Ed25519")
    assert "d" not in key


def test_results_follow_the_order_of_the_posted_events(
    running: RunningIntake, consent: Decider, partner: Partner
) -> None:
    consent.decide = lambda _sending: consent.permit("summary")
    recipient = running.agency("Sample Shelter", "housing")
    single = partner.request("POST", EVENTS, partner.event(referral(recipient)), CONTENT_TYPE)
    assert (single.status_code, single.headers["content-type"]) == (202, "application/json")
    assert single.json()["parts"] == {"housing": "withheld", "summary": "sealed"}

    documents = [partner.event(capacity()), partner.event(referral(recipient)), {"id": "e3"}]
    batch = partner.request("POST", EVENTS, documents, BATCH_CONTENT_TYPE)
    assert batch.status_code == 202
    told = batch.json()
    assert [result["status"] for result in told] == ["accepted", "accepted", "rejected"]
    assert [result["id"] for result in told] == [documents[0]["id"], documents[1]["id"], "e3"]
    assert [fault["member"] for fault in told[2]["errors"]] == ["/specversion", "/source", "/type", "/data"]


def test_a_batch_of_one_is_answered_as_a_batch(partner: Partner) -> None:
    answer = partner.request("POST", EVENTS, [partner.event(capacity())], BATCH_CONTENT_TYPE)
    assert [result["status"] for result in answer.json()] == ["accepted"]


def test_a_full_batch_is_taken(running: RunningIntake, partner: Partner) -> None:
    documents = [partner.event(capacity()) for _ in range(MAX_BATCH)]
    answer = partner.request("POST", EVENTS, documents, BATCH_CONTENT_TYPE)
    assert {result["status"] for result in answer.json()} == {"accepted"}
    assert len(running.sent()) == MAX_BATCH


def longest(schema: dict[str, Any]) -> Any:
    """Return a value of a part's member in which each text is as long as its schema allows."""
    if "$ref" in schema:
        return max((code.code for code in schemas.codes(Path(schema["$ref"]).stem)), key=len)
    if schema["type"] == "array":
        return [longest(schema["items"])[:-1] + str(place) for place in range(schema["maxItems"])]
    return "2026-06-01" if schema.get("format") == "date" or schema["maxLength"] == 10 else "e" * schema["maxLength"]


def longest_parts() -> dict[str, Any]:
    schema: Any = schemas.event_schema("referral.requested.v1")
    found = schema["properties"]["parts"]["properties"]
    parts: dict[str, Any] = {
        name: schemas.documents()[f"https://fireweed.example/schemas/parts/{name}.json"] for name in found
    }
    return {
        name: {member: longest(each) for member, each in part["properties"].items()} for name, part in parts.items()
    }


def test_batch_of_500_full_events_is_taken(running: RunningIntake, consent: Decider, partner: Partner) -> None:
    """Every text of every part is as long as its schema allows; a single event keeps its own limit."""
    consent.decide = lambda _sending: consent.permit(*longest_parts())
    content = referral(running.agency("Sample Shelter", "housing"), parts=longest_parts())
    documents = [partner.event(content) for _ in range(MAX_BATCH)]
    answer = partner.request("POST", EVENTS, documents, BATCH_CONTENT_TYPE)
    assert (answer.status_code, {result["status"] for result in answer.json()}) == (202, {"accepted"})
    assert MAX_BATCH_BODY * 0.8 < len(answer.request.content) <= MAX_BATCH_BODY


@pytest.mark.parametrize("content_type", [CONTENT_TYPE, "application/json", "application/cloudevents-batch"])
def test_body_of_another_kind_keeps_its_limit(shared_partner: Partner, content_type: str) -> None:
    answer = shared_partner.request("POST", EVENTS, b" " * (MAX_BODY + 1), content_type)
    assert (answer.status_code, answer.json()["errors"][0]["accepted"]) == (413, f"at most {MAX_BODY} bytes")


def test_large_body_of_a_stranger_returns_401_unread(shared_intake: RunningIntake) -> None:
    url = shared_intake.origins.url(EVENTS)
    answer = httpx2.post(url, content=b"[" * (2 * MAX_BODY), headers={"content-type": BATCH_CONTENT_TYPE})
    assert answer.status_code == 401


@pytest.mark.parametrize("charset", ["latin-1", '"utf-16"'])
def test_body_of_another_charset_returns_415_and_names_it(shared_partner: Partner, charset: str) -> None:
    event_ = shared_partner.event(capacity())
    answer = shared_partner.request("POST", EVENTS, event_, f"{CONTENT_TYPE}; charset={charset}")
    [fault] = answer.json()["errors"]
    assert (answer.status_code, fault["member"], fault["detail"]) == (415, "Content-Type", "Its charset is not UTF-8.")


@pytest.mark.parametrize(
    "content_type",
    [CONTENT_TYPE, f"{CONTENT_TYPE}; charset=utf-8", CONTENT_TYPE.upper(), f'{CONTENT_TYPE} ; Charset="UTF-8"'],
)
def test_a_kind_of_body_may_be_spelled_as_http_allows(shared_partner: Partner, content_type: str) -> None:
    event_ = shared_partner.event(capacity())
    assert shared_partner.request("POST", EVENTS, event_, content_type).status_code == 202


def test_an_attribute_that_is_null_counts_as_left_out(shared_partner: Partner) -> None:
    # CloudEvents JSON format, section 2.2: several SDKs write every attribute that they know.
    document = shared_partner.event(capacity()) | dict.fromkeys(("subject", "time", "dataschema", "traceparent"))
    assert shared_partner.post(document)["status"] == "accepted"


@pytest.mark.parametrize("name", ["e1", "urn:uuid:0192f0c1-5b7e", "2026/000123", "50%", "a?b#c", "a+b", "%2F", "~._-"])
def test_result_is_found_under_any_accepted_id(shared_partner: Partner, name: str) -> None:
    shared_partner.post(capacity() | {"id": name})
    assert shared_partner.call("GET", f"{EVENTS}/{quote(name, safe='')}") == {
        "id": name,
        "status": "accepted",
        "parts": {},
    }


@pytest.mark.parametrize("name", ['say-"when"', "<1>", "{2026}", "back`tick", "up/../down", "a|b^c"])
def test_a_partners_client_proves_the_address_that_it_sends(shared_partner: Partner, name: str) -> None:
    # Whatever is not allowed in an address, or means another one, is written in another way on its way out.
    assert shared_partner.request("GET", f"{EVENTS}/{name}").status_code == 404


def test_result_of_a_referral_has_its_parts_and_thread(
    running: RunningIntake, consent: Decider, partner: Partner
) -> None:
    consent.decide = lambda _sending: consent.permit("housing")
    posted = partner.post(referral(running.agency("Sample Shelter", "housing")))
    found = partner.call("GET", f"{EVENTS}/{posted['id']}")
    assert found == posted
    assert found["parts"] == {"housing": "sealed", "summary": "withheld"}


def test_event_of_another_agency_returns_404_like_an_unknown_one(
    running: RunningIntake, consent: Decider, partner: Partner
) -> None:
    posted = partner.post(capacity())
    other = running.join("Sample Clinic", "health")
    consent.decide = lambda _sending: NOTHING
    withheld = partner.post(referral(other.client_id))
    asked = [(other, posted["id"]), (partner, "never-posted"), (partner, withheld["id"])]
    answers = [agency.request("GET", f"{EVENTS}/{name}") for agency, name in asked]
    assert {answer.status_code for answer in answers} == {404}
    for answer in answers:
        answer.headers.pop("ratelimit")  # counts the asker's own requests
    assert len({(answer.content, tuple(answer.headers.items())) for answer in answers}) == 1


def test_an_id_that_no_database_can_hold_is_a_4xx(partner: Partner) -> None:
    for name in ("%00", "a%00b", "%ED%A0%80"):
        assert 400 <= partner.request("GET", f"{EVENTS}/{name}").status_code < 500


def test_nothing_that_intake_answers_may_be_kept_by_a_cache(shared_partner: Partner) -> None:
    answers = [shared_partner.request("GET", path) for path in (METADATA[0], f"{EVENTS}/x", "/intake/nowhere")]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


@pytest.fixture(scope="module")
def shared_partner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partner]:
    with running_intake(tmp_path_factory.mktemp("intake"), "http://127.0.0.1:1") as made:
        yield made.join()


@pytest.mark.parametrize(
    "lengths",
    [["x"], ["-1"], ["2", "3"], ["1" * 400], ["2, 2"], ["0x2"], ["9" * 5000]],
    ids=["words", "negative", "two", "huge", "listed", "hexadecimal", "a number too long for Python"],
)
def test_a_content_length_that_is_none_is_refused(shared_partner: Partner, lengths: list[str]) -> None:
    with talking_to(shared_partner) as line:
        line.sendall(head(shared_partner, *(f"content-length: {length}" for length in lengths)) + b"{}")
        assert line.recv(12) in {b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 422"}
    assert shared_partner.post(capacity())["status"] == "accepted"


def test_sender_hanging_up_half_way_logs_no_failure(
    running: RunningIntake, partner: Partner, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(partner.event(capacity())).encode()
    with talking_to(partner) as line:
        line.sendall(head(partner, f"content-length: {len(body)}") + body[:-1])
    assert partner.post(capacity())["status"] == "accepted"
    assert len(running.kept()) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def head(partner: Partner, *more: str) -> bytes:
    """Return the head of a request that posts an event."""
    url, token = partner.origins.url(EVENTS), partner.token()
    proof = f"dpop: {partner.proof('POST', url, token)}"
    lines = [f"POST {EVENTS} HTTP/1.1", "host: hub", f"authorization: DPoP {token}", proof]
    return "\r\n".join([*lines, f"content-type: {CONTENT_TYPE}", *more, "", ""]).encode()


@contextmanager
def talking_to(partner: Partner) -> Iterator[socket.socket]:
    """Yield a bare connection on which any bytes can be sent."""
    address = httpx2.URL(partner.origins.default)
    with socket.create_connection((address.host, address.port or 80), timeout=20) as line:
        yield line


NEED = {"need": "N02", "stage": "crisis", "region": "toronto"}


def test_events_without_subject_are_taken_without_consent(shared_partner: Partner) -> None:
    assert shared_partner.post(capacity())["status"] == "accepted"
    about_her = {"type": "need.recorded.v1", "subject": "ppid-of-sample-aspen", "data": NEED}
    answer = shared_partner.request("POST", EVENTS, shared_partner.event(about_her), CONTENT_TYPE)
    assert answer.status_code == 503, answer.text


def test_an_id_is_echoed_only_if_it_could_be_one(shared_partner: Partner) -> None:
    batch = [event(shared_partner.client_id, capacity(), id=name) for name in ("a\nb", "x" * 129, 7, "Straße", None)]
    answer = shared_partner.request("POST", EVENTS, batch, BATCH_CONTENT_TYPE)
    assert [result["id"] for result in answer.json()] == [None] * 5
    assert {result["status"] for result in answer.json()} == {"rejected"}
