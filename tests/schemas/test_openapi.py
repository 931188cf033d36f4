"""The OpenAPI documents match the routes, show no internal route, and describe real answers."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from click.testing import CliRunner

from services import composition
from services.client import Partner
from tests.schemas.contract import FOLDER, references
from tests.support.hubs import TestHub, embedded_hub
from tools import openapi

DOCUMENTS: Mapping[str, Any] = {
    name: json.loads((FOLDER / "openapi" / f"{name}.json").read_text("utf-8")) for name in composition.NAMES
}
OPERATIONS = [
    pytest.param(method, path, operation, id=f"{method} {path}")
    for document in DOCUMENTS.values()
    for path, operations in document["paths"].items()
    for method, operation in operations.items()
]
each_document = pytest.mark.parametrize("name", composition.NAMES)
each_operation = pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)

CAPACITY = {
    "type": "capacity.declared.v1",
    "data": {
        "program": "sample",
        "need": "N02",
        "region": "halifax",
        "unit": "bed",
        "total": 3,
        "available": 1,
        "as_of": "2026-01-01T04:00:00+00:00",
    },
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHub]:
    with embedded_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(scope="module")
def agency(hub: TestHub) -> Partner:
    return hub.join("Example Shelter", "housing")


def schema_of(name: str, path: str, method: str, status: str) -> dict[str, Any]:
    """Return the schema of an answer, with the components that it refers to."""
    document = DOCUMENTS[name]
    response = document["paths"][path][method]["responses"][status]
    while "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[-1]]
    [content] = response["content"].values()
    return {**content["schema"], "components": document["components"]}


def test_documents_match_the_routes() -> None:
    for name, text in openapi.texts().items():
        kept = (FOLDER / "openapi" / f"{name}.json").read_text("utf-8")
        assert kept == text, f"schemas/openapi/{name}.json is stale; run: make openapi"


def test_check_names_a_stale_document_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in composition.NAMES:
        (tmp_path / f"{name}.json").write_bytes((FOLDER / "openapi" / f"{name}.json").read_bytes())
    monkeypatch.setattr(openapi, "FOLDER", tmp_path)
    assert CliRunner().invoke(openapi.main, ["--check"]).exit_code == 0

    (tmp_path / "consent.json").write_text("{}")
    checked = CliRunner().invoke(openapi.main, ["--check"])
    assert checked.exit_code == 1
    assert "consent.json" in checked.stderr
    assert "intake.json" not in checked.stderr
    assert (tmp_path / "consent.json").read_text() == "{}"

    assert CliRunner().invoke(openapi.main, []).exit_code == 0
    assert CliRunner().invoke(openapi.main, ["--check"]).exit_code == 0


@each_document
def test_references_resolve_and_schemas_are_valid(name: str) -> None:
    document = DOCUMENTS[name]
    for reference in references(document):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


@each_operation
def test_operation_description_is_a_sentence(method: str, path: str, operation: Mapping[str, Any]) -> None:
    assert operation["description"].endswith(".")
    assert operation["description"][0].isupper()


@each_operation
def test_operation_refuses_with_the_shared_problem(method: str, path: str, operation: Mapping[str, Any]) -> None:
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    assert "422" not in operation["responses"]


@each_operation
def test_operation_names_its_security_scheme(method: str, path: str, operation: Mapping[str, Any]) -> None:
    public = {
        "/intake/.well-known/oauth-authorization-server",
        "/consent/.well-known/authzen-configuration",
        "/intake/jwks.json",
        "/consent/jwks.json",
        "/intake/oauth/token",
        "/consent/v1/ledger/key",
        "/consent/v1/ledger/checkpoint",
        "/consent/v1/ledger/checkpoint/cosigned",
        "/consent/v1/ledger/tile/{path}",
        "/my/v1/session",
        "/my/v1/revoke-card",
    }
    if path.startswith("/reporting/") or (path in public and method != "delete"):
        assert operation["security"] == []
    else:
        assert operation["security"] == [{"survivor" if path.startswith("/my/") else "partner": []}]


@each_document
def test_no_document_shows_internal_or_health_routes(name: str) -> None:
    text = json.dumps(DOCUMENTS[name])
    assert "/internal" not in text
    assert "/health" not in text


@pytest.mark.backend("sqlite", "local_log")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("get", "/referral/v1/inbox", None, 401),
        ("post", "/my/v1/session", {"passphrase": "no such words"}, 401),
        ("post", "/my/v1/session", {"passphrase": "x", "more": 1}, 422),
        ("get", "/reporting/v1/publications/{publication}/certificate.json", None, 404),
    ],
)
def test_refusal_matches_the_documented_problem(
    hub: TestHub, method: str, path: str, body: object, status: int
) -> None:
    name = next(name for name, document in DOCUMENTS.items() if path in document["paths"])
    answer = httpx2.request(method, hub.origins.url(path.format(publication="xx")), json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    jsonschema_rs.validate(schema_of(name, path, method, "default"), answer.json())


@pytest.mark.backend("sqlite", "local_log")
def test_event_results_match_the_document(agency: Partner) -> None:
    posted = schema_of("intake", "/intake/v1/events", "post", "202")
    found = schema_of("intake", "/intake/v1/events/{event_id}", "get", "200")

    one = agency.post(CAPACITY)
    jsonschema_rs.validate(posted, one)
    jsonschema_rs.validate(found, agency.call("GET", f"/intake/v1/events/{one['id']}"))

    broken = {**CAPACITY, "data": {**CAPACITY["data"], "need": "unknown"}}  # type: ignore[dict-item]
    batch = list(agency.post_all(iter([CAPACITY, broken])))
    assert [result["status"] for result in batch] == ["accepted", "rejected"]
    jsonschema_rs.validate(posted, batch)
