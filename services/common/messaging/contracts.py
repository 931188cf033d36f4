"""Checks an event's data against its schema in `schemas/`, and reports the values that would be accepted."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator, Registry, ValidationError, ValidationErrorKind
from jsonschema_rs.canonical.json import to_string

import schemas
from services.common.errors import Fault

# Longer than any list that an agency may post. Of a list that is too long, only so many items are validated.
BEGINNING = 16


def faults(event_type: str, data: Mapping[str, Any]) -> list[Fault]:
    """Return every way in which the data breaks its schema, as faults under `/data`; no value is repeated."""
    validator = _validator(event_type)
    if validator.is_valid(data):
        return []
    # Each item can be a fault. To find the faults of 100,000 items would block every other request for half a minute.
    found = [_fault(error) for error in validator.iter_errors(_beginning(data))]
    return found or [_fault(error) for error in validator.iter_errors(data)]


def part_faults(category: str, part: object) -> list[tuple[str, str, str | None]]:
    """Return every way in which a part breaks the schema of its category: JSON Pointer, reason, what is accepted."""
    found = [_fault(error) for error in _part_validator(category).iter_errors(_beginning(part))]
    return [(fault.member.removeprefix("/data"), fault.detail, fault.accepted) for fault in found]


def meaning(document: object) -> bytes:
    """Return the canonical JSON of a document, the same for all that a schema cannot tell apart (as by member order)."""
    return to_string(document).encode()


def topic(event_type: str) -> str:
    """Return the topic on which events of this type travel."""
    return str(schemas.event_schema(event_type)["x-topic"])


def needs_subject(event_type: str) -> bool:
    """Return whether such an event is about one survivor, so that its `subject` must be her ppid."""
    return schemas.event_schema(event_type)["x-subject"] == "ppid"


@cache
def posted_types() -> frozenset[str]:
    """Return the types that agencies may post."""
    return frozenset(schemas.event_types("agency"))


@cache
def _registry() -> Registry:
    return Registry(list(schemas.documents().items()))


@cache
def _validator(event_type: str) -> Draft202012Validator:
    return Draft202012Validator(schemas.event_schema(event_type), registry=_registry(), validate_formats=True)


@cache
def _part_validator(category: str) -> Draft202012Validator:
    return Draft202012Validator(schemas.part_schema(category), registry=_registry(), validate_formats=True)


def _beginning(value: Any) -> Any:
    """Return a value in which each list is cut to its first `BEGINNING` items."""
    if isinstance(value, Mapping):
        return {name: _beginning(item) for name, item in value.items()}
    return [_beginning(item) for item in value[:BEGINNING]] if isinstance(value, list) else value


def _fault(error: ValidationError) -> Fault:
    steps: list[object] = [*error.instance_path]
    if isinstance(error.kind, ValidationErrorKind.Required):
        steps.append(error.kind.property)
    path = "".join(f"/{_escape(str(step))}" for step in steps)
    return Fault(f"/data{path}", _REASONS.get(_keyword(error), "Not as the schema asks."), _accepted(error))


def _keyword(error: ValidationError) -> str:
    return str(error.schema_path[-1]) if error.schema_path else ""


def _accepted(error: ValidationError) -> str | None:
    keyword, schema = _keyword(error), _schema_at(error)
    if keyword == "oneOf":
        return ", ".join(str(choice["const"]) for choice in schema.get("oneOf", []))
    if keyword == "additionalProperties":
        return ", ".join(schema.get("properties", {}))
    if keyword == "required":
        return f"every one of: {', '.join(schema.get('required', []))}"
    return _ACCEPTED.get(keyword, "{}").format(schema[keyword]) if keyword in schema else None


def _schema_at(error: ValidationError) -> Mapping[str, Any]:
    """Return the schema object whose keyword failed; its address is absolute after a `$ref`."""
    location = error.absolute_keyword_location or ""
    address, _, pointer = location.partition("#")
    document: Any = schemas.documents().get(address, {})
    for step in pointer.strip("/").split("/")[:-1]:
        name = step.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document.get(name, {})
    return document if isinstance(document, dict) else {}


def _escape(step: str) -> str:
    # A step can be a name that the sender invented; only names that a schema could hold are repeated.
    return step if re.fullmatch(r"[a-z_0-9]{1,32}", step) else "*"


_REASONS = {
    "additionalProperties": "There is a member too many here.",
    "required": "Missing.",
    "oneOf": "Not one of the codes.",
    "enum": "Not one of the values.",
    "type": "Of the wrong JSON type.",
    "pattern": "Not of the right form.",
    "format": "Not of the right form.",
    "maxLength": "Too long.",
    "minLength": "Too short.",
    "maximum": "Too large.",
    "minimum": "Too small.",
    "maxItems": "Too many.",
    "minItems": "Too few.",
    "minProperties": "Empty.",
    "uniqueItems": "Given twice.",
}
_ACCEPTED = {
    "type": "JSON {}",
    "pattern": "what matches {}",
    "format": "an RFC 3339 {}",
    "maxLength": "at most {} characters",
    "minLength": "{} or more characters",
    "maximum": "at most {}",
    "minimum": "at least {}",
    "maxItems": "at most {} items",
    "minItems": "{} or more items",
    "minProperties": "{} or more members",
    "uniqueItems": "each item once",
}
