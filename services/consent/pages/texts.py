"""Texts about her as pages show them: each member of a part with its label, in full and as text, never as markup.

Only what is written is shown: no link is made of an address, and nothing is shortened or put right.
"""

from collections.abc import Mapping
from typing import Any

import schemas

_TITLE = {"en": "title", "fr": "x-title-fr"}
Lines = list[tuple[str, str]]
"""Label and text of each member."""


def members_of(category: str, part: Mapping[str, Any], language: str) -> Lines:
    """Return the members of a part, each with its label in a language, in the order of its schema."""
    properties: Mapping[str, Any] = schemas.part_schema(category)["properties"]
    return [
        (rule[_TITLE[language]], _text(rule, part[name], language)) for name, rule in properties.items() if name in part
    ]


def labelled_parts(parts: Mapping[str, Mapping[str, Any]], language: str) -> dict[str, Lines]:
    """Return the lines of each part, by category in alphabetical order."""
    return {category: members_of(category, part, language) for category, part in sorted(parts.items())}


def _text(rule: Mapping[str, Any], value: Any, language: str) -> str:
    """Return a value as text; a code by its label."""
    if isinstance(value, list):
        return "\n".join(_text(rule.get("items", {}), item, language) for item in value)
    kind = str(rule.get("$ref", "")).rsplit("/", 1)[-1].removesuffix(".json")
    return schemas.label(kind, value, language, str(value)) if kind else str(value)
