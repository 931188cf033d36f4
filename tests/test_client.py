"""The client for partners and survivors takes for done only what a hub has said is done."""

from collections.abc import Iterator

import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from services.client import Origins, Partner, Refused, Survivor, new_key
from tests.support.server import served

TOKEN = {"access_token": "a token of this test", "expires_in": 300}


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Gives tokens, and sends whoever asks for anything else to another address, as a proxy before a hub may."""
    is_token = scope["path"].endswith("/token")
    answer = JSONResponse(TOKEN) if is_token else Response(None, 308, {"location": "https://hub.example/"})
    await answer(scope, receive, send)


@pytest.fixture
def moved() -> Iterator[str]:
    with served(elsewhere) as origin:
        yield origin


def test_what_a_partner_is_told_to_ask_elsewhere_was_not_done(moved: str) -> None:
    partner = Partner.connect(moved, "agency-samplesend", new_key().as_dict(private=True))
    with pytest.raises(Refused, match="308"):
        partner.call("POST", "/consent/v1/revocations", {"ppid": "sample"})
    partner.close()


def test_what_a_survivor_is_told_to_ask_elsewhere_was_not_revoked(moved: str) -> None:
    survivor = Survivor(Origins(moved))
    with pytest.raises(Refused, match="308"):
        survivor.revoke("0192f0c1-5b7e-7000-8000-000000000000")
    survivor.close()
