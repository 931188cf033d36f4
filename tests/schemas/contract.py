"""Shared by the tests of the contract: its documents, its examples, and a validator for them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator, Registry, ValidationError, ValidationErrorKind

import schemas

FOLDER = Path(str(files("schemas")))


@dataclass(frozen=True, slots=True)
class Example:
    """One file of `schemas/examples`; `pointer` is the place at fault, or None if the data is valid."""

    event_type: str
    name: str
    data: Any
    pointer: str | None


def examples() -> Iterator[Example]:
    """Yield every example."""
    for path in sorted((FOLDER / "examples").glob("*/*.json")):
        content = json.loads(path.read_text("utf-8"))
        if path.stem.startswith("valid-"):
            yield Example(path.parent.name, path.stem, content, None)
        else:
            yield Example(path.parent.name, path.stem, content["data"], content["pointer"])


@cache
def validator(event_type: str) -> Draft202012Validator:
    """Return a validator for an event type, built from the published documents alone, as a partner would."""
    registry = Registry(list(schemas.documents().items()))
    return Draft202012Validator(schemas.event_schema(event_type), registry=registry, validate_formats=True)


def complaints(event_type: str, data: object) -> set[str]:
    """Return JSON Pointers to the faults; an additional or missing member is named itself."""
    return {pointer for error in validator(event_type).iter_errors(data) for pointer in _pointers(error)}


def _pointers(error: ValidationError) -> list[str]:
    path = "".join(f"/{step}" for step in error.instance_path)
    match error.kind:
        case ValidationErrorKind.AdditionalProperties(unexpected):
            return [f"{path}/{name}" for name in unexpected]
        case ValidationErrorKind.Required(name):
            return [f"{path}/{name}"]
    return [path]


def objects(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each object in some data, the outermost first."""
    if isinstance(value, dict):
        yield at
    steps: Mapping[Any, object] = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        steps = dict(enumerate(value))
    for step, inner in steps.items():
        yield from objects(inner, (*at, step))


def changed(value: object, path: tuple[str | int, ...], change: object) -> object:
    """Return a copy of the data with another value at one path."""
    if not path:
        return change
    copy: Any = list(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value
    copy[path[0]] = changed(copy[path[0]], path[1:], change)
    return copy


def references(value: object) -> Iterator[str]:
    """Yield the target of each `$ref` at any depth."""
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for inner in value.values():
            yield from references(inner)
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)
