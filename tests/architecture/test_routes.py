"""Each route of each service is listed here with what a caller must show, and the application asks for exactly that."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.testclient import TestClient

from services import composition
from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import act_of
from services.common.http.gates import check_of
from services.common.http.rate_limit import POLICIES
from services.common.service import Service
from services.common.settings import Settings
from services.consent.api.dependencies import SessionDep, SteppedUpDep
from services.consent.api.internal import intake_only
from services.consent.api.survivors.pins import pin_in_header, pin_in_request, pin_with_new_pin
from services.consent.pages.page_context import form_page, guest_form_page, pin_now_page, pin_page, session_page

# What a caller must show.
TOKEN = "an agency's token and proof"
SESSION = "her session"
PIN = "her session, and her PIN a moment ago"
PIN_NOW = "her session, and her PIN in this very request"
INTAKE = "intake's own signature"
PAGE = "her session; without it her page redirects to the sign-in page"
FORM = "her session, and a form that was shown to it"
PIN_FORM = "her session, a form that was shown to it, and her PIN with it or a moment ago"
PIN_NOW_FORM = "her session, and a form that was shown to it, with her PIN in this very request"
GUEST_FORM = "a form that was shown to the same browser"
NOTHING = "nothing"

GATES: Mapping[object, str] = {
    get_args(Caller)[1].dependency: TOKEN,
    get_args(SessionDep)[1].dependency: SESSION,
    get_args(SteppedUpDep)[1].dependency: PIN,
    pin_in_header: PIN_NOW,
    pin_in_request: PIN_NOW,
    pin_with_new_pin: PIN_NOW,
    intake_only: INTAKE,
    session_page: PAGE,
    form_page: FORM,
    pin_page: PIN_FORM,
    pin_now_page: PIN_NOW_FORM,
    guest_form_page: GUEST_FORM,
}
# In each row, a gate asks for everything that the next one asks for, and more.
STRICTER = [[PIN_NOW_FORM, FORM, PAGE], [PIN_FORM, FORM, PAGE], [PIN_NOW, SESSION]]

# Each value is the reason why anybody may call the route.
PUBLIC = {
    "GET /.well-known/oauth-authorization-server/intake": "metadata of the token endpoint",
    "GET /intake/.well-known/oauth-authorization-server": "metadata of the token endpoint",
    "GET /intake/jwks.json": "public keys",
    "GET /consent/jwks.json": "public keys",
    "POST /intake/oauth/token": "checks the client's assertion and proof itself",
    "GET /.well-known/authzen-configuration/consent": "metadata of the decision endpoint",
    "GET /consent/.well-known/authzen-configuration": "metadata of the decision endpoint",
    "POST /my/v1/session": "is the sign-in, and checks her passphrase or code itself",
    "POST /my/v1/revoke-card": "checks the card's code itself; shows nothing, only takes away",
    "GET /my": "shows the sign-in page, or what a session may see",
    "GET /my/": "shows the sign-in page, or what a session may see",
    "GET /my/start": "asks for a slip's code",
    "GET /my/card": "asks for a card's code",
    "GET /my/check": "asks for a letter's code",
    "GET /my/about": "what leaving can do and what it cannot",
    "GET /my/today": "a calendar",
    "GET /my/files/{name}": "a style, two scripts and an icon",
    "GET /consent/workers/{agency}": "says how to hand over a slip; nothing about a person",
    "POST /my/leave": "must always work; shows nothing",
    "GET /reporting": "redirects to the page",
    "GET /reporting/": "redirects to the page",
    "GET /reporting/files/{name}": "a style and an icon",
    "GET /reporting/{language}": "facts about services, and frozen, audited bytes as a page",
    "GET /reporting/{language}/": "the same",
    "GET /reporting/{language}/method": "the rules of hiding",
    "GET /reporting/{language}/archive": "what is published",
    "GET /reporting/{language}/{subject}": "redirects to the newest publication about it",
    "GET /reporting/{language}/r/{publication}": "frozen, audited bytes as a page",
    "GET /reporting/{language}/r/{publication}/{subject}": "frozen, audited bytes as a page",
    "GET /reporting/v1/capacity": "facts about services",
    "GET /reporting/v1/publications": "what is published",
    "GET /reporting/v1/publications/{publication}/certificate.json": "frozen, audited bytes",
    "GET /reporting/v1/publications/{publication}/tables/{file}": "frozen, audited bytes",
    "GET /consent/v1/ledger/key": "a public key",
    "GET /consent/v1/ledger/checkpoint": "a size, a hash and signatures, which anybody may verify",
    "GET /consent/v1/ledger/checkpoint/cosigned": "a checkpoint with its cosignatures",
    "GET /consent/v1/ledger/tile/{path}": "hashes and commitments, which anybody may verify",
    **{f"GET /{name}/health/{kind}": "one word" for name in composition.NAMES for kind in ("live", "ready")},
}
GATED = {
    "POST /intake/v1/events": TOKEN,
    "GET /intake/v1/events/{event_id}": TOKEN,
    "GET /intake/v1/agencies": TOKEN,
    "POST /consent/v1/subjects": TOKEN,
    "POST /consent/v1/links": TOKEN,
    "POST /consent/v1/consent-requests": TOKEN,
    "POST /consent/v1/age-bands": TOKEN,
    "POST /consent/v1/revocations": TOKEN,
    "POST /consent/v1/openings": TOKEN,
    "POST /consent/v1/ledger/cosignatures": TOKEN,
    "POST /consent/v1/notices/poll": TOKEN,
    "PUT /consent/v1/notices/push": TOKEN,
    "DELETE /consent/v1/notices/push": TOKEN,
    "POST /consent/v1/notices/{jti}/attestation": TOKEN,
    "GET /consent/v1/second-looks": TOKEN,
    "POST /consent/v1/second-looks/{name}": TOKEN,
    "POST /consent/v1/compelled-disclosures": TOKEN,
    "POST /consent/access/v1/evaluation": TOKEN,
    "POST /consent/access/v1/evaluations": TOKEN,
    "GET /referral/v1/inbox": TOKEN,
    "GET /referral/v1/offers": TOKEN,
    "GET /referral/v1/offers/{offer}": TOKEN,
    "GET /referral/v1/feed": TOKEN,
    "GET /referral/v1/referrals": TOKEN,
    "PUT /referral/v1/webhook": TOKEN,
    "GET /referral/v1/webhook": TOKEN,
    "DELETE /referral/v1/webhook": TOKEN,
    "POST /referral/v1/webhook/test": TOKEN,
    "POST /referral/v1/webhook/replay": TOKEN,
    "GET /referral/v1/referrals/{referral}": TOKEN,
    "POST /my/v1/session/step-up": SESSION,
    "DELETE /my/v1/session": SESSION,
    "POST /my/v1/words": PIN_NOW,
    "POST /my/v1/pin": PIN_NOW,
    "GET /my/v1/grants": SESSION,
    "POST /my/v1/grants": PIN,
    "GET /my/v1/grants/{grant}/sent": SESSION,
    "GET /my/v1/grants/{grant}/again": SESSION,
    "POST /my/v1/grants/{grant}/again": PIN,
    "DELETE /my/v1/grants/{grant}": SESSION,
    "POST /my/v1/pause": SESSION,
    "POST /my/v1/resume": PIN,
    "GET /my/v1/restrictions": SESSION,
    "POST /my/v1/restrictions": SESSION,
    "DELETE /my/v1/restrictions/{restriction}": PIN,
    "GET /my/v1/requests": SESSION,
    # These two ask for the PIN inside the handler when the answer is yes; tests/consent covers it.
    "POST /my/v1/requests/{request_id}": SESSION,
    "PUT /my/v1/statistics": SESSION,
    "GET /my/v1/links": SESSION,
    "DELETE /my/v1/links/{agency}": SESSION,
    "POST /my/v1/link-codes": PIN_NOW,
    "GET /my/v1/ledger": SESSION,
    "GET /my/v1/receipts/{grant}": SESSION,
    "GET /my/v1/agencies": SESSION,
    "GET /my/v1/notices": SESSION,
    "GET /my/v1/waiting": SESSION,
    "GET /my/v1/compelled": SESSION,
    "GET /my/v1/export": PIN_NOW,
    "DELETE /my/v1": PIN_NOW,
    "POST /consent/v1/slips": TOKEN,
    "GET /consent/v1/corrections": TOKEN,
    "POST /consent/v1/corrections/{correction}": TOKEN,
    "POST /internal/consent/v1/decisions": INTAKE,
}
# Each of these checks the typed secret itself.
TYPED = {f"POST /my/{path}": GUEST_FORM for path in ("in", "in/key", "start", "card", "check")}
PAGES = {
    "GET /my/still": PAGE,
    "POST /my/language": FORM,
    "GET /my/yes": PAGE,
    "POST /my/yes/change": FORM,
    "POST /my/yes/check": FORM,
    "POST /my/yes": PIN_FORM,
    "GET /my/yes/{grant}": PAGE,
    "GET /my/sent/{grant}": PAGE,
    "GET /my/again/{grant}": PAGE,
    "POST /my/again/{grant}": PIN_FORM,
    "POST /my/requests/{request_id}/no": FORM,
    "POST /my/stop/{grant}": FORM,
    "GET /my/stopped/{grant}": PAGE,
    "POST /my/pause": FORM,
    "POST /my/resume": PIN_FORM,
    "POST /my/link": PIN_NOW_FORM,
    "GET /my/never": PAGE,
    "POST /my/never": FORM,
    "POST /my/never/{restriction}/lift": PIN_FORM,
    "POST /my/known/{agency}/end": FORM,
    "GET /my/past": PAGE,
    "GET /my/mine": PAGE,
    "POST /my/copy": PIN_NOW_FORM,
    "POST /my/read": PIN_NOW_FORM,
    "POST /my/right": FORM,
    "GET /my/delete": PAGE,
    "POST /my/delete": PIN_NOW_FORM,
    "GET /my/counted": PAGE,
    "POST /my/counted/yes": PIN_FORM,
    "POST /my/counted/no": FORM,
    "GET /my/reach": PAGE,
    "POST /my/reach": PIN_FORM,
    "POST /my/reach/still": PIN_FORM,
    "POST /my/reach/none": FORM,
    "GET /my/paper": PAGE,
    "POST /my/paper/card": PIN_NOW_FORM,
    "POST /my/paper/letter": PIN_FORM,
    "POST /my/paper/letter/{letter}/end": FORM,
    "GET /my/keys": PAGE,
    "POST /my/words": PIN_NOW_FORM,
    "POST /my/pin": PIN_NOW_FORM,
    "POST /my/keys/new": FORM,
    "POST /my/keys/add": PIN_NOW_FORM,
    "POST /my/keys/remove": PIN_NOW_FORM,
}
INVENTORY = {**GATED, **PAGES, **TYPED, **dict.fromkeys(PUBLIC, NOTHING)}
# By act, the routes that count against a limit of the calling agency; the two that count in their own code are in IN_CODE.
LIMITS = {
    "reads": {
        "GET /intake/v1/events/{event_id}",
        "GET /consent/v1/second-looks",
        "GET /consent/v1/corrections",
        "GET /referral/v1/inbox",
        "GET /referral/v1/offers",
        "GET /referral/v1/offers/{offer}",
        "GET /referral/v1/referrals/{referral}",
        "GET /referral/v1/referrals",
        "GET /referral/v1/feed",
        "GET /referral/v1/webhook",
        "GET /intake/v1/agencies",
    },
    "webhooks": {
        "PUT /referral/v1/webhook",
        "DELETE /referral/v1/webhook",
        "POST /referral/v1/webhook/test",
        "POST /referral/v1/webhook/replay",
    },
    "people": {"POST /consent/v1/subjects", "POST /consent/v1/age-bands", "POST /consent/v1/slips"},
    "links": {"POST /consent/v1/links"},
    "requests": {"POST /consent/v1/consent-requests"},
    "openings": {"POST /consent/v1/openings"},
    "decisions": {"POST /consent/access/v1/evaluation", "POST /consent/access/v1/evaluations"},
    "answers": {
        "POST /consent/v1/second-looks/{name}",
        "POST /consent/v1/corrections/{correction}",
        "POST /consent/v1/ledger/cosignatures",
    },
    # Each has a limit of its own, so that no other act can use it up and it cannot be done without end.
    "her-word": {"POST /consent/v1/revocations"},
    "records": {"POST /consent/v1/compelled-disclosures"},
}
IN_CODE = {"POST /intake/v1/events": "counts each event of a batch"}
# What tells agencies to stop is never held up.
UNLIMITED = {
    "POST /consent/v1/notices/poll": "notices",
    "PUT /consent/v1/notices/push": "notices",
    "DELETE /consent/v1/notices/push": "notices",
    "POST /consent/v1/notices/{jti}/attestation": "notices",
}
SOME_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    folder: Path = tmp_path_factory.mktemp("hub")
    built = composition.build_all(Settings(data=folder), "http://127.0.0.1:1")
    for service in built:
        composition.migrate(service)
    yield built
    for service in built:
        service.close()


def apps(services: list[Service]) -> list[FastAPI]:
    found = [app for service in services for app in (service.app, service.inner_app) if app is not None]
    assert all(isinstance(app, FastAPI) for app in found)
    return [app for app in found if isinstance(app, FastAPI)]


def routes(services: list[Service]) -> Iterator[tuple[str, RouteContext, FastAPI]]:
    for app in apps(services):
        for route in iter_route_contexts(app.routes):
            # Another kind of route (a mount, a static folder) would answer without being listed.
            assert isinstance(route.original_route, APIRoute), route
            yield from ((f"{method} {route.path_format}", route, app) for method in sorted(route.methods or ()))


def dependencies(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from dependencies(inner)


def gate(route: RouteContext) -> str:
    found = {GATES[call] for call in dependencies(route.dependant) if call in GATES}
    for row in STRICTER:
        for place, name in enumerate(row):
            found -= set(row[place + 1 :]) if name in found else set()
    assert len(found) <= 1, "a route has one gate"
    return found.pop() if found else NOTHING


def test_inventory_lists_exactly_the_routes(services: list[Service]) -> None:
    assert sorted(name for name, _, _ in routes(services)) == sorted(INVENTORY)


def test_each_route_asks_for_what_the_inventory_says(services: list[Service]) -> None:
    assert {name: gate(route) for name, route, _ in routes(services)} == INVENTORY


def test_each_gate_is_asked_before_the_body_is_read(services: list[Service]) -> None:
    gated = [(name, route) for name, route, _ in routes(services) if gate(route) not in {NOTHING, GUEST_FORM}]
    unasked = [name for name, route in gated if check_of({"route": route.original_route}) is None]
    assert len(gated) > 60
    assert unasked == []


def test_each_agency_route_has_its_limit(services: list[Service]) -> None:
    """Hers have none of these: revoking and pausing are never limited."""
    found: dict[str, set[str]] = {}
    for name, route, _ in routes(services):
        for act in filter(None, map(act_of, dependencies(route.dependant))):
            found.setdefault(act, set()).add(name)
    assert found == LIMITS
    limited = set().union(*LIMITS.values(), IN_CODE)
    assert limited | UNLIMITED.keys() == {name for name, asked in GATED.items() if asked == TOKEN}
    assert not limited & UNLIMITED.keys()
    assert set(POLICIES) == {*LIMITS, "events"}


def test_each_agency_route_checks_its_query(services: list[Service]) -> None:
    """The check is a part of the gate, so a route cannot have the one without the other."""
    agencies = [(name, route, app) for name, route, app in routes(services) if gate(route) == TOKEN]
    assert len(agencies) > 20
    for name, route, app in agencies:
        kept, app.state.gate = app.state.gate, lambda _request: "agency-a"
        method, path = name.split(" ")
        url = path.format(**{parameter.name: SOME_ID for parameter in route.dependant.path_params})
        try:
            with TestClient(app, base_url="http://127.0.0.1:8080") as client:
                for query in ("x=1", "Cursor=1", "cursor=1&dry_run=true"):
                    answer = client.request(method, f"{url}?{query}")
                    assert (name, answer.status_code) == (name, 400)
                    assert answer.json()["errors"][0]["member"] == "query"
        finally:
            app.state.gate = kept


@pytest.mark.parametrize("name", GATED)
def test_route_without_credentials_answers_401_only(services: list[Service], name: str) -> None:
    [(route, app)] = [(route, app) for found, route, app in routes(services) if found == name]
    method, path = name.split(" ")
    parameters = {parameter.name: SOME_ID for parameter in route.dependant.path_params}
    with TestClient(app, base_url="http://127.0.0.1:8080") as client:
        bare = client.request(method, path.format(**parameters))
        dressed = client.request(
            method,
            path.format(**parameters),
            headers={"authorization": "DPoP x", "dpop": "x", "cookie": "s=x", "x-forwarded-for": "127.0.0.1"},
        )
    for answer in (bare, dressed):
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()) <= {"type", "title", "status", "errors"}


@pytest.mark.parametrize("name", PAGES)
def test_her_page_without_session_redirects_to_sign_in(services: list[Service], name: str) -> None:
    [(route, app)] = [(route, app) for found, route, app in routes(services) if found == name]
    method, path = name.split(" ")
    parameters = {parameter.name: SOME_ID for parameter in route.dependant.path_params}
    with TestClient(app, base_url="http://127.0.0.1:8080", follow_redirects=False) as client:
        for cookie in ({}, {"cookie": "s=x"}):
            answer = client.request(method, path.format(**parameters), headers=cookie)
            assert (answer.status_code, answer.headers["location"], answer.content) == (303, "/my", b"")


@pytest.mark.parametrize("name", TYPED)
def test_form_that_was_never_shown_returns_403(services: list[Service], name: str) -> None:
    [(_, app)] = [(route, app) for found, route, app in routes(services) if found == name]
    with TestClient(app, base_url="http://127.0.0.1:8080") as client:
        for form in ({}, {"form": "0" * 64}):
            answer = client.post(name.split(" ")[1], data={"words": "some words", "code": "abcd-efgh", **form})
            assert answer.status_code == 403


# How much a survivor must show, in rising order. An agency that passes on her spoken revocation shows its own token.
ASSURANCE = {NOTHING: 0, SESSION: 1, PAGE: 1, FORM: 1, PIN: 2, PIN_FORM: 2, PIN_NOW: 3, PIN_NOW_FORM: 3}
TAKES_AWAY = (
    "DELETE /my/v1/grants/{grant}",
    "POST /my/v1/pause",
    "DELETE /my/v1/links/{agency}",
    "POST /my/v1/restrictions",
    "POST /my/v1/revoke-card",
    "POST /my/stop/{grant}",
    "POST /my/pause",
)
SHOWS = (
    "GET /my/v1/grants",
    "GET /my/v1/grants/{grant}/sent",
    "GET /my/v1/grants/{grant}/again",
    "GET /my/v1/restrictions",
    "GET /my/v1/requests",
    "GET /my/v1/ledger",
)
GIVES = (
    "POST /my/v1/grants",
    "POST /my/v1/grants/{grant}/again",
    "POST /my/v1/resume",
    "DELETE /my/v1/restrictions/{restriction}",
    "POST /my/v1/link-codes",
)


def test_revoking_needs_least_and_granting_needs_most() -> None:
    """Taking away needs at most as much as showing, and showing needs less than giving."""
    taking, showing, giving = ({ASSURANCE[INVENTORY[name]] for name in names} for names in (TAKES_AWAY, SHOWS, GIVES))

    assert max(taking) <= min(showing) <= max(showing) < min(giving)


# What cannot be undone: somebody who finds her phone open, minutes after her PIN, must not do it.
FINAL = (
    *(f"POST /my/v1/{act}" for act in ("words", "pin", "link-codes")),
    "GET /my/v1/export",
    "DELETE /my/v1",
    *(f"POST /my/{act}" for act in ("words", "pin", "link", "copy", "read", "delete", "keys/add", "keys/remove")),
    "POST /my/paper/card",
)


def test_what_cannot_be_undone_needs_pin_in_that_request() -> None:
    assert {INVENTORY[name] for name in FINAL} == {PIN_NOW, PIN_NOW_FORM}
    assert {name for name, asked in INVENTORY.items() if asked in {PIN_NOW, PIN_NOW_FORM}} == set(FINAL)


def test_no_application_has_buffering_middleware(services: list[Service]) -> None:
    for app in apps(services):
        for middleware in app.user_middleware:
            assert isinstance(middleware.cls, type)
            assert not issubclass(middleware.cls, BaseHTTPMiddleware)


def test_no_application_serves_generated_documentation(services: list[Service]) -> None:
    for app in apps(services):
        assert (app.docs_url, app.redoc_url, app.openapi_url) == (None, None, None)
