"""Media types are compared as media types: case, blanks, quotes and parameters mean nothing more than RFC 9110 says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.media_types import MediaType, read_media_type

JSON = "application/json"
READ = {
    JSON: {},
    "Application/JSON": {},
    " application/json\t": {},
    "application/json;charset=utf-8": {"charset": "utf-8"},
    'application/json ; Charset="UTF-8"': {"charset": "UTF-8"},
    'application/json; a="b\\"c;d"; e=f;': {"a": 'b"c;d', "e": "f"},
    "application/json;": {},
}
MALFORMED = [
    "",
    "application",
    "application/",
    "/json",
    "application/json charset=utf-8",
    "application/json; charset",
    "application/json; charset = utf-8",
    'application/json; charset="utf-8',
    "application/json; charset=utf-8; charset=latin-1",
    "application/json, text/plain",
    "application /json",
    None,
    1,
]


@pytest.mark.parametrize(("text", "parameters"), READ.items())
def test_media_type_is_read_with_its_parameters(text: str, parameters: dict[str, str]) -> None:
    assert read_media_type(text) == MediaType(JSON, parameters)


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_media_type_is_refused(value: object) -> None:
    assert read_media_type(value) is None


@pytest.mark.parametrize(("charset", "utf8"), [("utf-8", True), ("UTF-8", True), ("latin-1", False), ('""', False)])
def test_charset_of_media_type_is_told(charset: str, utf8: bool) -> None:
    found = read_media_type(f"application/json; charset={charset}")
    assert found is not None
    assert found.is_utf8 is utf8


@given(st.text())
def test_any_text_is_a_media_type_or_none(text: str) -> None:
    found = read_media_type(text)
    assert found is None or "/" in found.name
