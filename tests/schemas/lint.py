"""Checks rules beyond validity for every schema of the contract: closed, bounded, annotated."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import schemas

Schema = Mapping[str, Any]

# Keywords with one meaning in draft-07 and in 2020-12, so that validators of both agree.
ABOUT = {"$schema", "$id", "title", "description"}
KINDS = ("$ref", "const", "enum", "oneOf", "type")
OF_OBJECTS = {"properties", "required", "additionalProperties", "minProperties", "maxProperties"}
OF_ARRAYS = {"items", "minItems", "maxItems", "uniqueItems"}
OF_VALUES = {"minLength", "maxLength", "pattern", "format", "minimum", "maximum"}
KEYWORDS = ABOUT.union(KINDS, OF_OBJECTS, OF_ARRAYS, OF_VALUES)

# Allowed beside `$ref`; draft-07 ignores all members there.
BESIDE_REF = {"$ref", "title", "description"}
TYPES = ("object", "array", "string", "integer", "number", "boolean")

ROUTING = "routing"
SENTENCE = "She would like a call after lunch, please."


def problems(document: Schema) -> list[str]:
    """Return `place: problem` for each rule that the schema breaks; empty if none."""
    return list(_walk(document, "", None))


def _walk(schema: Schema, at: str, kind: str | None) -> Iterator[str]:
    """Yield problems in a subtree; `kind` is the annotation of the nearest property, routing or a category, or None."""
    broken = (*_vocabulary(schema), *_form(schema), *_bounds(schema), *_closed(schema, kind))
    yield from (f"{at or '/'}: {problem}" for problem in broken)
    for name, inner in schema.get("properties", {}).items():
        place = f"{at}/{name}"
        yield from (f"{place}: {problem}" for problem in _annotation(inner, kind))
        yield from _walk(inner, place, _kind(inner))
    if isinstance(schema.get("items"), Mapping):
        yield from _walk(schema["items"], f"{at}/*", kind)


def _kind(schema: Schema) -> str:
    return str(schema.get("x-category", ROUTING))


def _vocabulary(schema: Schema) -> Iterator[str]:
    own = {word for word in schema if not word.startswith("x-")}
    yield from (f"keyword {word} is outside the subset" for word in sorted(own - KEYWORDS))
    if "$ref" in schema and own - BESIDE_REF:
        yield "beside $ref there is more than a title and a description"


def _form(schema: Schema) -> Iterator[str]:
    kinds = [word for word in KINDS if word in schema]
    if len(kinds) != 1:
        yield f"exactly one of {', '.join(KINDS)} says what this is"
    if "type" in schema and schema["type"] not in TYPES:
        yield "type is not one plain type"
    if not all(isinstance(choice, Mapping) and "const" in choice for choice in schema.get("oneOf", [])):
        yield "oneOf is for codes only"


def _bounds(schema: Schema) -> Iterator[str]:
    what = schema.get("type")
    is_object = what == "object" or "properties" in schema
    if is_object and (schema.get("additionalProperties") is not False or what != "object"):
        yield "the object is open"
    if what == "array" and not ("maxItems" in schema and isinstance(schema.get("items"), Mapping)):
        yield "the array has no end or no kind of item"
    if what in ("integer", "number") and not {"minimum", "maximum"} <= schema.keys():
        yield "the number has no bounds"
    if what == "string" and "maxLength" not in schema:
        yield "the string has no end"


def _closed(schema: Schema, kind: str | None) -> Iterator[str]:
    if kind == ROUTING and schema.get("type") == "string" and not _is_closed(schema):
        yield "free text in a routing fact"
    target = schema.get("$ref")
    allowed = {f"../parts/{kind}.json"} if kind in _categories() else set()
    if target is not None and target not in allowed and not re.fullmatch(r"\.\./codes/[a-z_]+\.json", target):
        yield "$ref leads to neither a list of codes nor the part of its category"


def _is_closed(schema: Schema) -> bool:
    """Tell whether no sentence fits; an organization's public name is the one routing fact with free text."""
    if schema.get("format") in {"date", "date-time"} or schema.get("x-public-name") is True:
        return True
    pattern = schema.get("pattern", "")
    return pattern.startswith("^") and pattern.endswith("$") and not re.search(pattern, SENTENCE)


def _annotation(schema: Schema, outer: str | None) -> Iterator[str]:
    category, routing = schema.get("x-category"), schema.get("x-routing")
    if (category is None) == (routing is None):
        yield "needs one of x-category and x-routing"
    if routing not in {None, True}:
        yield "x-routing is true or absent"
    if category is not None and category not in _categories():
        yield "x-category is no known category"
    if outer in _categories() and category != outer:
        yield "lies inside a category and says otherwise"


def _categories() -> frozenset[str]:
    return schemas.code_set("categories")
