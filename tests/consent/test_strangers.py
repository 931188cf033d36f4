"""A caller without a client, a session or a right code leaves no row in any table, whatever it asks for."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import func, select

from services.client import new_key
from services.consent.credentials import new_code
from tests.support.consent import Agency, House, TokenSigner
from tests.support.visitor import Visitor

SOME_ID = "00000000-0000-4000-8000-000000000000"
TRIES = 3


def row_counts(house: House) -> Mapping[str, int]:
    """Return the number of rows in each table of consent."""
    tables = house.service.metadata.sorted_tables
    with house.context.database.reading() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
        }


def routes(house: House) -> Iterator[tuple[str, str]]:
    """Yield method and path of each route, with an id in place of each parameter."""
    for app in (house.service.app, house.service.inner_app):
        assert isinstance(app, FastAPI)
        for route in iter_route_contexts(app.routes):
            parameters = {parameter.name: SOME_ID for parameter in route.dependant.path_params}
            path = (route.path_format or "").format(**parameters)
            yield from ((method, path) for method in sorted(route.methods or ()))


@pytest.fixture
def stranger(own_house: House) -> Agency:
    """Return an agency with a token of its own making, in a house with a survivor, a grant and an open session."""
    known = own_house.agency()
    person = own_house.person(known)
    own_house.allow(person, known)
    own_house.session(person, stepped_up=True)
    own_house.clock.move(timedelta(minutes=1))
    key = new_key()
    own = TokenSigner(own_house.signer._issuer, own_house.clock)
    return Agency(known.id, known.sector, own_house.clock, key, own.token(known.id, key))


def test_stranger_with_a_forged_token_leaves_no_row(own_house: House, stranger: Agency) -> None:
    before, answered = row_counts(own_house), 0
    for method, path in routes(own_house):
        for body in ({}, {"envelope": "x"}):
            answer = own_house.call(stranger, path, body, method)
            assert answer.status_code < 500, path
            answered += 1
    assert answered > 100
    assert row_counts(own_house) == before


def test_stranger_with_wrong_codes_leaves_no_row(own_house: House, stranger: Agency) -> None:
    """The passphrase is well formed, so that it is really looked up."""
    before, secrets = row_counts(own_house), own_house.context.secrets
    visitor = Visitor(own_house.url)
    for _ in range(TRIES):
        assert own_house.my("POST", "/session", None, {"passphrase": secrets.new_passphrase("en")}).status_code == 401
        assert own_house.my("POST", "/session", None, {"claim_code": new_code(), "pin": "161803"}).status_code == 401
        assert own_house.my("POST", "/revoke-card", None, {"revoke_code": new_code()}).status_code == 401
        for action in ("pause", "link-codes", "session/step-up"):
            assert own_house.my("POST", f"/{action}", new_code(), {"pin": "161803"}).status_code == 401
        assert visitor.send(visitor.get("/my"), "/my/in", words=secrets.new_passphrase("fr")).status == 401
        for name in ("start", "card", "check"):
            assert visitor.send(visitor.get(f"/my/{name}"), f"/my/{name}", code=new_code()).status < 500
    visitor.close()
    assert row_counts(own_house) == before


def test_proof_of_a_known_client_leaves_one_row(own_house: House, stranger: Agency) -> None:
    """So the counts above would notice a row."""
    agency = own_house.agency()
    before = row_counts(own_house)
    assert own_house.call(agency, "/consent/v1/second-looks", None, "GET").status_code == 200
    assert row_counts(own_house) == {**before, "used_once": before["used_once"] + 1}
