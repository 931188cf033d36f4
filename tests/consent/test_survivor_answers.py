"""The OpenAPI document describes the JSON answers to a survivor; each answer fits its description."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import jsonschema_rs
import pytest

from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants.grants import Rule, Wish, restrict, revoke_grant
from services.consent.handlers.rights import contacts, corrections, letters
from tests.schemas.contract import FOLDER
from tests.support.clocks import NOON
from tests.support.consent import PIN, House

DOCUMENT: Mapping[str, Any] = json.loads((FOLDER / "openapi" / "consent.json").read_text("utf-8"))
COMPONENTS: Mapping[str, Any] = DOCUMENT["components"]["schemas"]
OPEN = {"detail", "words_by_grant", "parts", "texts"}
"""Members that hold other members in each answer; their schema lists none."""
CONTACT = {"channel": "text", "address": "555-0100", "window": "noon", "wording": "Your book is here."}


def answers() -> Iterator[Any]:
    """Yield method, path and schema of each JSON answer under `/my/v1` that is a success."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                if path.startswith("/my/v1") and status.startswith("2") and content:
                    yield pytest.param(method, path, content["schema"], id=f"{method} {path}")


ANSWERS = list(answers())


def bare_objects(schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield where a schema, or a schema within it, is an object whose members it does not name."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        yield from bare_objects(COMPONENTS[name], f"{where}/{name}")
    elif schema.get("type") == "object" and where.rsplit("/", 1)[-1] not in OPEN:
        if not schema.get("properties"):
            yield where
        for name, inner in schema.get("properties", {}).items():
            yield from bare_objects(inner, f"{where}/{name}")
    for inner in [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]:
        yield from bare_objects(inner, where)


@pytest.mark.parametrize(("method", "path", "schema"), ANSWERS)
def test_answer_to_survivor_names_its_members(method: str, path: str, schema: Mapping[str, Any]) -> None:
    assert list(bare_objects(schema)) == []


@pytest.mark.parametrize("schema", [{"type": "object"}, {"type": "array", "items": {"type": "object"}}])
def test_bare_object_in_answer_is_found(schema: Mapping[str, Any]) -> None:
    assert list(bare_objects(schema)) == [""]


def test_answers_to_survivor_fit_the_document(house: House) -> None:
    """Read everything of a survivor who has one of each record. No member is missing, and none is undescribed."""
    agency = house.agency("ngo")
    person = house.person(agency)
    grant, ended = house.allow(person, agency, "contact"), house.allow(person, agency)
    restrict(house.context, person.subject, Rule(sector="justice"))
    linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"]))
    revoke_grant(house.context, person.subject, ended)
    contacts.save(house.context, person.subject, CONTACT)
    letters.write_letter(house.context, person.subject, agency.id)
    corrections.ask_to_correct(house.context, person.subject, grant, "contact")
    for sealed in ({}, {"sealed_until": (NOON.date() + timedelta(days=9)).isoformat()}):
        assert house.call(agency, "/consent/v1/compelled-disclosures", compelled(person.ppid) | sealed).is_success

    house.give_pin(person)
    token = house.session(person, stepped_up=True)
    for method, path, schema in (case.values for case in ANSWERS):
        if method == "get":
            name = grant if str(path).endswith(("/sent", "/again")) else ended
            answer = house.my("GET", str(path).removeprefix("/my/v1").format(grant=name), token, pin=PIN)
            assert answer.status_code == 200
            jsonschema_rs.validate({**closed(schema), "components": closed(DOCUMENT["components"])}, answer.json())


def compelled(ppid: str) -> dict[str, Any]:
    """Return the body of a record of a compelled disclosure."""
    return {
        "ppid": ppid,
        "basis": "court_order",
        "authority": "court",
        "categories": ["health"],
        "disclosed_on": NOON.date().isoformat(),
        "approvers": [{"initials": "AS", "role": "director"}, {"initials": "BT", "role": "clinician"}],
    }


def closed(schema: Any) -> Any:
    """Return a schema whose objects allow no member that they do not name."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(inner) for name, inner in schema.items()}
    return {**found, "additionalProperties": False} if isinstance(found.get("properties"), dict) else found
