"""One trace leads from a request to its last effect, and no span, metric or log record holds personal data."""

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from deploy.testing.kafka import KafkaServer
from services.common import telemetry
from services.common.messaging.broker import Record
from services.common.messaging.kafka import KafkaBroker
from tests.support.telemetry_journey import CALLER, CANARY, FOLLOWING, PARTNER


@dataclass(frozen=True, slots=True)
class Told:
    """Spans, metrics and log of a process."""

    spans: list[dict[str, Any]]
    metrics: dict[str, list[Mapping[str, Any]]]
    records: list[dict[str, str]]
    log: str
    text: str

    def record(self, event: str) -> dict[str, str]:
        return next(record for record in self.records if record["ce_id"] == event)

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]

    def spans_of(self, record: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the spans of the trace that carries a record."""
        return [span for span in self.spans if span["context"]["trace_id"] == f"0x{trace_of(record['traceparent'])}"]


def trace_of(traceparent: str) -> str:
    return traceparent.split("-")[1]


def span_of(traceparent: str) -> str:
    return traceparent.split("-")[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder: Path = tmp_path_factory.mktemp("traced")
    command = [sys.executable, "-m", "tests.support.telemetry_journey", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    text = (folder / "telemetry.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    numbers: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        for resource in line.get("resource_metrics", []):
            for scope in resource["scope_metrics"]:
                numbers |= {metric["name"]: metric["data"]["data_points"] for metric in scope["metrics"]}
    spans = [line for line in lines if "context" in line]
    return Told(spans, numbers, json.loads((folder / "records.json").read_text()), done.stderr, text)


def test_one_trace_leads_from_a_request_to_its_last_effect(told: Told) -> None:
    assert trace_of(told.record("called")["traceparent"]) == trace_of(CALLER)
    assert trace_of(told.record("called-1")["traceparent"]) == trace_of(CALLER)
    names = [span["name"] for span in told.spans_of(told.record("called"))]
    assert names.count("POST /things/{name}") == 2
    assert names.count("process referral.updated.v1") == 2


def test_each_hop_continues_the_one_before(told: Told) -> None:
    posted = told.record("alone")
    server = next(span for span in told.spans_of(posted) if span["kind"] == "SpanKind.SERVER")
    process = next(span for span in told.spans_of(posted) if span["kind"] == "SpanKind.CONSUMER")
    assert server["context"]["span_id"] == f"0x{span_of(posted['traceparent'])}"
    assert process["parent_id"] == server["context"]["span_id"]
    assert process["context"]["span_id"] == f"0x{span_of(told.record('alone-1')['traceparent'])}"


def test_a_callers_span_is_the_parent_of_the_requests(told: Told) -> None:
    servers = [span for span in told.spans_of(told.record("called")) if span["kind"] == "SpanKind.SERVER"]
    assert {span["parent_id"] for span in servers} == {f"0x{span_of(CALLER)}"}


def test_starting_trace_is_the_one_of_the_partner(told: Told) -> None:
    record = told.record("begun")
    assert record["ce_traceparent"] == PARTNER
    assert trace_of(record["traceparent"]) == trace_of(CALLER)


def test_trace_starts_with_the_request_without_a_partners(told: Told) -> None:
    record = told.record("alone")
    assert record["ce_traceparent"] == record["traceparent"]


def test_outside_of_any_trace_nothing_is_carried(told: Told) -> None:
    assert set(told.record("untraced-1")) & {"traceparent", "ce_traceparent", "tracestate"} == set()


def test_sent_batch_is_linked_to_the_traces_of_its_events(told: Told) -> None:
    sent = [span for span in told.named("send referrals.v1") if span["kind"] == "SpanKind.PRODUCER"]
    linked = {link["context"]["trace_id"] for span in sent for link in span["links"]}
    posted = ("called", "alone", "poison")
    assert linked >= {f"0x{trace_of(told.record(name)['traceparent'])}" for name in posted}


def test_span_of_a_failure_holds_only_its_class(told: Told) -> None:
    failed = {span["name"]: span["status"] for span in told.spans if span["status"]["status_code"] == "ERROR"}
    assert failed == {
        "GET /broken/{name}": {"status_code": "ERROR", "description": "LookupError"},
        "process referral.updated.v1": {"status_code": "ERROR", "description": "LookupError"},
        "send referrals.v1": {"status_code": "ERROR", "description": "BrokerUnavailable"},
    }
    assert all(span["events"] == [] for span in told.spans)


def test_a_request_is_named_by_its_route_and_never_by_its_path(told: Told) -> None:
    servers = {span["name"] for span in told.spans if span["kind"] == "SpanKind.SERVER"}
    assert servers == {"POST /things/{name}", "GET /broken/{name}", "GET unknown"}
    statuses = {
        span["name"]: span["attributes"]["http.response.status_code"] for span in told.spans if span["name"] in servers
    }
    assert statuses == {"POST /things/{name}": 200, "GET /broken/{name}": 500, "GET unknown": 404}


def test_metrics_have_route_and_service_as_labels(told: Told) -> None:
    requests = {point["attributes"]["route"]: point["count"] for point in told.metrics["fireweed.http.request"]}
    assert requests == {"/things/{name}": 4, "/broken/{name}": 1, "unknown": 1}
    assert [(point["attributes"], point["value"]) for point in told.metrics["fireweed.outbox.relayed"]] == [
        ({"service": "test"}, 8)
    ]
    assert [point["value"] for point in told.metrics["fireweed.events.parked"]] == [1]


def test_spans_metrics_and_log_hold_no_personal_text(told: Told) -> None:
    assert told.spans
    assert told.metrics
    assert told.log
    assert CANARY not in told.text
    assert CANARY not in told.log


def test_every_log_record_is_one_json_object(told: Told) -> None:
    lines = [json.loads(line) for line in told.log.splitlines()]
    down = next(line for line in lines if line["message"] == "the bus is down")
    assert down["level"] == "error"
    assert down["error"] == "BrokerUnavailable"
    assert any("telemetry_journey.py" in place for place in down["at"])


def test_following_event_continues_the_trace(told: Told) -> None:
    assert told.record("called-1")["ce_type"] == FOLLOWING


@pytest.mark.backend("kafka")
def test_trace_headers_stand_once_in_a_kafka_record(kafka_server: KafkaServer) -> None:
    kafka_server.empty_topics()
    with closing(KafkaBroker(kafka_server.bootstrap).producer()) as producer:
        record = Record("referrals.v1", "key", {"traceparent": CALLER, "ce_traceparent": PARTNER}, b"{}")
        assert producer.send([record]).acknowledged(20) == [True]
    options = {"group_id": None, "auto_offset_reset": "earliest", "consumer_timeout_ms": 20_000}
    with closing(KafkaConsumer("referrals.v1", bootstrap_servers=kafka_server.bootstrap, **options)) as consumer:
        found = next(consumer)
    assert sorted(found.headers) == [("ce_traceparent", PARTNER.encode()), ("traceparent", CALLER.encode())]


def test_without_an_exporter_nothing_is_recorded() -> None:
    assert not telemetry.recording()
    assert telemetry.outgoing_context() == {}


SPEAKING = f"""
import logging
from services.common import telemetry
from services.common.settings import Settings
telemetry.start(Settings(log_level="debug"), "test")
for name in ("authlib.oauth2.rfc6749.grants.client_credentials", "sqlalchemy.engine", "kafka.conn", "asyncio", "any.other"):
    logging.getLogger(name).debug("Issue token %s", "{CANARY}")
    logging.getLogger(name).info("{CANARY}")
logging.getLogger("python_multipart.multipart").warning("Expected boundary character 45, got %d", {ord(CANARY[0])})
telemetry.log.debug("the hub itself")
"""


def test_at_the_lowest_level_only_the_hub_itself_speaks() -> None:
    done = subprocess.run([sys.executable, "-c", SPEAKING], capture_output=True, text=True, check=True, timeout=60)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["the hub itself"]


def test_log_keeps_class_and_frames_of_exception_no_message() -> None:
    try:
        raise LookupError(CANARY) from ValueError(CANARY)
    except LookupError:
        record = logging.LogRecord("fireweed", logging.ERROR, "", 0, "%s failed", ("a loop",), sys.exc_info())
    line = telemetry._AsJson().format(record)
    assert CANARY not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("error", "fireweed", "a loop failed")
    assert told["error"] == "LookupError"
    assert told["at"][0].startswith("test_telemetry.py:")
