"""Reads media types with their parameters (RFC 9110, section 8.3.1), so that none is compared as plain text."""

import re
from collections.abc import Mapping
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})")
_PARAMETER = re.compile(rf"[ \t]*;[ \t]*(?:({_TOKEN})=({_TOKEN}|{_QUOTED}))?")


class MediaType(NamedTuple):
    """A type in lower case, such as `application/json`, and its parameters: names in lower case, values without quotes."""

    name: str
    parameters: Mapping[str, str]

    @property
    def is_utf8(self) -> bool:
        """Whether the `charset`, if there is one, is UTF-8."""
        return self.parameters.get("charset", "utf-8").lower() == "utf-8"


def read_media_type(value: object) -> MediaType | None:
    """Return the media type that a text holds; None if it is malformed or gives a parameter twice."""
    text = value.strip(" \t") if isinstance(value, str) else ""
    found = _TYPE.match(text)
    if found is None:
        return None
    parameters: dict[str, str] = {}
    place = found.end()
    while place < len(text):
        parameter = _PARAMETER.match(text, place)
        if parameter is None:
            return None
        place = parameter.end()
        name, given = parameter.groups()
        if name is None:
            continue
        if name.lower() in parameters:
            return None
        parameters[name.lower()] = re.sub(r"\\(.)", r"\1", given[1:-1]) if given.startswith('"') else given
    return MediaType(found.group().lower(), parameters)
