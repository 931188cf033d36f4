"""After erasure no database, no later record and no log entry holds an identifier of hers, but for a list with reasons."""

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deploy.testing.postgresql import PostgresServer
from services import composition
from services.client import Partner
from services.common.database.engine import Database
from services.common.settings import Settings
from tests.support.hubs import TestHub, embedded_hub, eventually
from tests.support.leftovers import Identifiers, holds, identifiers, rows, search
from tests.support.people import Person, answer, inbox, meet, send, waiting

GRANT, PSEUDONYM = "consent_grant.id", "pseudonym"
STAYS = {
    (
        "consent",
        "notice",
        "id",
        "notice.id",
    ): "an agency may still attest by it; it goes 30 days after the day that is due",
    (
        "consent",
        "ledger_entry",
        "at",
        "subject.created_at",
    ): "the public tree is never changed; its leaf says nobody's name",
    ("consent", "ledger_entry", "at", "subject.statistics_since"): "as above",
    (
        "referral",
        "grant_seen",
        "id",
        GRANT,
    ): "a referral under it may still arrive; joined with nothing, gone after 45 days",
    (
        "referral",
        "feed_entry",
        "subject",
        "notice.id",
    ): "its agency learns by it which notice waits; joined with nothing, emptied after 90 days",
    ("reporting", "withdrawn", "statistics", PSEUDONYM): "an event with it may still arrive; joined with nothing",
}
"""Where an identifier may stand after erasure: service, table, column and what it is, with the reason."""
TELLS = {"grant.ended.v1": GRANT, "statistics.withdrawn.v1": PSEUDONYM}
"""The events that tell others what to forget must name it; topics drop them after a week."""


@pytest.fixture(
    params=[
        pytest.param("sqlite", marks=pytest.mark.backend("sqlite", "local_log")),
        pytest.param("postgresql", marks=pytest.mark.backend("postgresql", "local_log")),
    ]
)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestHub]:
    """Yield a hub of all four services, on each database."""
    settings = {}
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        settings = {"database_url": server.recreate_services()}
    with embedded_hub(tmp_path / "hub", **settings) as hub:
        yield hub


@pytest.mark.slow
def test_erasure_leaves_no_identifier_in_any_store(running: TestHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fireweed")
    sender, recipient = running.join("Sample Outreach", "ngo"), running.join("Sample Clinic", "health")
    kept = _lives(running, sender, recipient)
    person = _lives(running, sender, recipient)
    subject = _subject(running, sender, person)
    hers, others = _identifiers(running, subject), _identifiers(running, _subject(running, sender, kept))
    _check_that_searching_works(running, hers)

    _settle(running)
    newest = _newest_record(running)
    person.page.step_up(person.pin)
    person.page.call("DELETE", "", {"pin": person.pin})
    eventually(lambda: not _withdrawn_is_missing(running, hers))
    eventually(lambda: _counts(running, "subject") == 1)
    _acknowledge(sender)
    _acknowledge(recipient)
    _settle(running)

    assert _found(running, hers) <= STAYS.keys()
    assert _later(running, hers, newest) <= set(TELLS.items())
    assert not holds(caplog.text, [text for texts in hers.values() for text in texts])
    # A rotation has followed the erasure, and wrapped the other survivor's keys anew.
    still_hers = {label for label in others if not label.endswith(".wrapped")}
    assert {label for *_, label in _found(running, others)} >= still_hers, "nothing of the other survivor is missing"
    assert [item["referral"] for item in inbox(recipient)], "and her referral waits as before"


def _lives(hub: TestHub, sender: Partner, recipient: Partner) -> Person:
    """Let a survivor live through everything that leaves rows; return her."""
    person = meet(hub, sender)
    page = person.page
    page.call("PUT", "/statistics", {"on": True})
    code = page.call("POST", "/link-codes", {"pin": person.pin})["link_code"]
    ppid = recipient.call("POST", "/consent/v1/links", {"link_code": code})["ppid"]
    page.revoke(page.allow(recipient.client_id, "care_coordination", ["summary"]))
    page.allow(recipient.client_id, "referral", ["summary", "housing"])
    for _ in range(2):
        thread = send(person, sender, recipient)
        recipient.call("POST", "/consent/v1/openings", {"envelope": waiting(recipient, thread)["envelope"]})
    answer(recipient, "accepted", thread)
    need = {"need": "N02", "stage": "crisis", "region": "toronto"}
    sender.post({"type": "need.recorded.v1", "subject": person.ppid, "data": need})
    asked = {"ppid": ppid, "agency": recipient.client_id, "purpose": "referral", "categories": ["health"]}
    recipient.call("POST", "/consent/v1/consent-requests", asked)
    for needs in ("A nurse this week.", "A doctor this week."):
        drafts = {"health": {"needs": needs}}
        request = recipient.call("POST", "/consent/v1/consent-requests", {**asked, "drafts": drafts})["request"]
    page.call("POST", f"/requests/{request}", {"accept": True})
    page.call("POST", "/restrictions", {"sector": "police"})
    page.call("POST", "/pause")
    page.call("POST", "/resume")
    _acknowledge(recipient)
    page.revoke(page.allow(sender.client_id, "referral", ["summary"]))
    page.call("POST", "/link-codes", {"pin": person.pin})
    return person


def _acknowledge(agency: Partner) -> None:
    told = agency.call("POST", "/consent/v1/notices/poll", {"returnImmediately": True})["sets"]
    agency.call("POST", "/consent/v1/notices/poll", {"ack": list(told), "returnImmediately": True})


def _identifiers(hub: TestHub, subject: UUID) -> Identifiers:
    """Return her identifiers, with the pseudonyms under which referral and reporting know her."""
    with closing(_database(hub.settings, "consent")) as database:
        found = dict(identifiers(database, subject))
    with closing(_database(hub.settings, "referral")) as database:
        mine = [row for table, row in rows(database) if table == "referral" and row["grant_id"] in found[GRANT]]
    return {**found, PSEUDONYM: {row["statistics"] for row in mine}}


def _check_that_searching_works(hub: TestHub, hers: Identifiers) -> None:
    """The search finds each kind of identifier while she is here, in every service that knows it."""
    expected = {"request_draft.wrapped", "approved_text.digest", "sent_envelope.id", "consent_request.drafts_digest"}
    assert expected <= hers.keys()
    expected = {"subject.id", "subject.revoke_digest", "link.ppid", "session.digest", GRANT, "audit_key.wrapped"}
    assert expected | {"link_code.digest", "notice.id", "restriction.id", "consent_request.id"} <= hers.keys()
    found = _found(hub, hers)
    assert {label for *_, label in found} == set(hers)
    assert {("referral", "referral", "grant_id", GRANT), ("referral", "referral", "statistics", PSEUDONYM)} <= found
    eventually(lambda: ("reporting", "journal", "statistics", PSEUDONYM) in _found(hub, hers))


def _found(hub: TestHub, wanted: Identifiers) -> set[tuple[str, str, str, str]]:
    found = set()
    for service in composition.NAMES:
        with closing(_database(hub.settings, service)) as database:
            found |= {(service, *place) for place in search(database, wanted)}
    return found


def _later(hub: TestHub, wanted: Identifiers, after: int) -> set[tuple[str, str]]:
    """Return type and label for each identifier in the log's records after a position."""
    found = set()
    for row in _records(hub):
        if row["position"] > after:
            kind = json.loads(row["headers"])["ce_type"]
            found |= {(kind, label) for label, texts in wanted.items() for value in row.values() if holds(value, texts)}
    return found


def _subject(hub: TestHub, agency: Partner, person: Person) -> UUID:
    with closing(_database(hub.settings, "consent")) as database:
        linked = [row for table, row in rows(database) if table == "link" and row["ppid"] == person.ppid]
    assert [row["agency"] for row in linked] == [agency.client_id]
    return UUID(str(linked[0]["subject_id"]))


def _counts(hub: TestHub, table: str) -> int:
    with closing(_database(hub.settings, "consent")) as database:
        return sum(name == table for name, _ in rows(database))


def _withdrawn_is_missing(hub: TestHub, hers: Identifiers) -> bool:
    return ("reporting", "withdrawn", "statistics", PSEUDONYM) not in _found(hub, hers)


def _settle(hub: TestHub) -> None:
    """Wait until every outbox is empty and every reader of the log has read it."""

    def waits() -> bool:
        for service in composition.NAMES:
            with closing(_database(hub.settings, service)) as database:
                if any(table == "outbox" for table, _ in rows(database)):
                    return True
        return any(progress < newest for progress, newest in _progress(hub))

    eventually(lambda: not waits())


def _log(hub: TestHub) -> Database:
    return Database(f"sqlite:///{hub.settings.data / 'log.sqlite'}")


def _records(hub: TestHub) -> list[dict[str, Any]]:
    with closing(_log(hub)) as database:
        return [row for table, row in rows(database) if table == "record"]


def _newest_record(hub: TestHub) -> int:
    return max(int(row["position"]) for row in _records(hub))


def _progress(hub: TestHub) -> list[tuple[int, int]]:
    """Return how far each reader of a topic is, and the newest position in that topic."""
    newest = {row["topic"]: int(row["position"]) for row in _records(hub)}
    with closing(_log(hub)) as database:
        return [
            (int(row["position"]), newest.get(row["topic"], 0)) for table, row in rows(database) if table == "progress"
        ]


def _database(settings: Settings, service: str) -> Database:
    return Database(settings.database(service))
