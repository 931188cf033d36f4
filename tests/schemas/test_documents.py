"""Every schema is valid, closed, annotated, and leads nowhere that is not published."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest

import schemas
from tests.schemas.contract import FOLDER, references
from tests.schemas.lint import problems

DOCUMENTS = schemas.documents()
DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Parts of member names; what people may say in their own words is theirs.
NEVER_ASKED = (
    *(
        "trafficker",
        "buyer",
        "abuse",
        "recruit",
        "trauma",
        "bond",
        "diagnosis",
        "condition",
        "substance",
        "charge",
    ),
    *("pregnan", "custody", "child", "status", "country", "birth", "record", "worker", "note", "comment"),
    *("postal", "address", "street", "photo", "device"),
)

each_document = pytest.mark.parametrize("address", sorted(DOCUMENTS))
each_event = pytest.mark.parametrize("event_type", schemas.event_types())


def properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        yield name, inner
        yield from properties(inner)
    if "items" in schema:
        yield from properties(schema["items"])


def annotations(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (word for word in value if word.startswith("x-"))
        for inner in value.values():
            yield from annotations(inner)
    if isinstance(value, list):
        for inner in value:
            yield from annotations(inner)


def test_the_readme_explains_every_annotation_and_no_other() -> None:
    table = re.findall(r"^\|[^|]*\|([^|]*)\|", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    explained = {word for cell in table for word in re.findall(r"`(x-[a-z-]+)`", cell)}
    assert explained == {word for document in DOCUMENTS.values() for word in annotations(document)}


def test_every_file_is_a_document_under_its_own_name() -> None:
    paths = [path for folder in ("codes", "events", "parts") for path in (FOLDER / folder).iterdir()]
    expected = {f"https://fireweed.example/schemas/{path.parent.name}/{path.name}" for path in paths}
    assert set(DOCUMENTS) == expected


@each_document
def test_a_document_is_valid_against_the_metaschema(address: str) -> None:
    assert DOCUMENTS[address]["$schema"] == DIALECT
    jsonschema_rs.meta.validate(DOCUMENTS[address])


@each_document
def test_a_document_keeps_every_rule_of_the_lint(address: str) -> None:
    assert problems(DOCUMENTS[address]) == []


@each_document
def test_a_document_says_what_it_is_for(address: str) -> None:
    document = DOCUMENTS[address]
    assert document["title"]
    assert str(document["description"]).endswith((".", "?"))


@each_document
def test_a_document_refers_only_to_what_is_published(address: str) -> None:
    base = "https://fireweed.example/schemas/"
    assert {ref.replace("../", base) for ref in references(DOCUMENTS[address])} <= set(DOCUMENTS)


@each_document
def test_no_member_asks_what_must_never_be_collected(address: str) -> None:
    names = {name for name, _ in properties(DOCUMENTS[address])}
    assert [(name, word) for name in names for word in NEVER_ASKED if word in name] == []


@each_event
def test_an_event_says_who_sends_it_where_and_about_whom(event_type: str) -> None:
    schema = schemas.event_schema(event_type)
    assert schema["x-sender"] in {"agency", "intake", "referral", "consent"}
    assert re.fullmatch(r"[a-z]+\.v1", str(schema["x-topic"]))
    assert schema["x-subject"] in {"ppid", "none"}


@each_event
def test_only_what_an_agency_posts_holds_words_or_a_subject(event_type: str) -> None:
    schema = schemas.event_schema(event_type)
    personal = any("x-category" in inner for _, inner in properties(schema))
    if personal or schema["x-subject"] == "ppid":
        assert schema["x-sender"] == "agency"
        assert str(schema["x-becomes"]) in schemas.event_types("intake")
    else:
        assert "x-becomes" not in schema


@each_event
def test_what_an_event_becomes_travels_on_the_same_topic(event_type: str) -> None:
    schema = schemas.event_schema(event_type)
    becomes = schemas.event_schema(str(schema.get("x-becomes", event_type)))
    assert becomes["x-topic"] == schema["x-topic"]


def test_words_in_a_routing_fact_are_only_an_organizations_public_name() -> None:
    found = {
        (address.rsplit("/", 1)[-1], name)
        for address, document in DOCUMENTS.items()
        for name, inner in properties(document)
        if "x-public-name" in inner
    }
    assert found == {("agency.changed.v1.json", "name")}


def test_every_category_has_one_part_and_a_place_in_a_request() -> None:
    categories = schemas.code_set("categories")
    request: Any = schemas.event_schema("referral.requested.v1")
    assert {path.stem for path in (FOLDER / "parts").iterdir()} == categories
    assert set(request["properties"]["parts"]["properties"]) == categories


@pytest.mark.parametrize("category", sorted(schemas.code_set("categories")))
def test_every_title_in_a_part_is_in_french_too(category: str) -> None:
    part = DOCUMENTS[f"https://fireweed.example/schemas/parts/{category}.json"]
    for schema in (part, *(inner for _, inner in properties(part))):
        assert schema["title"]
        assert schema["x-title-fr"]
        assert schema["x-title-fr"] != schema["title"]


def test_a_list_in_an_event_can_hold_every_code() -> None:
    lists = [inner for document in DOCUMENTS.values() for _, inner in properties(document) if "items" in inner]
    coded = [inner for inner in lists if "$ref" in inner["items"]]
    assert coded
    for inner in coded:
        name = inner["items"]["$ref"].removeprefix("../codes/").removesuffix(".json")
        assert inner["maxItems"] == len(schemas.codes(name))
