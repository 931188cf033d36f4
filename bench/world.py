"""The hub under measurement: a real one over PostgreSQL and Kafka, with people ready to send and be sent to."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.testing.kafka import KafkaServer
from deploy.testing.postgresql import PostgresServer
from services.client import Partner
from tests.support.hubs import TestHub, distributed_hub
from tests.support.people import Person, meet


@dataclass(frozen=True, slots=True)
class World:
    """A hub, its servers, two agencies, and a survivor who lets the first tell the second something about her."""

    hub: TestHub
    postgres: PostgresServer
    kafka: KafkaServer
    sender: Partner
    recipient: Partner
    person: Person
    grant: str


@contextmanager
def world(**settings: Any) -> Iterator[World]:
    """Start everything, with some settings of the hub; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="fireweed-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = PostgresServer.create(folder / "postgres")
        kafka = KafkaServer.create(folder / "kafka")
        try:
            with distributed_hub(folder, postgres, kafka, **settings) as hub:
                sender, recipient = hub.join("Sample Outreach", "ngo"), hub.join("Sample Shelter", "housing")
                person = meet(hub, sender)
                grant = person.page.allow(recipient.client_id, "referral", ["summary", "housing", "health"])
                yield World(hub, postgres, kafka, sender, recipient, person, grant)
        finally:
            kafka.stop()
            postgres.stop()
