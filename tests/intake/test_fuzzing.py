"""Random input: no answer is a 5xx, and exactly the accepted, valid events are stored."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, Registry

import schemas
from services.client import Partner
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE
from tests.support.running_intake import NOTHING, Decider, RunningIntake, decider, running_intake

pytestmark = pytest.mark.backend("sqlite")
EVENTS = "/intake/v1/events"
PPID = "ppid-of-sample-aspen"
FOLDER = Path(schemas.__file__).parent
# Straight from the files, as `schemas/README.md` tells partners: not by the product's own way of reading them.
DOCUMENTS = {
    document["$id"]: document
    for folder in ("codes", "parts", "events")
    for document in (json.loads(path.read_text("utf-8")) for path in (FOLDER / folder).glob("*.json"))
}
POSTED = {
    address.removeprefix("https://fireweed.example/schemas/events/").removesuffix(".json"): document
    for address, document in DOCUMENTS.items()
    if document.get("x-sender") == "agency"
}
EXAMPLES = [
    (event_type, json.loads(path.read_text("utf-8")))
    for event_type in sorted(POSTED)
    for path in sorted((FOLDER / "examples" / event_type).glob("valid-*.json"))
]

# Half of a surrogate pair, NUL, and numbers that only Python's JSON knows are among these on purpose.
odd_texts = st.sampled_from(["", "\x00", "\ud800", "a" * 5000, "agency-bbbbbbbbbb", "2026-01-01", "N02", "null"])
texts = st.text(st.characters(), max_size=30) | odd_texts
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -0.0, 1e400])
scalars = st.none() | st.booleans() | numbers | texts
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=12)
deep = st.integers(1, 2000).map(lambda levels: "[" * levels + "]" * levels)
quickly = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
at_length = settings(quickly, max_examples=3000)


@pytest.fixture(scope="module")
def consent() -> Iterator[Decider]:
    """Decide for one known ppid, and permit every category."""
    with decider() as made:
        everything = made.permit(*schemas.code_set("categories"), statistics="s-" + "a" * 26)
        made.decide = lambda sending: everything if sending["ppid"] == PPID else NOTHING
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, consent: Decider) -> Iterator[RunningIntake]:
    with running_intake(tmp_path_factory.mktemp("intake"), consent.url) as made:
        yield made


@pytest.fixture(scope="module")
def partner(running: RunningIntake) -> Partner:
    return running.join()


def send(partner: Partner, body: bytes, content_type: str) -> httpx2.Response:
    url, token = partner.origins.url(EVENTS), partner.token()
    proof = partner.proof("POST", url, token)
    headers = {"authorization": f"DPoP {token}", "dpop": proof, "content-type": content_type}
    return partner.http.post(url, content=body, headers=headers)


def check(running: RunningIntake, partner: Partner, body: bytes, content_type: str) -> int:
    """Send a body, check that the answer agrees with the stored events, and return the number of accepted ones."""
    kept_before, sent_before = running.kept(), len(running.sent())
    answer = send(partner, body, content_type)
    assert answer.status_code < 500, answer.text
    if answer.is_error:
        assert answer.headers["content-type"] == "application/problem+json"
        assert all(fault["member"] is not None and fault["detail"] for fault in answer.json()["errors"])
    told = [] if answer.is_error else answer.json() if isinstance(answer.json(), list) else [answer.json()]
    accepted = [result["id"] for result in told if result["status"] == "accepted"]
    assert sorted(running.kept().keys() - kept_before.keys()) == sorted(accepted)
    assert len(running.sent()) - sent_before == len(accepted)
    documents = json.loads(body) if accepted else []
    for document in documents if isinstance(documents, list) else [documents]:
        if isinstance(document, dict) and document.get("id") in accepted:
            assert_valid(document, partner.client_id)
    return len(accepted)


def assert_valid(document: dict[str, Any], source: str) -> None:
    schema = POSTED[document["type"]]
    registry = Registry(list(DOCUMENTS.items()))
    Draft202012Validator(schema, registry=registry, validate_formats=True).validate(document["data"])
    assert (document["specversion"], document["source"]) == ("1.0", source)
    assert document.get("subject") == (PPID if schema["x-subject"] == "ppid" else None)


def valid_event(partner: Partner, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    about_her = {"subject": PPID} if POSTED[event_type]["x-subject"] == "ppid" else {}
    return partner.event({"type": event_type, "data": copy.deepcopy(data), **about_her})


@st.composite
def changes(draw: st.DrawFn) -> tuple[tuple[str, dict[str, Any]], list[Callable[[Any], None]]]:
    """Draw one of the valid examples, and up to two changes to the event made of it."""
    return draw(st.sampled_from(EXAMPLES)), [draw(one_change()) for _ in range(draw(st.integers(0, 2)))]


@st.composite
def one_change(draw: st.DrawFn) -> Callable[[Any], None]:
    place, kind = draw(st.integers(0, 1000)), draw(st.sampled_from(["replace", "remove", "add"]))
    value, name = draw(anything), draw(texts)

    def change(document: Any) -> None:
        places = list(_places(document))
        container, key = places[place % len(places)]
        if kind == "replace":
            container[key] = value
        elif kind == "remove":
            del container[key]
        elif isinstance(container, dict):
            container[name] = value
        else:
            container.append(value)

    return change


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def changed_event(partner: Partner, drawn: Any) -> dict[str, Any]:
    (event_type, data), todo = drawn
    document = valid_event(partner, event_type, data)
    for change in todo:
        change(document)
        if not document:
            break
    return document


def any_body(running: RunningIntake, partner: Partner, body: bytes, content_type: str) -> None:
    assert check(running, partner, body, content_type) == 0


def any_event(running: RunningIntake, partner: Partner, drawn: Any) -> None:
    check(running, partner, json.dumps(changed_event(partner, drawn)).encode(), CONTENT_TYPE)


def any_batch(running: RunningIntake, partner: Partner, drawn: list[Any]) -> None:
    batch = [changed_event(partner, one) for one in drawn]
    check(running, partner, json.dumps(batch).encode(), BATCH_CONTENT_TYPE)


bodies = anything.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200) | deep.map(str.encode)
content_types = st.sampled_from([CONTENT_TYPE, BATCH_CONTENT_TYPE, "application/json", ""])


@pytest.mark.parametrize(("event_type", "data"), EXAMPLES)
def test_every_valid_example_is_accepted(
    running: RunningIntake, partner: Partner, event_type: str, data: dict[str, Any]
) -> None:
    document = valid_event(partner, event_type, data)
    if "to" in data:
        document["data"]["to"] = running.agency("Sample Shelter", "housing")
    body = json.dumps(document).encode()
    assert check(running, partner, body, CONTENT_TYPE) == 1


@pytest.mark.slow
@given(bodies, content_types)
@example(b"", CONTENT_TYPE)
@example(b"[" * 200_000, CONTENT_TYPE)
@example(b'{"a":' * 40_000, BATCH_CONTENT_TYPE)
@example(b"\xff\xfe[\x00]\x00", BATCH_CONTENT_TYPE)
@example(b'"\xed\xa0\x80"', CONTENT_TYPE)
@quickly
def test_no_random_body_is_a_5xx_or_kept(
    running: RunningIntake, partner: Partner, body: bytes, content_type: str
) -> None:
    any_body(running, partner, body, content_type)


@pytest.mark.slow
@given(changes())
@quickly
def test_changed_event_is_kept_only_if_valid(running: RunningIntake, partner: Partner, drawn: Any) -> None:
    any_event(running, partner, drawn)


@pytest.mark.slow
@given(st.lists(changes(), min_size=1, max_size=6))
@settings(quickly, max_examples=40)
def test_changed_batch_keeps_only_valid_events(running: RunningIntake, partner: Partner, drawn: list[Any]) -> None:
    any_batch(running, partner, drawn)


@pytest.mark.soak
@given(bodies, content_types)
@at_length
def test_no_random_body_is_a_5xx_or_kept_at_length(
    running: RunningIntake, partner: Partner, body: bytes, content_type: str
) -> None:
    any_body(running, partner, body, content_type)


@pytest.mark.soak
@given(changes())
@at_length
def test_changed_event_is_kept_only_if_valid_at_length(running: RunningIntake, partner: Partner, drawn: Any) -> None:
    any_event(running, partner, drawn)


@pytest.mark.soak
@given(st.lists(changes(), min_size=1, max_size=6))
@settings(at_length, max_examples=1000)
def test_changed_batch_keeps_only_valid_events_at_length(
    running: RunningIntake, partner: Partner, drawn: list[Any]
) -> None:
    any_batch(running, partner, drawn)


@pytest.mark.parametrize("header", ["authorization", "dpop", "content-type", "traceparent"])
@given(st.binary(max_size=60).filter(lambda value: not set(value) & set(b"\r\n\x00")))
@settings(quickly, max_examples=25)
def test_no_header_at_all_is_a_5xx(running: RunningIntake, partner: Partner, header: str, value: bytes) -> None:
    url, token = partner.origins.url(EVENTS), partner.token()
    good = {"authorization": f"DPoP {token}", "dpop": partner.proof("POST", url, token), "content-type": CONTENT_TYPE}
    headers = {name.encode(): text.encode() for name, text in good.items()} | {header.encode(): value}
    before = running.kept().keys()
    try:
        answer = httpx2.post(url, content=b"{}", headers=headers, timeout=20)
    except httpx2.HTTPError:
        return  # not a header that a client may send, or so wrong that the server hung up
    assert answer.status_code < 500
    assert running.kept().keys() == before
