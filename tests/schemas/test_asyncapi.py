"""The AsyncAPI document places each event on its topic and lists what each service sends and reads."""

from typing import Any

import pytest
import yaml

import schemas
from tests.schemas.contract import FOLDER

DOCUMENT: Any = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text("utf-8"))
CHANNELS: Any = DOCUMENT["channels"]
OPERATIONS: Any = DOCUMENT["operations"]
MESSAGES: Any = DOCUMENT["components"]["messages"]

HOUR = 3_600_000
KEPT = {"referrals.v1": 72, "consents.v1": 7 * 24, "services.v1": 30 * 24, "disclosures.v1": 7 * 24}
READS = {
    "intake": {"referrals.v1"},
    "referral": {"referrals.v1", "consents.v1", "services.v1", "disclosures.v1", "agencies.v1"},
    "consent": {"referrals.v1", "agencies.v1"},
    "reporting": {"referrals.v1", "consents.v1", "services.v1", "agencies.v1"},
}


def on_the_bus(event_type: str) -> bool:
    return "x-becomes" not in schemas.event_schema(event_type)


def target(reference: dict[str, str]) -> Any:
    found: Any = DOCUMENT
    for step in reference["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def operations(service: str, action: str) -> list[Any]:
    return [body for name, body in OPERATIONS.items() if name.split("-")[0] == service and body["action"] == action]


def names(operation: Any) -> set[str]:
    return {reference["$ref"].rsplit("/", 1)[-1] for reference in operation["messages"]}


def test_each_event_type_is_one_message_with_its_schema() -> None:
    assert sorted(MESSAGES) == sorted(schemas.event_types())
    for event_type, message in MESSAGES.items():
        assert message["name"] == event_type
        assert message["payload"] == {"$ref": f"./events/{event_type}.json"}
        assert message["title"] == schemas.event_schema(event_type)["title"]


@pytest.mark.parametrize("event_type", schemas.event_types())
def test_event_is_on_the_channel_of_its_topic_only(event_type: str) -> None:
    found = [channel["address"] for channel in CHANNELS.values() if event_type in channel["messages"]]
    assert found == ([schemas.event_schema(event_type)["x-topic"]] if on_the_bus(event_type) else [])


def test_channel_message_refers_to_the_message_of_its_name() -> None:
    for channel in CHANNELS.values():
        for name, reference in channel["messages"].items():
            assert target(reference) is MESSAGES[name]


@pytest.mark.parametrize("service", sorted(READS))
def test_service_sends_exactly_what_schemas_say(service: str) -> None:
    senders = {"intake", "agency"} if service == "intake" else {service}
    expected = {type_ for sender in senders for type_ in schemas.event_types(sender) if on_the_bus(type_)}
    sent = [name for operation in operations(service, "send") for name in names(operation)]
    assert sorted(sent) == sorted(expected)


@pytest.mark.parametrize(("service", "topics"), sorted(READS.items()))
def test_service_reads_only_the_topics_it_needs(service: str, topics: set[str]) -> None:
    assert {target(operation["channel"])["address"] for operation in operations(service, "receive")} == topics


def test_consent_reads_sealed_referrals_only() -> None:
    [read] = [names(operation) for operation in operations("consent", "receive") if "messages" in operation]
    assert read == {"referral.sealed.v1"}


def test_intake_reads_refusals_only() -> None:
    [operation] = operations("intake", "receive")
    assert names(operation) == {"event.refused.v1"}


def test_operation_name_says_service_verb_and_channel() -> None:
    verbs = {"send": "sends", "receive": "receives"}
    for name, operation in OPERATIONS.items():
        channel = operation["channel"]["$ref"].removeprefix("#/channels/")
        assert name.split("-")[1:] == [verbs[operation["action"]], channel]
        for reference in operation.get("messages", []):
            assert reference["$ref"].startswith(f"#/channels/{channel}/messages/")
            assert target(reference)


@pytest.mark.parametrize(("topic", "hours"), sorted(KEPT.items()))
def test_topic_has_its_retention_time(topic: str, hours: int) -> None:
    [channel] = [channel for channel in CHANNELS.values() if channel["address"] == topic]
    kafka = channel["bindings"]["kafka"]
    assert kafka["partitions"] == 6
    assert kafka["topicConfiguration"] == {"cleanup.policy": ["delete"], "retention.ms": hours * HOUR}


def test_agencies_topic_is_compacted() -> None:
    """The topic keeps the last event about each agency."""
    kafka = CHANNELS["agencies"]["bindings"]["kafka"]
    assert kafka["partitions"] == 1
    assert kafka["topicConfiguration"] == {"cleanup.policy": ["compact"], "max.compaction.lag.ms": 24 * HOUR}


def test_subject_is_never_a_header() -> None:
    headers = DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"]
    assert "ce_subject" not in headers["properties"]
