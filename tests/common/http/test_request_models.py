"""A body with thousands of faults is refused quickly, with a short answer."""

from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from pydantic import Field
from starlette.testclient import TestClient

from services.common.http.app import MOST_FAULTS, create_app
from services.common.http.request_models import MOST_MEMBERS, Body

MARK = "cedarwaxwing"


class Part(Body):
    code: str


class Thing(Body):
    name: str
    parts: dict[str, Part] = Field({})
    numbers: list[int] = Field([])


@pytest.fixture
def http() -> Iterator[TestClient]:
    routes = APIRouter()

    @routes.post("/things")
    def post(thing: Thing) -> int:
        return len(thing.parts)

    with TestClient(create_app("test", "", [routes])) as client:
        yield client


MANY = {f"{MARK}{number}": number for number in range(MOST_MEMBERS)}


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"name": "a", **MANY}, ""),
        ({"name": "a", "parts": {**MANY, "one": {"code": "b"}}}, ""),
        ({"name": "a", "parts": {"one": {"code": "b", **MANY}}}, "/parts/one"),
    ],
    ids=["the body", "an object in it", "a part of that"],
)
def test_too_many_members_are_one_fault(http: TestClient, body: object, member: str) -> None:
    answer = http.post("/things", json=body)
    assert answer.status_code == 422
    assert [fault["member"] for fault in answer.json()["errors"]] == [member]
    assert MARK not in answer.text


def test_greatest_number_of_members_is_accepted(http: TestClient) -> None:
    parts = {f"part_{number}": {"code": "b"} for number in range(MOST_MEMBERS)}
    assert http.post("/things", json={"name": "a", "parts": parts}).json() == MOST_MEMBERS


def test_only_the_first_of_many_faults_are_reported(http: TestClient) -> None:
    answer = http.post("/things", json={"name": "a", "numbers": [MARK] * 10_000})
    told = [fault["member"] for fault in answer.json()["errors"]]
    assert (answer.status_code, told) == (422, [f"/numbers/{number}" for number in range(MOST_FAULTS)])
