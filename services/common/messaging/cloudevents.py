"""The event that travels between services, in two CloudEvents 1.0 forms: binary on the bus, structured over HTTP."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import from_json, to_json

from services.common.errors import Fault
from services.common.instants import read_instant
from services.common.media_types import read_media_type

CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
DATA_CONTENT_TYPE = "application/json"
MAX_BATCH = 500
# So many events fit, each with every text of every part as long as its schema allows (22,000 characters, mostly ASCII).
MAX_BATCH_BODY = 12 * 1024 * 1024
MAX_FUTURE = timedelta(minutes=1)

# Only these attributes are accepted: any other one would travel unsealed.
ATTRIBUTES = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "traceparent"}
)
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,64}")
_TYPE = re.compile(r"[a-z]+(\.[a-z]+)+\.v[0-9]+")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Event:
    """One fact or request. `source` and `id` identify it; events of one `key` keep their order on the bus.

    `subject` is a survivor's ppid as a partner posts it; it never goes onto the bus. `traceparent` is the *starting*
    trace of the whole way (CloudEvents distributed tracing extension), not of one hop.
    """

    id: str
    source: str
    type: str
    time: datetime
    data: Mapping[str, Any]
    key: str = ""
    subject: str | None = field(default=None, repr=False)
    traceparent: str | None = None


def to_headers(event: Event) -> dict[str, str]:
    """Return the attributes as Kafka headers (CloudEvents Kafka binding, binary mode), without `subject`."""
    headers = {
        "content-type": DATA_CONTENT_TYPE,
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": event.source,
        "ce_type": event.type,
        "ce_time": event.time.isoformat(),
    }
    if event.traceparent:
        headers["ce_traceparent"] = event.traceparent
    return headers


def to_value(event: Event) -> bytes:
    """Return the data as the record's value, in JSON."""
    return to_json(event.data)


def from_record(headers: Mapping[str, str], value: bytes | None, key: str) -> Event:
    """Read an event from a bus record of either mode; raise `ValueError` if it holds none."""
    if value is None:
        raise ValueError("a record without a value is a tombstone, not an event")
    content_type = headers.get("content-type", "")
    kind = None if content_type == DATA_CONTENT_TYPE else read_media_type(content_type)
    if kind and kind.name == CONTENT_TYPE:
        document = from_json(value)
        return _build({f"ce_{name}": document.get(name) for name in ATTRIBUTES}, document.get("data"), key)
    return _build(headers, from_json(value), key)


def _build(attributes: Mapping[str, Any], data: Any, key: str) -> Event:
    # Every service reads every event here, a thousand at a time, so this must be fast.
    get = attributes.get
    id_, source, type_, time = get("ce_id"), get("ce_source"), get("ce_type"), get("ce_time")
    if not (id_ and source and type_ and time and get("ce_specversion") == "1.0" and isinstance(data, dict)):
        missing = [name for name in ("id", "source", "type", "time") if not get(f"ce_{name}")]
        raise ValueError(f"not a CloudEvent: {', '.join(missing) or 'specversion or data'}")
    instant = read_instant(time)
    if instant is None:
        raise ValueError("not a CloudEvent: time")
    return Event(id_, source, type_, instant, data, key, traceparent=get("ce_traceparent"))


def from_structured(document: object, now: datetime) -> Event | list[Fault]:
    """Read a posted document; return the event, or every fault of its attributes (`contracts` checks its data)."""
    if not isinstance(document, dict):
        return [Fault("", "An event is a JSON object.", "CloudEvents 1.0, structured mode")]
    # An attribute that is null counts as left out (CloudEvents JSON format, section 2.2).
    document = {name: value for name, value in document.items() if value is not None}
    faults = [*_unknown(document), *_malformed(document), *_miscoded(document), *_mistimed(document, now)]
    if faults:
        return faults
    return Event(
        id=document["id"],
        source=document["source"],
        type=document["type"],
        time=read_instant(document.get("time")) or now,
        data=document["data"],
        subject=document.get("subject"),
        traceparent=document.get("traceparent"),
    )


def _unknown(document: Mapping[str, Any]) -> list[Fault]:
    accepted = ", ".join(sorted(ATTRIBUTES))
    # The name is not repeated: it may hold personal data.
    return (
        [Fault("", "The event has an attribute that is not known here.", accepted)]
        if document.keys() - ATTRIBUTES
        else []
    )


def _malformed(document: Mapping[str, Any]) -> list[Fault]:
    rules = {
        "specversion": (document.get("specversion") == "1.0", '"1.0"'),
        "id": (_matches(_ID, document.get("id")), "1 to 128 printable ASCII characters, no spaces"),
        "source": (isinstance(document.get("source"), str), "your client id"),
        "type": (_matches(_TYPE, document.get("type")), "a type name such as referral.requested.v1"),
        "subject": (
            "subject" not in document or _matches(_SUBJECT, document["subject"]),
            "a ppid that this hub gave you",
        ),
        "dataschema": (isinstance(document.get("dataschema", ""), str), "a URI"),
        "data": (isinstance(document.get("data"), dict), "a JSON object"),
        "traceparent": (
            "traceparent" not in document or _matches(_TRACEPARENT, document["traceparent"]),
            "a W3C traceparent, version 00",
        ),
    }
    return [Fault(f"/{name}", "Missing or malformed.", accepted) for name, (ok, accepted) in rules.items() if not ok]


def _miscoded(document: Mapping[str, Any]) -> list[Fault]:
    """Return the fault of a `datacontenttype` that is not JSON in UTF-8; media types are compared as RFC 9110 says."""
    kind = read_media_type(document.get("datacontenttype", DATA_CONTENT_TYPE))
    if kind is None or kind.name != DATA_CONTENT_TYPE:
        return [Fault("/datacontenttype", "Missing or malformed.", DATA_CONTENT_TYPE)]
    if not kind.is_utf8:
        return [
            Fault("/datacontenttype", "Its charset is not UTF-8.", f"{DATA_CONTENT_TYPE}, with no charset or utf-8")
        ]
    return []


def _mistimed(document: Mapping[str, Any], now: datetime) -> list[Fault]:
    if "time" not in document:
        return []
    time = read_instant(document["time"])
    if time is None:
        return [Fault("/time", "Not a time that can be read.", "an RFC 3339 date-time with an offset")]
    if time > now + MAX_FUTURE:
        return [Fault("/time", "This lies in the future.", f"at most {MAX_FUTURE.seconds} seconds ahead of this hub")]
    return []


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
