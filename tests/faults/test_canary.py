"""Personal data is only in answers of the consent service: in no file, log, span, metric or other answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

import schemas
from deploy.testing.kafka import KafkaServer
from deploy.testing.postgresql import PostgresServer
from services.client import Partner
from tests.support.canary import files_with, spellings
from tests.support.hubs import TestHub, distributed_hub, embedded_hub, eventually
from tests.support.people import answer, inbox, meet, open_status, referral, waiting

CANARY = "Canary-{}-Kq7wZx3vJ9"
PUBLIC = "Public-Kq7wZx3vJ9"
"""Part of an agency's public name, which the search must find; otherwise the search does not work."""
CATEGORIES = sorted(schemas.code_set("categories"))


@pytest.mark.backend("sqlite", "local_log")
def test_an_embedded_hub_keeps_what_is_personal_nowhere(tmp_path: Path) -> None:
    with embedded_hub(tmp_path / "hub") as hub:
        secrets = _live_a_day(hub)
        # Searched while the hub runs, since SQLite removes its write-ahead log when it closes.
        _check(secrets, [tmp_path / "hub"])


@pytest.mark.slow
@pytest.mark.backend("postgresql", "kafka")
def test_a_distributed_hub_keeps_what_is_personal_nowhere(
    own_postgres: PostgresServer, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    def telling(name: str) -> dict[str, str]:
        return {"FIREWEED_TELEMETRY": f"file:{tmp_path / name}.telemetry", "FIREWEED_LOG_LEVEL": "debug"}

    with distributed_hub(tmp_path, own_postgres, kafka_server, extra=telling) as hub:
        secrets = _live_a_day(hub)
    told = "".join(path.read_text("utf-8") for path in tmp_path.glob("*.telemetry"))
    assert "process referral.sealed.v1" in told, "no spans were written, so their silence proves nothing"
    assert "fireweed.events.accepted" in told, "no metrics were written, so their silence proves nothing"
    with _quiet(own_postgres):
        _check(secrets, [tmp_path, own_postgres.data, kafka_server.data])


def test_the_search_finds_a_text_in_each_spelling(tmp_path: Path) -> None:
    for number, form in enumerate(spellings(CANARY)):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(b"before" + form + b"after")
        assert [found for _, found in files_with([CANARY], [path])] == [path]


@contextmanager
def _quiet(server: PostgresServer) -> Iterator[None]:
    """PostgreSQL first writes everything in its memory to disk."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    yield


def _live_a_day(hub: TestHub) -> list[str]:
    """Use a hub with a canary in every personal field, with mistakes; return every secret that was issued."""
    sender, recipient = hub.join(f"Outreach {PUBLIC}", "ngo"), hub.join("Sample Clinic", "health")
    person = meet(hub, sender)
    parts = {category: _filled(category) for category in CATEGORIES}
    canaries = [CANARY.format(category) for category in CATEGORIES]

    _says_nothing(sender.request("POST", "/intake/v1/events", sender.event(_about(person, recipient, parts)), EVENT))
    person.page.call("PUT", "/statistics", {"on": True})
    renewed = person.page.call("POST", "/words", {"pin": person.pin})["passphrase"]
    grant = person.page.allow(recipient.client_id, "referral", CATEGORIES)
    posted = sender.post(_about(person, recipient, parts))
    envelope = waiting(recipient, posted["thread"])["envelope"]
    opened = recipient.request("POST", "/consent/v1/openings", {"envelope": envelope})
    assert all(canary in opened.text for canary in canaries)
    for kind in ("accepted", "started"):
        answer(recipient, kind, posted["thread"])
    for wrong in _mistakes(sender, person, recipient, parts):
        _says_nothing(sender.request("POST", "/intake/v1/events", wrong, EVENT))
    _says_nothing(recipient.request("POST", "/consent/v1/openings", {"envelope": canaries[0], "more": canaries[1]}))
    person.page.revoke(grant)
    assert open_status(recipient, envelope) == 404
    eventually(lambda: posted["thread"] not in [item["referral"] for item in inbox(recipient)])
    cookies = list(person.page.http.cookies.jar)
    return [*canaries, person.passphrase, renewed, person.revoke_code, *(str(cookie.value) for cookie in cookies)]


EVENT = "application/cloudevents+json"


def _about(person: Any, to: Partner, parts: dict[str, Any]) -> dict[str, Any]:
    return referral(person, to, parts=parts)


def _filled(category: str) -> dict[str, Any]:
    """Return a part with a canary in every text and list of texts that its schema allows."""
    schema: Any = schemas.documents()[f"https://fireweed.example/schemas/parts/{category}.json"]
    filled = {name: _value(rule, CANARY.format(category)) for name, rule in schema["properties"].items()}
    return {name: value for name, value in filled.items() if value is not None}


def _value(rule: Any, canary: str) -> Any:
    if "$ref" in rule:
        return min(schemas.code_set(rule["$ref"].rsplit("/", 1)[-1].removesuffix(".json")))
    if rule.get("type") == "array":
        return [_value(rule["items"], canary)]
    if rule.get("type") == "string" and "enum" not in rule and "pattern" not in rule and "format" not in rule:
        return canary
    return rule["enum"][0] if "enum" in rule else None


def _mistakes(sender: Partner, person: Any, to: Partner, parts: dict[str, Any]) -> list[Any]:
    """Yield events that are refused, with personal data in every wrong place."""
    canary = CANARY.format("summary")
    good = sender.event(_about(person, to, parts))
    data = good["data"]
    return [
        {**good, "id": "wrong-1", canary.lower().replace("-", ""): canary},
        {**good, "id": "wrong-2", "type": "need.recorded.v1"},
        {**good, "id": "wrong-3", "data": {**data, canary: canary}},
        {**good, "id": "wrong-4", "data": {**data, "parts": {**parts, canary: canary}}},
        {**good, "id": "wrong-5", "data": {**data, "parts": {"summary": canary}}},
        {**good, "id": "wrong-6", "data": {**data, "need": canary}},
        {**good, "id": "wrong-7", "subject": canary},
        {**good, "id": "wrong-8", "source": canary},
        {**good, "id": "wrong-9", "time": canary},
        {**good, "id": f"wrong {canary}"},
        canary,
        [canary],
    ]


def _says_nothing(response: Any) -> None:
    """The answer repeats no canary, in its body or in its headers."""
    answered = response.text + json.dumps(dict(response.headers))
    assert "Kq7wZx3vJ9" not in answered
    assert "kq7wzx3vj9" not in answered


def _check(secrets: list[str], folders: list[Path]) -> None:
    assert len(set(secrets)) > len(CATEGORIES)
    assert {text for text, _ in files_with([PUBLIC], folders)} == {PUBLIC}, "the search finds nothing at all"
    assert list(files_with(secrets, folders)) == []
