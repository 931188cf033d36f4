"""A distributed hub loses nothing while Kafka, PostgreSQL or the consent service is down, and goes on afterwards."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from deploy.testing.kafka import KafkaServer
from deploy.testing.postgresql import PostgresServer
from services.client import Partner
from services.common.database.engine import Database
from tests.support.hubs import START_TIMEOUT, TestHub, distributed_hub, eventually
from tests.support.people import Person, answer, inbox, meet, open_status, referral, send, state, waiting

pytestmark = [pytest.mark.slow, pytest.mark.backend("postgresql", "kafka")]
MANY = 20


@dataclass(slots=True)
class World:
    """A running hub, its servers, and a survivor with a grant."""

    hub: TestHub
    postgres: PostgresServer
    kafka: KafkaServer
    sender: Partner
    recipient: Partner
    person: Person


@pytest.fixture(scope="module")
def world(
    postgres_server: PostgresServer, kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with distributed_hub(tmp_path_factory.mktemp("outages"), postgres_server, kafka_server) as hub:
        sender, recipient = hub.join("Sample Outreach", "ngo"), hub.join("Sample Shelter", "housing")
        person = meet(hub, sender)
        person.page.allow(recipient.client_id, "referral", ["summary"])
        yield World(hub, postgres_server, kafka_server, sender, recipient, person)


def test_events_accepted_while_kafka_is_down_arrive_later(world: World) -> None:
    world.kafka.kill()
    try:
        threads = [send(world.person, world.sender, world.recipient) for _ in range(MANY)]
        assert _outbox(world) == MANY
        assert inbox(world.recipient) == []
    finally:
        world.kafka.start()

    arrived = eventually(lambda: [] if len(inbox(world.recipient)) < MANY else inbox(world.recipient), START_TIMEOUT)
    assert sorted(item["referral"] for item in arrived) == sorted(threads)
    eventually(lambda: _outbox(world) == 0, START_TIMEOUT)
    assert open_status(world.recipient, arrived[0]["envelope"]) == 200


def test_event_refused_while_consent_is_down_is_taken_later(world: World) -> None:
    event = world.sender.event(referral(world.person, world.recipient))
    process = world.hub.processes["consent-api"]
    process.kill()
    try:
        refused = world.sender.request("POST", "/intake/v1/events", event, "application/cloudevents+json")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["content-type"] == "application/problem+json"
        assert world.sender.request("GET", f"/intake/v1/events/{event['id']}").status_code == 404
    finally:
        process.start()
        process.wait()

    assert world.sender.post(event)["status"] == "accepted"
    assert world.sender.post(event)["status"] == "duplicate"


def test_killed_database_answers_503_and_loses_nothing(world: World) -> None:
    before = send(world.person, world.sender, world.recipient)
    world.postgres.kill()
    try:
        event = world.sender.event(referral(world.person, world.recipient))
        refused = world.sender.request("POST", "/intake/v1/events", event, "application/cloudevents+json")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        closed = world.recipient.request("POST", "/consent/v1/openings", {"envelope": "fw1.unknown"})
        assert closed.status_code in {404, 503}
    finally:
        world.postgres.start()

    eventually(lambda: _posted(world, event), START_TIMEOUT)
    eventually(lambda: state(world.recipient, before) == "requested", START_TIMEOUT)
    assert open_status(world.recipient, waiting(world.recipient, before)["envelope"]) == 200
    assert answer(world.recipient, "accepted", before)["status"] == "accepted"
    eventually(lambda: state(world.sender, before) == "accepted", START_TIMEOUT)


def _posted(world: World, event: dict[str, object]) -> bool:
    response = world.sender.request("POST", "/intake/v1/events", event, "application/cloudevents+json")
    return response.status_code == 202 and response.json()["status"] in {"accepted", "duplicate"}


def _outbox(world: World) -> int:
    database = Database(world.hub.settings.database("intake"), pool_size=1)
    try:
        with database.reading() as connection:
            return int(connection.execute(text("SELECT count(*) FROM outbox")).scalar_one())
    finally:
        database.close()
