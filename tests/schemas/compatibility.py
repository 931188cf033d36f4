"""Compares schemas of two releases: valid data must stay valid and keep its meaning (BACKWARD_TRANSITIVE)."""

import json
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.schemas.contract import FOLDER

Schema = Mapping[str, Any]
Documents = Mapping[str, Schema]
KINDS = ("codes", "events", "parts")


@dataclass(frozen=True, slots=True)
class Rule:
    """A forbidden change within a version; `broken` recognises it from the old and the new schema of one place."""

    name: str
    broken: Callable[[Schema, Schema], bool]


def _values(schema: Schema) -> frozenset[object] | None:
    """Return the closed list of values that a schema accepts; None if it accepts no closed list."""
    if "const" in schema:
        return frozenset({schema["const"]})
    if "oneOf" in schema:
        return frozenset(choice["const"] for choice in schema["oneOf"])
    return frozenset(schema["enum"]) if "enum" in schema else None


def _kind(schema: Schema) -> str:
    return "list" if _values(schema) is not None else str(schema.get("type"))


def _narrower_kind(old: Schema, new: Schema) -> bool:
    return (_kind(old), _kind(new)) not in {(_kind(new), _kind(new)), ("integer", "number")}


def _narrower_list(old: Schema, new: Schema) -> bool:
    before, after = _values(old), _values(new)
    return before is not None and after is not None and not before <= after


def _required(schema: Schema) -> set[str]:
    return set(schema.get("required", []))


def _bound(word: str, tighter: Callable[[int, int], bool]) -> Callable[[Schema, Schema], bool]:
    def broken(old: Schema, new: Schema) -> bool:
        return word in new and (word not in old or tighter(new[word], old[word]))

    return broken


def _form(word: str) -> Callable[[Schema, Schema], bool]:
    """Detect a new or changed constraint; removing one is allowed, since it accepts more."""
    return lambda old, new: word in new and new[word] != old.get(word)


def _fact(word: str) -> Callable[[Schema, Schema], bool]:
    return lambda old, new: old.get(word) != new.get(word)


RULES = (
    # Names are those of schema registries where they have one, so that a partner's tools use the same.
    Rule("property_removed_from_closed_content_model", lambda old, new: bool(_names(old) - _names(new))),
    Rule("required_attribute_added", lambda old, new: bool(_required(new) - _required(old))),
    # Data would stay valid, but a reader may rely on a required member.
    Rule("required_attribute_removed", lambda old, new: bool((_required(old) - _required(new)) & _names(new))),
    Rule(
        "additional_properties_narrowed",
        lambda old, new: (
            old.get("additionalProperties", True) is not False and new.get("additionalProperties") is False
        ),
    ),
    Rule("type_narrowed", _narrower_kind),
    Rule("enum_array_narrowed", _narrower_list),
    Rule("pattern_added_or_changed", _form("pattern")),
    Rule("format_added_or_changed", _form("format")),
    Rule("max_length_decreased", _bound("maxLength", operator.lt)),
    Rule("min_length_increased", _bound("minLength", operator.gt)),
    Rule("maximum_decreased", _bound("maximum", operator.lt)),
    Rule("minimum_increased", _bound("minimum", operator.gt)),
    Rule("max_items_decreased", _bound("maxItems", operator.lt)),
    Rule("min_items_increased", _bound("minItems", operator.gt)),
    Rule("max_properties_decreased", _bound("maxProperties", operator.lt)),
    Rule("min_properties_increased", _bound("minProperties", operator.gt)),
    Rule("unique_items_added", lambda old, new: bool(new.get("uniqueItems")) and not old.get("uniqueItems")),
    # Who may read a value, on which topic it travels and who sends it is part of the contract.
    Rule("category_changed", _fact("x-category")),
    Rule("topic_changed", _fact("x-topic")),
    Rule("sender_changed", _fact("x-sender")),
    Rule("subject_changed", _fact("x-subject")),
    Rule("becomes_changed", _fact("x-becomes")),
)


def breaks(old: Documents, new: Documents) -> list[str]:
    """Return `place: rule` for each rule that a later set of documents breaks; empty if none."""
    gone = [f"{name}: document_removed" for name in sorted(old.keys() - new.keys())]
    both = sorted(old.keys() & new.keys())
    return gone + [found for name in both for found in _walk(_whole(old, name), _whole(new, name), name)]


def read(folder: Path) -> Documents:
    """Return the documents in a folder (a release, or today's) by names such as `events/<type>`."""
    return {
        f"{kind}/{path.stem}": json.loads(path.read_text("utf-8"))
        for kind in KINDS
        for path in sorted((folder / kind).glob("*.json"))
    }


def releases() -> list[str]:
    """Return the names of all kept releases."""
    return sorted(path.name for path in (FOLDER / "released").iterdir() if path.is_dir())


def _walk(old: Schema, new: Schema, at: str) -> Iterator[str]:
    yield from (f"{at}: {rule.name}" for rule in RULES if rule.broken(old, new))
    for name in sorted(_names(old) & _names(new)):
        yield from _walk(old["properties"][name], new["properties"][name], f"{at}/{name}")
    if "items" in old and "items" in new:
        yield from _walk(old["items"], new["items"], f"{at}/*")


def _names(schema: Schema) -> set[str]:
    return set(schema.get("properties", {}))


def _whole(documents: Documents, name: str) -> Schema:
    """Return a document with each `$ref` replaced by its target of the same release."""
    whole: Schema = _inlined(documents, documents[name])
    return whole


def _inlined(documents: Documents, value: Any) -> Any:
    if isinstance(value, list):
        return [_inlined(documents, inner) for inner in value]
    if not isinstance(value, dict):
        return value
    beside = {word: _inlined(documents, inner) for word, inner in value.items() if word != "$ref"}
    if "$ref" not in value:
        return beside
    target = value["$ref"].removeprefix("../").removesuffix(".json")
    return {**_inlined(documents, documents[target]), **beside}
