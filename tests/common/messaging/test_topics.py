"""Topics are those that the contract defines."""

import schemas
from services.common.messaging import contracts
from services.common.messaging.topics import topics, topics_read_by

NAMES = {"referrals.v1", "consents.v1", "services.v1", "disclosures.v1", "agencies.v1"}
SERVICES = ("intake", "consent", "referral", "reporting")


def test_topics_are_those_of_the_contract() -> None:
    assert set(topics()) == NAMES
    assert all(name == topic.name for name, topic in topics().items())


def test_every_topic_has_partitions_and_retention() -> None:
    for topic in topics().values():
        assert topic.partitions >= 1
        assert topic.compacted != (topic.retention_ms is not None)


def test_agencies_are_kept_as_long_as_they_are_current() -> None:
    assert topics()["agencies.v1"].compacted
    assert topics()["agencies.v1"].retention_ms is None


def test_settings_are_accepted_by_kafka() -> None:
    for topic in topics().values():
        assert {type(value) for value in topic.settings.values()} == {str}
        assert all(topic.settings.values())


def test_every_event_type_has_a_topic_that_exists() -> None:
    assert {contracts.topic(event_type) for event_type in schemas.event_types()} <= NAMES


def test_a_service_reads_topics_that_exist() -> None:
    for service in SERVICES:
        assert topics_read_by(service)
        assert set(topics_read_by(service)) <= NAMES
        assert len(set(topics_read_by(service))) == len(topics_read_by(service))


def test_unknown_service_reads_no_topic() -> None:
    assert topics_read_by("nobody") == ()
    assert topics_read_by("in") == ()
