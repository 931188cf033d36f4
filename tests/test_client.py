"""The clients for partners and survivors report success only after the hub confirmed it."""

import json
from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.client import Origins, Partner, Refused, Survivor, new_key
from tests.support.server import served

TOKEN = {"access_token": "a token of this test", "expires_in": 300}


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Give tokens, and redirect every other request, as a proxy before a hub may."""
    is_token = scope["path"].endswith("/token")
    answer = JSONResponse(TOKEN) if is_token else Response(None, 308, {"location": "https://hub.example/"})
    await answer(scope, receive, send)


@pytest.fixture
def moved() -> Iterator[str]:
    with served(elsewhere) as origin:
        yield origin


def test_redirected_partner_request_raises_refused(moved: str) -> None:
    partner = Partner.connect(moved, "agency-samplesend", new_key().as_dict(private=True))
    with pytest.raises(Refused, match="308"):
        partner.call("POST", "/consent/v1/revocations", {"ppid": "sample"})
    partner.close()


def counting(sizes: list[tuple[int, int]]) -> ASGIApp:
    """A hub that gives tokens and notes how many events, in how many bytes, each batch has."""

    async def hub(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        is_token = scope["path"].endswith("/token")
        if not is_token:
            sizes.append((len(json.loads(body)), len(body)))
        await JSONResponse(TOKEN if is_token else json.loads(body))(scope, receive, send)

    return hub


@pytest.mark.parametrize(("most", "counts"), [(10**6, [3, 3, 1]), (700, [2, 2, 2, 1]), (10, [1] * 7)])
def test_batches_are_cut_by_count_and_by_bytes(most: int, counts: list[int]) -> None:
    sizes: list[tuple[int, int]] = []
    posted = [{"type": "sample.v1", "id": str(number), "data": {"text": "é" * 100}} for number in range(7)]
    with served(counting(sizes)) as origin:
        partner = Partner.connect(origin, "agency-samplesend", new_key().as_dict(private=True))
        told = list(partner.post_all(iter(posted), size=3, most_bytes=most))
        partner.close()
    assert [event["id"] for event in told] == [event["id"] for event in posted]
    assert [count for count, _ in sizes] == counts
    assert all(length <= most or count == 1 for count, length in sizes)


def test_redirected_revocation_raises_refused(moved: str) -> None:
    survivor = Survivor(Origins(moved))
    with pytest.raises(Refused, match="308"):
        survivor.revoke("0192f0c1-5b7e-7000-8000-000000000000")
    survivor.close()
