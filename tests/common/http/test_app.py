"""Every application answers with problem documents, safe headers and a size limit, and repeats no value of the sender."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import APIRouter, Depends, Form, Request, Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.common import telemetry
from services.common.errors import Fault, Problem, invalid, not_found
from services.common.http.app import HEADERS, MAX_BODY, MAX_DEPTH, create_app, json_body, raw_body
from services.common.http.server import ByPrefix
from tests.support.server import served

CANARY = "sample-aspen-canary"
PROBLEM = "application/problem+json"
routes = APIRouter(prefix="/test")


class Body(BaseModel):
    """A closed body, as services define them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    code: str = Field(max_length=8)
    count: int = 0
    parts: dict[str, int] = Field(default_factory=dict)


@routes.get("/fine")
def fine() -> dict[str, str]:
    return {"is": "fine"}


@routes.get("/own-headers")
def own_headers() -> Response:
    return Response("page", headers={"Cache-Control": "max-age=1", "X-Own": "1"}, media_type="text/plain")


@routes.post("/raw")
def raw(content: Annotated[bytes, Depends(raw_body)]) -> dict[str, Any]:
    json_body(content)
    return {"size": len(content)}


@routes.post("/model")
def model(body: Body, dry: bool = False) -> dict[str, int]:
    return {"count": body.count}


@routes.post("/form")
def form(text: Annotated[str, Form()] = "") -> dict[str, int]:
    return {"size": len(text)}


FAILURES: dict[str, Exception] = {
    "hidden": not_found(),
    "problem": Problem(409, "test", "A title.", [Fault("/a", "Wrong.", "right")], {"X-Own": "1"}, {"more": 1}),
    "invalid": invalid(Fault("/a", "Wrong."), Fault("/b", "Wrong.")),
    "database": OperationalError(CANARY, {}, Exception(CANARY)),
    "pool": PoolTimeout(CANARY),
    "data": DataError(CANARY, {}, Exception(CANARY)),
    "unforeseen": LookupError(CANARY),
    "recursion": RecursionError(CANARY),
}


@routes.get("/fail/{how}")
def fail(how: str) -> None:
    raise FAILURES[how]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(ByPrefix({"/test": create_app("test", "", [routes])})) as url:
        yield url


@pytest.fixture(scope="module")
def hub(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url) as client:
        yield client


def connect(url: str) -> socket.socket:
    """A bare connection."""
    place = urlsplit(url)
    return socket.create_connection((str(place.hostname), int(place.port or 0)), 20)


def problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """Return the problem document of an answer, which must be one."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    document: dict[str, Any] = answer.json()
    assert document["type"].startswith("urn:fireweed:problem:")
    assert document["title"]
    assert document["status"] == status
    assert CANARY not in answer.text
    return document


def members(answer: httpx2.Response, status: int) -> list[str]:
    return [error["member"] for error in problem(answer, status)["errors"]]


REQUESTS: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "fine": (200, "GET", "/test/fine", {}),
    "unknown path": (404, "GET", f"/test/{CANARY}", {}),
    "unknown prefix": (404, "GET", f"/{CANARY}", {}),
    "no path": (404, "GET", "/", {}),
    "hidden": (404, "GET", "/test/fail/hidden", {}),
    "another method": (405, "DELETE", "/test/fine", {}),
    "a problem": (409, "GET", "/test/fail/problem", {}),
    "invalid": (400, "GET", "/test/fail/invalid", {}),
    "no database": (503, "GET", "/test/fail/database", {}),
    "no connection left": (503, "GET", "/test/fail/pool", {}),
    "unstorable": (400, "GET", "/test/fail/data", {}),
    "unforeseen": (500, "GET", "/test/fail/unforeseen", {}),
    "too deep inside": (500, "GET", "/test/fail/recursion", {}),
    "not JSON": (400, "POST", "/test/raw", {"content": CANARY}),
    "not JSON for a model": (422, "POST", "/test/model", {"content": CANARY}),
    "not the model": (422, "POST", "/test/model", {"json": {CANARY: CANARY}}),
    "too large": (413, "POST", "/test/raw", {"content": CANARY * MAX_BODY}),
}


@pytest.mark.parametrize(("status", "method", "path", "content"), REQUESTS.values(), ids=REQUESTS)
def test_answers_have_safe_headers_and_errors_are_problems(
    hub: httpx2.Client, status: int, method: str, path: str, content: dict[str, Any]
) -> None:
    answer = hub.request(method, path, **content)
    if status >= 400:
        problem(answer, status)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)
    assert "server" not in answer.headers


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def with_pages() -> Iterator[httpx2.Client]:
    def show(request: Request, problem: Problem) -> Response | None:
        shown = Response(f"page of {problem.status}", problem.status, media_type="text/html")
        return None if request.url.path == "/test/fail/hidden" else shown

    app = create_app("test", "", [routes], show=show)
    with served(ByPrefix({"/test": app})) as url, httpx2.Client(base_url=url) as client:
        yield client


@pytest.mark.parametrize(
    "name", ["unknown path", "another method", "a problem", "no database", "unforeseen", "unstorable"]
)
def test_browser_gets_a_problem_page_and_programs_json(
    hub: httpx2.Client, with_pages: httpx2.Client, name: str
) -> None:
    status, method, path, content = REQUESTS[name]
    told, page = (hub.request(method, path, headers=BROWSER, **content) for hub in (hub, with_pages))
    problem(told, status)
    problem(with_pages.request(method, path, **content), status)
    assert (page.status_code, page.text) == (status, f"page of {status}")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    changed = {"content-type", "content-length", "date"}
    assert {(name, page.headers[name]) for name in page.headers if name not in changed} == {
        (name, told.headers[name]) for name in told.headers if name not in changed
    }


def test_browser_without_a_page_gets_json(with_pages: httpx2.Client) -> None:
    problem(with_pages.get("/test/fail/hidden", headers=BROWSER), 404)


def test_route_may_override_a_default_header(hub: httpx2.Client) -> None:
    answer = hub.get("/test/own-headers")
    assert answer.headers.get_list("cache-control") == ["max-age=1"]
    assert answer.headers["x-own"] == "1"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_hidden_and_missing_resources_answer_alike(hub: httpx2.Client) -> None:
    answers = [hub.get(path) for path in ("/test/fail/hidden", "/test/nothing", "/elsewhere", "/", "/test")]
    assert len({(answer.status_code, answer.content, tuple(answer.headers.items())) for answer in answers}) == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_missing_resource_answers_every_method_alike(hub: httpx2.Client, method: str) -> None:
    assert hub.request(method, "/test/nothing").content == hub.get("/test/fail/hidden").content


def test_extra_slash_is_not_redirected(hub: httpx2.Client) -> None:
    answer = hub.get("/test/fine/", headers={"host": "evil.example"})
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_problem_document_holds_all_members(hub: httpx2.Client) -> None:
    answer = hub.get("/test/fail/problem")
    assert answer.json() == {
        "type": "urn:fireweed:problem:test",
        "title": "A title.",
        "status": 409,
        "more": 1,
        "errors": [{"member": "/a", "detail": "Wrong.", "accepted": "right"}],
    }
    assert answer.headers["x-own"] == "1"


def test_wrong_method_is_answered_with_the_known_ones(hub: httpx2.Client) -> None:
    assert hub.delete("/test/fine").headers["allow"] == "GET"
    assert hub.head("/test/fine").status_code == 405


def test_head_of_a_public_route_has_the_headers_of_get() -> None:
    with served(create_app("test", "", [routes], public=True)) as url, httpx2.Client(base_url=url) as client:
        for path in ("/test/fine", "/test/nothing", "/test/own-headers", "/test/fine"):
            head, whole = client.head(path), client.get(path)
            assert head.content == b""
            assert head.status_code == whole.status_code
            assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}
        assert client.post("/test/fine").status_code == 405


@pytest.mark.parametrize("how", ["database", "pool"])
def test_outage_says_when_to_try_again(hub: httpx2.Client, how: str) -> None:
    assert int(hub.get(f"/test/fail/{how}").headers["retry-after"]) > 0


def send_unannounced(hub: httpx2.Client, path: str, size: int) -> httpx2.Response:
    """Yield a body in pieces, without an announced length."""
    pieces = (b" " * 1024 for _ in range(size // 1024))
    return hub.post(path, content=pieces, headers={"content-type": "application/json"})


@pytest.mark.parametrize("path", ["/test/raw", "/test/model", "/test/form"])
def test_a_body_over_the_limit_is_refused_announced_or_not(hub: httpx2.Client, path: str) -> None:
    announced = hub.post(path, content=b" " * (MAX_BODY + 1), headers={"content-type": "application/json"})
    assert "at most 262144 bytes" in problem(announced, 413)["errors"][0]["accepted"]
    if path != "/test/form":
        assert problem(send_unannounced(hub, path, MAX_BODY + 1024), 413)["errors"] == announced.json()["errors"]


def test_an_unannounced_form_over_the_limit_is_refused(hub: httpx2.Client) -> None:
    pieces = (b"text=" + b"a" * 1024 for _ in range(MAX_BODY // 1024))
    kind = {"content-type": "application/x-www-form-urlencoded"}
    problem(hub.post("/test/form", content=pieces, headers=kind), 413)


def test_a_body_of_exactly_the_limit_is_taken(hub: httpx2.Client) -> None:
    content = json.dumps("a" * (MAX_BODY - 2)).encode()
    assert len(content) == MAX_BODY
    assert hub.post("/test/raw", content=content).json() == {"size": MAX_BODY}


def test_refused_body_is_not_read(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(b"POST /test/raw HTTP/1.1\r\nhost: a\r\ncontent-length: 900000000\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_malformed_http_is_answered_without_an_echo(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(f"{CANARY}\r\n\r\n".encode())
        assert CANARY.encode() not in connection.recv(4096)


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({}, "/code"),
        ({"code": CANARY}, "/code"),
        ({"code": 1}, "/code"),
        ({"code": "a", "count": CANARY}, "/count"),
        ({"code": "a", CANARY: 1}, ""),
        ({"code": "a", "parts": [CANARY]}, "/parts"),
        ([CANARY], ""),
        (None, ""),
    ],
)
def test_fault_in_a_body_names_its_place_only(hub: httpx2.Client, body: object, member: str) -> None:
    assert members(hub.post("/test/model", json=body), 422) == [member]


def test_name_made_up_by_the_sender_is_not_repeated(hub: httpx2.Client) -> None:
    answer = hub.post("/test/model", json={"code": "a", "parts": {CANARY: "x"}})
    problem(answer, 422)


def test_fault_in_the_query_names_its_parameter(hub: httpx2.Client) -> None:
    assert members(hub.post(f"/test/model?dry={CANARY}", json={"code": "a"}), 422) == ["query dry"]


NOT_JSON = [b"", b"{", b"{'a': 1}", b"\xff\xfe", CANARY.encode(), b"[" * 100_000, b"NaN", b"[Infinity]", b"-Infinity"]
NOT_JSON += [
    b'"\\ud800"',
    b'{"\\udfff": 1}',
    b'"\xed\xa0\x80"',
    b"1" * 5000,
    b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
]
NOT_JSON += ['"a"'.encode("utf-16"), b"1e999"]


@pytest.mark.parametrize("content", NOT_JSON, ids=[str(content[:20]) for content in NOT_JSON])
def test_body_that_is_not_json_is_refused(hub: httpx2.Client, content: bytes) -> None:
    assert members(hub.post("/test/raw", content=content), 400) == [""]


texts = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(json_values, st.booleans())
def test_every_json_document_is_parsed_unchanged(document: object, ascii_only: bool) -> None:
    assert json_body(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        json_body(content)
    except Problem as refusal:
        assert refusal.status == 400  # noqa: PT017 - being read is as good


def test_a_failure_does_not_spoil_the_next_request(hub: httpx2.Client) -> None:
    for _time in range(20):
        assert hub.get("/test/fail/unforeseen").status_code == 500
        assert hub.get("/test/fine").status_code == 200


def test_message_of_a_failure_is_not_logged(hub: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for how in ("unforeseen", "database", "data"):
            hub.get(f"/test/fail/{how}")
    lines = [telemetry._AsJson().format(record) for record in caplog.records if record.name != "httpx2"]
    assert any('"LookupError"' in line for line in lines)
    assert CANARY not in "".join(lines)


def test_kept_values_are_on_the_application_state() -> None:
    assert create_app("test", "", [], thing=1).state.thing == 1


def test_no_documentation_is_served(hub: httpx2.Client) -> None:
    for path in ("/test/docs", "/test/openapi.json", "/docs", "/openapi.json", "/redoc"):
        assert hub.get(path).status_code == 404


def test_slow_sender_does_not_delay_other_requests(hub: httpx2.Client, url: str) -> None:
    with connect(url) as slow:
        slow.sendall(b"POST /test/raw HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n[1")
        assert hub.get("/test/fine").status_code == 200


def test_the_request_is_told_to_routes_unchanged() -> None:
    own = APIRouter()

    @own.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    with served(create_app("test", "", [own])) as url:
        content = bytes(range(256)) * 1000
        assert httpx2.post(f"{url}/echo", content=content).content == content
