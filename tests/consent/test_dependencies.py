"""Test the session dependencies: what each survivor route requires; taking away needs less than giving."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi.routing import APIRoute

from services.consent.api import survivors
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants.grants import Rule, Wish, restrict
from services.consent.pages import ROUTERS as PAGE_ROUTERS
from services.consent.store import permissions
from tests.support.consent import PIN as HER_PIN
from tests.support.consent import Agency, House, Person

NOTHING, SESSION, PIN, PIN_NOW = "nothing", "session", "pin", "pin in this request"
SECRET = "a secret of its own"


@dataclass(frozen=True, slots=True)
class Act:
    """A request to a survivor route, and what it needs: nothing, a secret, a session, or a session with PIN."""

    method: str
    path: str
    needs: str
    body: dict[str, Any] | None = None
    form: dict[str, Any] = field(default_factory=dict)

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.path


NOW = {"pin": HER_PIN}
GIVE = {"agency": "{agency}", "purpose": "court_support", "categories": ["summary"]}
ACTS = [
    Act("POST", "/my/v1/session", SECRET, {"passphrase": "none of hers"}),
    Act("POST", "/my/v1/session/step-up", SESSION, {"pin": "000000"}),
    Act("DELETE", "/my/v1/session", SESSION),
    Act("POST", "/my/v1/words", PIN_NOW, NOW),
    Act("POST", "/my/v1/pin", PIN_NOW, {**NOW, "new_pin": "161803"}),
    Act("POST", "/my/v1/revoke-card", SECRET, {"revoke_code": "none of hers"}),
    Act("GET", "/my/v1/grants", SESSION),
    Act("POST", "/my/v1/grants", PIN, GIVE),
    Act("GET", "/my/v1/grants/{grant}/sent", SESSION),
    Act("GET", "/my/v1/grants/{grant}/again", SESSION),
    Act("POST", "/my/v1/grants/{grant}/again", PIN),
    Act("DELETE", "/my/v1/grants/{grant}", SESSION),
    Act("POST", "/my/v1/pause", SESSION),
    Act("POST", "/my/v1/resume", PIN),
    Act("GET", "/my/v1/restrictions", SESSION),
    Act("POST", "/my/v1/restrictions", SESSION, {"sector": "police"}),
    Act("DELETE", "/my/v1/restrictions/{restriction}", PIN),
    Act("GET", "/my/v1/requests", SESSION),
    Act("POST", "/my/v1/requests/{request_id}", PIN, {"accept": True}),
    Act("POST", "/my/v1/requests/{request_id}", SESSION, {"accept": False}),
    Act("POST", "/my/v1/link-codes", PIN_NOW, NOW),
    Act("GET", "/my/v1/links", SESSION),
    Act("DELETE", "/my/v1/links/{agency}", SESSION),
    Act("PUT", "/my/v1/statistics", PIN, {"on": True}),
    Act("PUT", "/my/v1/statistics", SESSION, {"on": False}),
    Act("GET", "/my/v1/ledger", SESSION),
    Act("GET", "/my/v1/receipts/{grant}", SESSION),
    Act("GET", "/my/v1/agencies", SESSION),
    Act("GET", "/my/v1/notices", SESSION),
    Act("GET", "/my/v1/waiting", SESSION),
    Act("GET", "/my/v1/compelled", SESSION),
    Act("GET", "/my/v1/export", PIN_NOW, NOW),
    Act("DELETE", "/my/v1", PIN_NOW, NOW),
]
# Acts on an agency's word alone: they only take away. Nothing else that an agency posts about her changes what flows.
ON_HER_WORD = ["/consent/v1/revocations"]
# Each act that takes away, with the act that gives the same back (the assurance asymmetry).
PAIRS = [
    (("DELETE", "/my/v1/grants/{grant}"), ("POST", "/my/v1/grants")),
    (("POST", "/my/v1/pause"), ("POST", "/my/v1/resume")),
    (("POST", "/my/v1/restrictions"), ("DELETE", "/my/v1/restrictions/{restriction}")),
]
ALL = [pytest.param(act, id=f"{act.method} {act.path} {act.body or ''}") for act in ACTS]
WITH_SESSION = [case for case, act in zip(ALL, ACTS, strict=True) if act.needs in {SESSION, PIN, PIN_NOW}]
WITH_PIN = [case for case, act in zip(ALL, ACTS, strict=True) if act.needs == PIN]
WITH_PIN_NOW = [case for case, act in zip(ALL, ACTS, strict=True) if act.needs == PIN_NOW]
WITHOUT_PIN = [case for case, act in zip(ALL, ACTS, strict=True) if act.needs == SESSION]


@dataclass(frozen=True, slots=True)
class Scene:
    """A survivor who has one of everything that can be changed."""

    house: House
    agency: Agency
    person: Person
    names: dict[str, str]

    def do(self, act: Act, token: str | None, **headers: str) -> httpx2.Response:
        """Send the request of an act, with a session or without; return the response."""
        cookie = {"cookie": f"s={token}"} if token else {}
        body = {name: _filled(value, self.names) for name, value in (act.body or {}).items()}
        if act.method == "GET" and act.body is not None:
            # A GET has no body; its PIN is in a header.
            act, headers = replace(act, body=None), {**headers, **{f"fireweed-{name}": body[name] for name in body}}
        content = {"data": act.form} if act.form else {"json": body} if act.body is not None else {}
        path = self.house.url + act.path.format(**self.names)
        return self.house.http.request(act.method, path, headers={**cookie, **headers}, **content)  # type: ignore[arg-type]

    def session(self, *, stepped_up: bool = False) -> str:
        """Return the token of a new session of hers."""
        return self.house.session(self.person, stepped_up=stepped_up)


@pytest.fixture
def scene(house: House) -> Scene:
    agency = house.agency("ngo")
    person = house.person(agency)
    house.give_pin(person)
    names = {
        "agency": agency.id,
        "grant": str(house.allow(person, agency)),
        "restriction": str(restrict(house.context, person.subject, Rule(sector="justice"))),
        "request_id": str(
            linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"]))
        ),
    }
    return Scene(house, agency, person, names)


def test_every_survivor_route_is_in_the_table() -> None:
    routes = [route for router in survivors.ROUTERS for route in router.routes]
    there = {(method, route.path) for route in routes if isinstance(route, APIRoute) for method in route.methods or ()}
    assert len(routes) == len(there)

    assert there == {act.route for act in ACTS}


def test_only_listed_paths_are_served_below_my(house: House) -> None:
    """The table is checked against two routers; a new router has to be added here (or in tests/consent/pages)."""
    for path in ("/my/v2", "/my/v1/", "/my/docs", "/my/openapi.json"):
        assert house.http.get(house.url + path, follow_redirects=False).status_code in {404, 307}, path
    served = {route.path for route in _routes(house.service.app.routes)}  # type: ignore[attr-defined]
    of_pages = {route.path for router in PAGE_ROUTERS for route in router.routes if isinstance(route, APIRoute)}
    assert {path for path in served if path.startswith("/my")} - of_pages == {act.path for act in ACTS}


@pytest.mark.parametrize(("take", "give"), PAIRS)
def test_assurance_asymmetry(take: tuple[str, str], give: tuple[str, str]) -> None:
    """Invariant 31: taking away never needs more than reading, and giving always does."""
    rank = [NOTHING, SECRET, SESSION, PIN, PIN_NOW]
    needed = {act.route: rank.index(act.needs) for act in ACTS}

    reading = needed["GET", "/my/v1/grants"]
    assert needed[take] <= reading < needed[give]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/consent/v1/revocations", {}),
        ("/consent/v1/consent-requests", {"agency": "{agency}", "purpose": "referral", "categories": ["health"]}),
        (
            "/consent/v1/compelled-disclosures",
            {
                "basis": "court_order",
                "authority": "court",
                "categories": ["health"],
                "disclosed_on": "2026-05-01",
                "approvers": [{"initials": "AS", "role": "director"}, {"initials": "BT", "role": "clinician"}],
            },
        ),
    ],
)
def test_act_on_agencys_word_only_takes_away(scene: Scene, path: str, body: dict[str, Any]) -> None:
    """Invariant 31 too: an agency's word is the lowest assurance. (A second look is her own act with her PIN.)"""
    before = _live(scene)
    filled = {name: _filled(value, scene.names) for name, value in body.items()}
    answer = scene.house.call(scene.agency, path, {"ppid": scene.person.ppid, **filled})

    assert answer.status_code in {201, 204}, answer.text
    after = _live(scene)
    assert after < before if path in ON_HER_WORD else after == before
    with scene.house.context.database.reading() as connection:
        kept = permissions.restrictions_of(connection, scene.person.subject)
    assert [str(row.id) for row in kept] == [scene.names["restriction"]], "only she lifts what she forbade"


@pytest.mark.parametrize("act", WITH_SESSION)
def test_act_without_session_returns_401(scene: Scene, act: Act) -> None:
    before = _picture(scene)
    for token in (None, "no-such-token"):
        answer = scene.do(act, token)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:fireweed:problem:not-let-in")
    assert _picture(scene) == before


@pytest.mark.parametrize("act", WITH_PIN)
def test_widening_act_without_pin_returns_403(scene: Scene, act: Act) -> None:
    before = _picture(scene)
    answer = scene.do(act, scene.session())

    assert (answer.status_code, answer.json()["type"]) == (403, "urn:fireweed:problem:pin-needed")
    assert _picture(scene) == before


@pytest.mark.parametrize("act", WITH_PIN)
def test_widening_act_works_for_five_minutes_after_the_pin(scene: Scene, act: Act) -> None:
    late = scene.session(stepped_up=True)
    assert scene.do(act, scene.session(stepped_up=True)).status_code in {200, 201, 204}

    scene.house.clock.move(timedelta(minutes=5))
    assert scene.do(act, late).status_code in {401, 403}


@pytest.mark.parametrize("act", WITH_PIN_NOW)
@pytest.mark.parametrize(
    ("pin", "status", "code"), [(None, 422, "invalid-request"), ("", 403, "pin-needed"), ("000000", 403, "wrong-pin")]
)
def test_final_act_right_after_step_up_still_asks_for_pin(
    scene: Scene, act: Act, pin: str | None, status: int, code: str
) -> None:
    """Somebody has found her phone open within five minutes of her PIN, and does not know it."""
    before = _picture(scene)
    if act.method == "GET" and pin is None:
        status, code = 403, "pin-needed"
    body = {**(act.body or {}), "pin": pin}
    found = replace(act, body={name: value for name, value in body.items() if value is not None})
    answer = scene.do(found, scene.session(stepped_up=True))

    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:fireweed:problem:{code}")
    assert [fault["member"] for fault in answer.json()["errors"]] == ["/pin"]
    assert _picture(scene) == before


@pytest.mark.parametrize("act", WITH_PIN_NOW)
def test_final_act_with_pin_in_its_body_needs_no_step_up(scene: Scene, act: Act) -> None:
    assert scene.do(act, scene.session()).status_code in {200, 201, 204}


@pytest.mark.parametrize("act", WITHOUT_PIN)
def test_reading_and_taking_away_need_no_pin(scene: Scene, act: Act) -> None:
    answer = scene.do(act, scene.session())
    told = answer.json() if answer.status_code >= 400 else {}

    if act.path.endswith("step-up"):
        assert told["type"] == "urn:fireweed:problem:wrong-pin"
    else:
        assert answer.status_code in {200, 201, 204, 303}, told


@pytest.mark.parametrize("act", [case for case, act in zip(ALL, ACTS, strict=True) if act.method != "GET"])
def test_act_from_another_origin_returns_403(scene: Scene, act: Act) -> None:
    before = _picture(scene)
    answer = scene.do(act, scene.session(stepped_up=True), origin="https://elsewhere.example")

    assert (answer.status_code, answer.json()["type"]) == (403, "urn:fireweed:problem:other-site")
    assert _picture(scene) == before


def test_things_of_another_survivor_return_404(scene: Scene) -> None:
    stranger = scene.house.session(scene.house.person(), stepped_up=True)
    before = _picture(scene)
    never = {name: str(uuid4()) for name in scene.names}

    for act in ACTS:
        if "{" in act.path:
            answer = scene.do(act, stranger)
            nothing = Scene(scene.house, scene.agency, scene.person, never).do(act, stranger)
            assert (answer.status_code, answer.content) == (404, nothing.content)
    assert _picture(scene) == before


def test_session_cookie_is_strict_and_cleared_on_leaving(scene: Scene) -> None:
    claimed = scene.house.my("POST", "/session", body={"claim_code": scene.person.claim_code})
    cookie = claimed.headers["set-cookie"].lower()
    for rule in ("httponly", "samesite=strict", "path=/my"):
        assert rule in cookie
    assert "max-age" not in cookie, "it must end with the browser"
    assert "expires" not in cookie

    gone = scene.house.my("DELETE", "/session", scene.session())
    assert gone.headers["clear-site-data"] == '"*"'
    assert 's=""' in gone.headers["set-cookie"]


def test_malformed_grant_id_returns_422(scene: Scene) -> None:
    answer = scene.house.my("DELETE", "/grants/not-a-grant", scene.session())

    assert answer.status_code == 422
    assert "not-a-grant" not in answer.text


def _picture(scene: Scene) -> tuple[object, ...]:
    """Return everything about her permissions: her epoch and her export."""
    return scene.house.epoch(scene.person), scene.house.copy(scene.person)


def _live(scene: Scene) -> set[str]:
    with scene.house.context.database.reading() as connection:
        return {str(row.id) for row in permissions.live_grants(connection, scene.person.subject)}


def _filled(value: Any, names: dict[str, str]) -> Any:
    return value.format(**names) if isinstance(value, str) else value


def _routes(routes: list[Any]) -> list[APIRoute]:
    found = []
    for route in routes:
        nested = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", [])
        found += [route] if isinstance(route, APIRoute) else _routes(nested)
    return found
