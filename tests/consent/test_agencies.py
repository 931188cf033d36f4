"""Test the agency API of consent: register, link, ask for consent and revoke on her word; never write to her."""

from typing import Any
from uuid import UUID

import pytest

from services.consent.handlers.accounts.links import make_link_code
from services.consent.handlers.grants.grants import Rule, restrict
from services.consent.models import consent_request
from tests.support.consent import House


def test_registering_a_survivor_returns_ppid_and_two_codes(house: House) -> None:
    agency = house.agency()
    made = house.call(agency, "/consent/v1/subjects", {"language": "fr"})

    assert made.status_code == 201
    assert made.json().keys() == {"ppid", "claim_code", "revoke_code"}
    assert len(set(made.json().values())) == 3
    claimed = house.my("POST", "/session", body={"claim_code": made.json()["claim_code"]})
    assert claimed.status_code == 201


@pytest.mark.parametrize("language", ["de", "", "EN", "e\x00", 5])
def test_registering_in_an_unoffered_language_returns_422(house: House, language: object) -> None:
    assert house.call(house.agency(), "/consent/v1/subjects", {"language": language}).status_code == 422


@pytest.mark.parametrize("code", ["", "wrong", "used"])
def test_wrong_link_code_returns_422(house: House, code: str) -> None:
    """A client that is answered 401 fetches a new token and comes again; the caller is known here, and the code is wrong."""
    agency, other = house.agency(), house.agency()
    if code == "used":
        code = make_link_code(house.context, house.person(house.agency()).subject).code
        assert house.call(other, "/consent/v1/links", {"link_code": code}).status_code == 200
    answer = house.call(agency, "/consent/v1/links", {"link_code": code})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:fireweed:problem:wrong-link-code")
    assert [fault["member"] for fault in answer.json()["errors"]] == ["/link_code"]
    assert "www-authenticate" not in answer.headers


def test_consent_request_waits_and_permits_nothing(house: House) -> None:
    asking, agency = house.agency(), house.agency()
    person = house.person(asking)
    wish = {"ppid": person.ppid, "agency": agency.id, "purpose": "referral", "categories": ["summary", "contact"]}
    made = house.call(asking, "/consent/v1/consent-requests", wish)

    waiting = house.my("GET", "/requests", house.session(person)).json()["requests"]
    assert [row["id"] for row in waiting] == [made.json()["request"]]
    assert (waiting[0]["asked_by"], waiting[0]["agency"]) == (asking.id, agency.id)
    assert waiting[0]["categories"] == ["contact", "summary"]
    assert house.epoch(person) == 0
    assert house.my("GET", "/grants", house.session(person)).json() == {"grants": []}


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"purpose": "other"}, 400),
        ({"categories": ["summary", "everything"]}, 400),
        ({"categories": []}, 422),
        ({"agency": "nobody-we-know"}, 400),
        ({"agency": "We know where you are."}, 400),
        ({"agency": "nul\x00"}, 400),
        ({"ppid": "somebody-else"}, 404),
        ({"ppid": "nul\x00"}, 404),
        ({"note": "Please call us."}, 422),
    ],
)
def test_malformed_consent_request_is_refused_and_not_stored(
    house: House, changed: dict[str, Any], status: int
) -> None:
    """An agency can send her codes only: no text of its own reaches her."""
    agency = house.agency()
    person = house.person(agency)
    wish = {"ppid": person.ppid, "agency": agency.id, "purpose": "referral", "categories": ["summary"], **changed}
    answer = house.call(agency, "/consent/v1/consent-requests", wish)

    # A text that the database cannot store (NUL) is refused with 400 before any row is looked up.
    assert answer.status_code in {status, 400}, answer.text
    assert house.rows(consent_request, consent_request.c.subject_id == person.subject) == []
    assert house.kinds(person) == ["registered"]


def test_internal_api_without_intake_token_returns_401(house: House) -> None:
    now = int(house.clock.now().timestamp())
    right = {"sub": "intake", "aud": "urn:fireweed:consent", "iat": now, "exp": now + 60}
    typ = {"typ": "service+jwt"}

    def status_with(header: dict[str, Any], claims: dict[str, Any]) -> int:
        token = house.signer.sign(header, claims)
        url = f"{house.url}/internal/consent/v1/decisions"
        return house.http.post(url, json={"sendings": []}, headers={"authorization": f"Bearer {token}"}).status_code

    assert status_with(typ, right) == 200
    for wrong in (
        {"sub": "referral"},
        {"aud": "urn:fireweed:hub"},
        {"aud": ["urn:fireweed:consent"]},
        {"iat": now - 121},
        {"iat": now + 11},
        {"exp": now},
        {"iat": None},
    ):
        claims = {name: value for name, value in {**right, **wrong}.items() if value is not None}
        assert status_with(typ, claims) == 401, wrong
    assert status_with({"typ": "at+jwt"}, right) == 401
    agency = house.agency()
    url = f"{house.url}/internal/consent/v1/decisions"
    for authorization in ("", "Bearer", "Bearer nonsense", f"Bearer {agency.token}", f"DPoP {agency.token}"):
        answer = house.http.post(url, json={"sendings": []}, headers={"authorization": authorization})
        assert answer.status_code == 401, authorization


def test_decision_for_intake_names_best_grant_and_categories(house: House) -> None:
    """The answer also says whether the sender is linked; `seal` is null without a permitting grant."""
    sender, recipient = house.agency(), house.agency()
    person, other = house.person(sender), house.person(sender)
    narrow, wide = house.allow(person, recipient, "summary"), house.allow(person, recipient, "summary", "health")
    restrict(house.context, person.subject, Rule(category="health"))
    third = house.allow(person, recipient, "contact", "housing", "summary")

    def sending(**changed: Any) -> dict[str, Any]:
        asked = {"to": recipient.id, "purpose": "referral", "categories": ["summary", "health", "contact"]}
        return {"agency": sender.id, "ppid": person.ppid, **asked, **changed}

    answers = decisions(
        house,
        [
            sending(),
            sending(categories=["health"]),
            sending(ppid=other.ppid),
            sending(ppid="nobody"),
            sending(to="nobody"),
            sending(purpose="court_support"),
            sending(to=None, purpose=None, categories=[]),
            sending(agency=recipient.id),
        ],
    )
    seal = answers[0]["seal"]
    assert (UUID(seal["grant"]), seal["categories"], seal["epoch"]) == (
        third,
        ["contact", "summary"],
        1,
    )
    assert seal["grant"] not in {str(narrow), str(wide)}
    assert all(answer == {"seal": None, "statistics": None, "not_as_approved": []} for answer in answers[1:])
    assert [answer["seal"] for answer in answers[1:]] == [None] * 7


def decisions(house: House, sendings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask the internal API for decisions as intake does; return its answers."""
    now = int(house.clock.now().timestamp())
    claims = {"sub": "intake", "aud": "urn:fireweed:consent", "iat": now, "exp": now + 60}
    token = house.signer.sign({"typ": "service+jwt"}, claims)
    url = f"{house.url}/internal/consent/v1/decisions"
    answer = house.http.post(url, json={"sendings": sendings}, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()
    return told


def test_police_register_nobody_and_are_told_what_to_do(house: House) -> None:
    """They may still be linked, by a code that she gives them herself."""
    police = house.agency("police")
    answer = house.call(police, "/consent/v1/subjects", {"language": "en"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:fireweed:problem:not-for-police")
    assert "link code" in answer.json()["title"]
    code = make_link_code(house.context, house.person(house.agency()).subject).code
    assert house.call(police, "/consent/v1/links", {"link_code": code}).status_code == 200


def test_her_word_is_limited_and_notices_never_are(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    answer = house.call(agency, "/consent/v1/revocations", {"ppid": person.ppid})
    assert answer.headers["ratelimit-policy"] == '"her-word";q=240;w=3600'
    assert answer.headers["ratelimit"].startswith('"her-word";r=')
    polled = house.call(agency, "/consent/v1/notices/poll", {"maxEvents": 1, "returnImmediately": True})
    assert (polled.status_code, "ratelimit" in polled.headers) == (200, False)
