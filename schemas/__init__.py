"""Loads the contract, the JSON files beside this module; adds nothing to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_LABELS = {"en": "title", "fr": "x-title-fr"}


@dataclass(frozen=True, slots=True)
class Code:
    """One code of a list; `extra` holds the other members of its entry, by their names."""

    code: str
    en: str
    fr: str
    extra: Mapping[str, object]


@cache
def codes(name: str) -> tuple[Code, ...]:
    """Return the codes of one list, in display order; raise `KeyError` if the list does not exist."""
    return tuple(_code(choice) for choice in _folder("codes")[name]["oneOf"])


@cache
def code_set(name: str) -> frozenset[str]:
    """Return the codes of one list as a set of strings."""
    return frozenset(code.code for code in codes(name))


def label(name: str, code: str, language: str, otherwise: str | None = None) -> str:
    """Return the label of a code in `en` or `fr`, or else `otherwise`; without `otherwise` raise `KeyError`."""
    labels = _labels(name, language)
    return labels[code] if otherwise is None else labels.get(code, otherwise)


@cache
def event_types(sender: str | None = None) -> tuple[str, ...]:
    """Return the sorted names of all event types, or of those of one sender (`agency`, or a service's name)."""
    events = _folder("events").items()
    return tuple(sorted(type_ for type_, schema in events if sender in {None, schema["x-sender"]}))


def event_schema(event_type: str) -> dict[str, object]:
    """Return the schema of an event's data; raise `KeyError` if the type does not exist."""
    return _folder("events")[event_type]


def part_schema(category: str) -> dict[str, Any]:
    """Return the schema of one category's part; raise `KeyError` if the category does not exist."""
    return _folder("parts")[category]


@cache
def documents() -> Mapping[str, dict[str, object]]:
    """Return every schema by its `$id`, for a validator that follows `$ref`."""
    folders = (_folder(name) for name in ("codes", "events", "parts"))
    return {schema["$id"]: schema for folder in folders for schema in folder.values()}


def plan(version: int) -> Mapping[str, Any]:
    """Return the tables of a plan and the relations of their cells; raise `KeyError` if the version does not exist."""
    return _folder("plans")[str(version)]


def rules(version: int) -> Mapping[str, Any]:
    """Return the least size of a published cell and the closing time of periods; raise `KeyError` if unknown."""
    return _folder("rules")[str(version)]


@cache
def indicators() -> tuple[Mapping[str, Any], ...]:
    """Return the catalogue of indicators, in the order of their recommendations."""
    return tuple(entry for _, group in sorted(_folder("indicators").items()) for entry in group["indicators"])


@cache
def recommendations() -> Mapping[str, Mapping[str, Any]]:
    """Return the recommendations by number, in order; `X` stands for indicators across all of them."""
    return {group["recommendation"]: group for _, group in sorted(_folder("indicators").items())}


@cache
def _labels(name: str, language: str) -> Mapping[str, str]:
    member = _LABELS[language]
    return {choice["const"]: choice[member] for choice in _folder("codes")[name]["oneOf"]}


def _code(choice: Mapping[str, Any]) -> Code:
    known = {"const", *_LABELS.values()}
    extra = {member: value for member, value in choice.items() if member not in known}
    return Code(choice["const"], choice["title"], choice["x-title-fr"], extra)


@cache
def _folder(name: str) -> Mapping[str, dict[str, Any]]:
    # Read whole, once: a name from outside is then looked up in memory and never becomes a path.
    found = (entry for entry in files(__name__).joinpath(name).iterdir() if entry.name.endswith(".json"))
    return {entry.name.removesuffix(".json"): json.loads(entry.read_text("utf-8")) for entry in found}
