"""Every schema is valid, closed and annotated, and refers to published documents only."""

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
# Forbidden parts of member names. Free text that people write is not checked.
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


def test_readme_explains_exactly_the_annotations() -> None:
    table = re.findall(r"^\|[^|]*\|([^|]*)\|", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    explained = {word for cell in table for word in re.findall(r"`(x-[a-z-]+)`", cell)}
    assert explained == {word for document in DOCUMENTS.values() for word in annotations(document)}


def test_every_file_is_a_document_with_its_own_id() -> None:
    paths = [path for folder in ("codes", "events", "parts") for path in (FOLDER / folder).iterdir()]
    expected = {f"https://fireweed.example/schemas/{path.parent.name}/{path.name}" for path in paths}
    assert set(DOCUMENTS) == expected


@each_document
def test_document_is_valid_against_the_metaschema(address: str) -> None:
    assert DOCUMENTS[address]["$schema"] == DIALECT
    jsonschema_rs.meta.validate(DOCUMENTS[address])


@each_document
def test_document_breaks_no_lint_rule(address: str) -> None:
    assert problems(DOCUMENTS[address]) == []


@each_document
def test_document_has_title_and_description(address: str) -> None:
    document = DOCUMENTS[address]
    assert document["title"]
    assert str(document["description"]).endswith((".", "?"))


@each_document
def test_document_refers_to_published_documents_only(address: str) -> None:
    base = "https://fireweed.example/schemas/"
    assert {ref.replace("../", base) for ref in references(DOCUMENTS[address])} <= set(DOCUMENTS)


@each_document
def test_no_member_asks_for_forbidden_facts(address: str) -> None:
    names = {name for name, _ in properties(DOCUMENTS[address])}
    assert [(name, word) for name in names for word in NEVER_ASKED if word in name] == []


@each_event
def test_event_schema_has_sender_topic_and_subject(event_type: str) -> None:
    schema = schemas.event_schema(event_type)
    assert schema["x-sender"] in {"agency", "intake", "referral", "consent"}
    assert re.fullmatch(r"[a-z]+\.v1", str(schema["x-topic"]))
    assert schema["x-subject"] in {"ppid", "none"}


@each_event
def test_only_posted_events_hold_free_text_or_a_subject(event_type: str) -> None:
    schema = schemas.event_schema(event_type)
    personal = any("x-category" in inner for _, inner in properties(schema))
    if personal or schema["x-subject"] == "ppid":
        assert schema["x-sender"] == "agency"
        assert str(schema["x-becomes"]) in schemas.event_types("intake")
    else:
        assert "x-becomes" not in schema


@each_event
def test_replacing_event_type_has_the_same_topic(event_type: str) -> None:
    schema = schemas.event_schema(event_type)
    becomes = schemas.event_schema(str(schema.get("x-becomes", event_type)))
    assert becomes["x-topic"] == schema["x-topic"]


def test_public_agency_name_is_the_only_free_routing_text() -> None:
    """`agency.changed.v1` holds the one routing fact that is made of words."""
    found = {
        (address.rsplit("/", 1)[-1], name)
        for address, document in DOCUMENTS.items()
        for name, inner in properties(document)
        if "x-public-name" in inner
    }
    assert found == {("agency.changed.v1.json", "name")}


def test_every_category_has_a_part_that_requests_carry() -> None:
    categories = schemas.code_set("categories")
    request: Any = schemas.event_schema("referral.requested.v1")
    assert {path.stem for path in (FOLDER / "parts").iterdir()} == categories
    assert set(request["properties"]["parts"]["properties"]) == categories


@pytest.mark.parametrize("category", sorted(schemas.code_set("categories")))
def test_titles_in_a_part_are_also_in_french(category: str) -> None:
    part = DOCUMENTS[f"https://fireweed.example/schemas/parts/{category}.json"]
    for schema in (part, *(inner for _, inner in properties(part))):
        assert schema["title"]
        assert schema["x-title-fr"]
        assert schema["x-title-fr"] != schema["title"]


def test_list_in_an_event_can_hold_every_code() -> None:
    lists = [inner for document in DOCUMENTS.values() for _, inner in properties(document) if "items" in inner]
    coded = [inner for inner in lists if "$ref" in inner["items"]]
    assert coded
    for inner in coded:
        name = inner["items"]["$ref"].removeprefix("../codes/").removesuffix(".json")
        assert inner["maxItems"] == len(schemas.codes(name))
