"""Reads the contract, which is the JSON beside this file; nothing here adds to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_LABELS = {"en": "title", "fr": "x-title-fr"}


@dataclass(frozen=True, slots=True)
class Code:
    """One code of a list; `extra` is whatever the list says of it beyond its labels, by the same names."""

    code: str
    en: str
    fr: str
    extra: Mapping[str, object]


@cache
def codes(name: str) -> tuple[Code, ...]:
    """The codes of one list, in the order in which people see them; `KeyError` if there is no such list."""
    return tuple(_code(choice) for choice in _folder("codes")[name]["oneOf"])


@cache
def code_set(name: str) -> frozenset[str]:
    """The codes of one list, to ask whether something is among them."""
    return frozenset(code.code for code in codes(name))


def label(name: str, code: str, language: str, otherwise: str | None = None) -> str:
    """What people read in place of a code, in `en` or `fr`; if there is none, `otherwise`, and without that `KeyError`."""
    labels = _labels(name, language)
    return labels[code] if otherwise is None else labels.get(code, otherwise)


@cache
def event_types(sender: str | None = None) -> tuple[str, ...]:
    """Every event type, or those that one sender sends (`agency`, or a service's name), by name."""
    events = _folder("events").items()
    return tuple(sorted(type_ for type_, schema in events if sender in {None, schema["x-sender"]}))


def event_schema(event_type: str) -> dict[str, object]:
    """The schema of an event's data; `KeyError` if there is no such type."""
    return _folder("events")[event_type]


@cache
def documents() -> Mapping[str, dict[str, object]]:
    """Every schema by its `$id`, for a validator that must follow `$ref`."""
    folders = (_folder(name) for name in ("codes", "events", "parts"))
    return {schema["$id"]: schema for folder in folders for schema in folder.values()}


def plan(version: int) -> Mapping[str, Any]:
    """The tables that a publication may hold, and what relates their cells; `KeyError` if there is no such version."""
    return _folder("plans")[str(version)]


def rules(version: int) -> Mapping[str, Any]:
    """How small a published cell may be, and when a period closes; `KeyError` if there is no such version."""
    return _folder("rules")[str(version)]


@cache
def indicators() -> tuple[Mapping[str, Any], ...]:
    """The catalogue of indicators, in the order of the recommendations that they are for."""
    return tuple(entry for _, group in sorted(_folder("indicators").items()) for entry in group["indicators"])


@cache
def recommendations() -> Mapping[str, Mapping[str, Any]]:
    """What indicators are for, by number, in order; `X` is across all of them."""
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
