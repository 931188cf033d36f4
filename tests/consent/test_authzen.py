"""Test the AuthZEN API: an agency learns only its own access, and a denial never tells why or about whom."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.handlers.rights import erasure
from services.consent.models import ledger_entry
from tests.support.consent import Agency, House, Person

ONE, MANY = "/consent/access/v1/evaluation", "/consent/access/v1/evaluations"
NO = {"decision": False, "context": {"permitted": [], "policy": "1", "valid_until": None, "consent_epoch": None}}


def question(agency: Agency, ppid: str, *categories: str, **changed: Any) -> dict[str, Any]:
    asked = {
        "subject": {"type": "agency", "id": agency.id},
        "action": {"name": "referral"},
        "resource": {"type": "survivor", "id": ppid, "properties": {"categories": categories or ("summary",)}},
    }
    return {**asked, **changed}


def ask(house: House, agency: Agency, ppid: str, *categories: str, **changed: Any) -> dict[str, Any]:
    answer = house.call(agency, ONE, question(agency, ppid, *categories, **changed))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def linked(house: House) -> tuple[Agency, Person]:
    agency = house.agency()
    return agency, house.person(agency)


def test_granted_categories_are_permitted_until_earliest_end(house: House) -> None:
    """`valid_until` is the end of the token here, which comes before the end of the grant."""
    agency, person = linked(house)
    house.allow(person, agency, "summary", "housing", days=3)
    told = ask(house, agency, person.ppid, "summary", "housing")

    token_end = house.clock.now() + timedelta(hours=1)
    assert told["decision"] is True
    assert told["context"]["permitted"] == ["housing", "summary"]
    assert told["context"]["valid_until"] == token_end.isoformat(), "the token ends before the grant"
    assert told["context"]["policy"] == "1"
    assert told["context"]["consent_epoch"]


def test_partly_granted_question_is_denied_and_names_the_part(house: House) -> None:
    """`permitted` lists the categories that are granted."""
    agency, person = linked(house)
    house.allow(person, agency, "summary")
    told = ask(house, agency, person.ppid, "summary", "health")

    assert told["decision"] is False
    assert told["context"]["permitted"] == ["summary"]


def test_denial_equals_answer_for_unknown_survivor(house: House) -> None:
    """No grant, pause, erasure, restriction and no link: all get the answer for a ppid that never existed."""
    agency, person = linked(house)
    other, stranger = linked(house)
    paused, forgotten = house.person(agency), house.person(agency)
    house.allow(paused, agency)
    house.allow(forgotten, agency)
    grants.pause(house.context, paused.subject)
    erasure.erase(house.context, forgotten.subject)
    forbidding = house.person(agency)
    house.allow(forbidding, agency)
    grants.restrict(house.context, forbidding.subject, Rule(category="summary"))
    house.allow(stranger, other)

    for ppid in (person.ppid, paused.ppid, forgotten.ppid, forbidding.ppid, stranger.ppid, "never", ""):
        answer = house.call(agency, ONE, question(agency, ppid))
        assert (answer.status_code, answer.json()) == (200, NO)
    lengths = {len(house.call(agency, ONE, question(agency, name)).content) for name in (person.ppid, "never")}
    assert len(lengths) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": {"type": "agency", "id": "somebody-else"}},
        {"subject": {"type": "user", "id": "{agency}"}},
        {"action": {"name": "other"}},
        {"action": {"name": "court_support"}},
        {"resource": {"type": "record", "id": "{ppid}", "properties": {"categories": ["summary"]}}},
        {"resource": {"type": "survivor", "id": "{ppid}", "properties": {"categories": ["summary", "other"]}}},
    ],
)
def test_question_beyond_callers_own_access_is_denied(house: House, changed: dict[str, Any]) -> None:
    agency, person = linked(house)
    house.allow(person, agency)
    assert ask(house, agency, person.ppid)["decision"] is True
    filled = {
        name: {key: _filled(value, agency, person) for key, value in part.items()} for name, part in changed.items()
    }

    assert ask(house, agency, person.ppid, **filled)["decision"] is False


def _filled(value: Any, agency: Agency, person: Person) -> Any:
    return value.format(agency=agency.id, ppid=person.ppid) if isinstance(value, str) else value


def test_answer_follows_each_change_without_caching(house: House) -> None:
    """Each answer is decided anew: a pause, a resume and a revocation take effect at once."""
    agency, person = linked(house)
    name = house.allow(person, agency)
    for _ in range(3):
        assert ask(house, agency, person.ppid)["decision"] is True
        grants.pause(house.context, person.subject)
        assert ask(house, agency, person.ppid) == NO
        grants.resume(house.context, person.subject)
    grants.revoke_grant(house.context, person.subject, name)
    assert ask(house, agency, person.ppid) == NO


def test_evaluation_writes_no_ledger_entry(house: House) -> None:
    agency, person = linked(house)
    house.allow(person, agency)

    def entries() -> int:
        with house.context.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(ledger_entry)).scalar_one()

    before = entries()
    ask(house, agency, person.ppid)
    ask(house, agency, "never")
    assert entries() == before


def many(house: House, agency: Agency, body: dict[str, Any]) -> httpx2.Response:
    return house.call(agency, MANY, body)


def test_batch_answers_keep_the_order_of_questions(house: House) -> None:
    """The reference proxy of the field shifts its answers by one after a question that it cannot place."""
    agency, allowed = linked(house)
    house.allow(allowed, agency)
    denied = house.person(agency)
    names = ["never", allowed.ppid, denied.ppid, "", allowed.ppid, denied.ppid, "never"]
    answer = many(house, agency, {"evaluations": [question(agency, name) for name in names]})

    assert [one["decision"] for one in answer.json()["evaluations"]] == [name == allowed.ppid for name in names]


def test_batch_question_inherits_missing_members_from_the_top(house: House) -> None:
    """A body without a list, or with an empty one, is one question."""
    agency, person = linked(house)
    house.allow(person, agency, "summary", "health")
    above = question(agency, person.ppid, "summary")
    items = [{}, {"action": {"name": "court_support"}}, {"resource": question(agency, "never")["resource"]}]
    told = many(house, agency, {**above, "evaluations": items}).json()["evaluations"]

    assert [one["decision"] for one in told] == [True, False, False]
    assert many(house, agency, above).json()["decision"] is True, "without a list it is one question"
    assert many(house, agency, {**above, "evaluations": []}).json()["decision"] is True


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        ("execute_all", [True, False, True, False]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_batch_stops_where_its_evaluation_semantic_says(house: House, semantic: str, expected: list[bool]) -> None:
    agency, person = linked(house)
    house.allow(person, agency)
    items = [question(agency, name) for name in (person.ppid, "never", person.ppid, "never")]
    told = many(house, agency, {"evaluations": items, "options": {"evaluations_semantic": semantic}}).json()

    assert [one["decision"] for one in told["evaluations"]] == expected


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({}, "/subject"),
        ({"subject": {"type": "agency"}}, "/subject/id"),
        ({"action": {}}, "/action/name"),
        ({"resource": {"type": "survivor", "id": "x"}}, "/resource/properties"),
        ({"resource": {"type": "survivor", "id": "x", "properties": {}}}, "/resource/properties/categories"),
        (
            {"resource": {"type": "survivor", "id": "x", "properties": {"categories": []}}},
            "/resource/properties/categories",
        ),
    ],
)
def test_incomplete_question_returns_400_naming_the_member(house: House, body: dict[str, Any], member: str) -> None:
    agency = house.agency()
    asked = {**question(agency, "x"), **body} if body else {}
    answer = house.call(agency, ONE, asked)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert member in [fault["member"] for fault in answer.json()["errors"]]


def test_batch_names_incomplete_question_and_is_limited_to_100(house: House) -> None:
    agency, person = linked(house)
    complete = question(agency, person.ppid)
    lacking = {name: part for name, part in complete.items() if name != "action"}
    answer = many(house, agency, {"evaluations": [complete, lacking]})
    assert answer.status_code == 400
    assert [fault["member"] for fault in answer.json()["errors"]] == ["/evaluations/1/action"]

    assert many(house, agency, {"evaluations": [complete] * 100}).status_code == 200
    assert many(house, agency, {"evaluations": [complete] * 101}).status_code == 400


def test_unknown_members_of_a_question_are_ignored(house: House) -> None:
    """AuthZEN requires that an unknown member is ignored."""
    agency, person = linked(house)
    house.allow(person, agency)
    more = question(agency, person.ppid) | {"context": {"time": "2026-06-01T12:00:00Z"}}
    more["subject"]["properties"] = {"department": "Sample"}

    assert house.call(agency, ONE, more).json()["decision"] is True


def test_valid_request_id_is_echoed_and_invalid_is_not(house: House) -> None:
    agency = house.agency()
    url = house.url + ONE
    for name, told in (("bfe9eb29-ab87-4ca3-be83-a1d5d8305716", True), ("x" * 129, False), ("a b", False)):
        headers = agency.headers("POST", url) | {"x-request-id": name}
        answer = house.http.post(url, json=question(agency, "x"), headers=headers)
        assert answer.headers.get("x-request-id") == (name if told else None)


def test_discovery_document_names_both_endpoints(house: House) -> None:
    agency, person = linked(house)
    house.allow(person, agency)
    first, second = (
        house.http.get(house.url + path)
        for path in ("/.well-known/authzen-configuration/consent", "/consent/.well-known/authzen-configuration")
    )
    assert first.json() == second.json()
    told = first.json()
    assert told["policy_decision_point"] == f"{house.url}/consent"
    for name in ("access_evaluation_endpoint", "access_evaluations_endpoint"):
        path = told[name].removeprefix(house.url)
        assert house.call(agency, path, question(agency, person.ppid)).json()["decision"] is True
