"""Agencies and what became of events: each change is told once, with a growing version; each sender sees only its own."""

from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey
from sqlalchemy import select

import schemas
from services.client import new_key, public_jwks
from services.common.encoding import base64url
from services.common.errors import Problem
from services.common.messaging import contracts
from services.common.messaging.cloudevents import Event
from services.intake import handlers, models
from services.intake.posting import post
from tests.support.clocks import NOON, StillClock
from tests.support.front_door import FrontDoor, capacity, event, outgoing

SUSPENDED_AND_BACK = ("suspended", "active", "suspended")


def public(key: ECKey | OKPKey | RSAKey, **changed: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **changed}


def faults(door: FrontDoor, name: str = "Sample Shelter", sector: str = "housing", jwks: object = None) -> list[str]:
    """The members at fault when an agency with these cannot be taken in; nothing is kept or told of it."""
    before = outgoing(door.context), handlers.list_agencies(door.context)
    with pytest.raises(Problem) as caught:
        handlers.add_agency(door.context, name, sector, public_jwks(new_key()) if jwks is None else jwks)
    assert (outgoing(door.context), handlers.list_agencies(door.context)) == before
    assert all(fault.accepted for fault in caught.value.faults)
    return [fault.member for fault in caught.value.faults]


def test_taking_an_agency_in_is_told_to_every_service_once(door: FrontDoor) -> None:
    row = handlers.add_agency(door.context, "Maison Échantillon", "housing", public_jwks(new_key()))
    news = {
        "agency": row.id,
        "name": "Maison Échantillon",
        "sector": "housing",
        "standing": "active",
        "version": 1,
    }
    assert outgoing(door.context) == [("agency.changed.v1", row.id, news)]
    assert contracts.faults("agency.changed.v1", news) == []


NAME = "Silver Maple House"


@pytest.mark.parametrize(
    "alike", [NAME, NAME.upper(), f" {NAME.replace(' ', '')}", "Silver Maple H\u043euse", "SiIver Map1e House"]
)
def test_name_that_looks_like_anothers_returns_409(door: FrontDoor, alike: str) -> None:
    agency = handlers.add_agency(door.context, NAME, "housing", public_jwks(new_key())).id
    handlers.set_standing(door.context, agency, "suspended")
    assert faults(door, name=alike) == ["name"]
    assert handlers.add_agency(door.context, alike, "ngo", public_jwks(new_key()), force=True).name == alike


def test_key_of_another_agency_returns_409_even_with_force(door: FrontDoor) -> None:
    """A key is known by its RFC 7638 thumbprint: under another `kid`, and as the second key of a set."""
    known, own = new_key(), new_key()
    handlers.add_agency(door.context, NAME, "housing", public_jwks(known))
    shared = {"keys": [public(own, kid="own"), public(known, kid="other", alg="ES256")]}
    assert faults(door, name="Another Place", jwks=shared) == ["jwks"]
    with pytest.raises(Problem, match="agency-key-known"):
        handlers.add_agency(door.context, "Another Place", "ngo", shared, force=True)


def test_each_change_of_standing_is_told_once_with_the_next_version(door: FrontDoor) -> None:
    agency = door.agency()
    for standing in SUSPENDED_AND_BACK:
        handlers.set_standing(door.context, agency, standing)
    told = [data for _, key, data in outgoing(door.context) if key == agency]
    assert [(data["standing"], data["version"]) for data in told] == [
        ("active", 1),
        ("suspended", 2),
        ("active", 3),
        ("suspended", 4),
    ]
    assert {data["name"] for data in told} == {"Sample Outreach"}
    assert [contracts.faults("agency.changed.v1", data) for data in told] == [[]] * 4


def test_a_change_of_standing_touches_that_agency_only(door: FrontDoor) -> None:
    first, second = door.agency(), door.agency()
    handlers.set_standing(door.context, first, "suspended")
    assert {row.id: row.standing for row in handlers.list_agencies(door.context)} == {
        first: "suspended",
        second: "active",
    }


def test_an_agency_that_is_not_there_cannot_change(door: FrontDoor) -> None:
    with pytest.raises(Problem, match="404") as caught:
        handlers.set_standing(door.context, "agency-zzzzzzzzzz", "suspended")
    assert "fireweed agency list" in caught.value.title
    assert outgoing(door.context) == []


def test_agencies_are_listed_oldest_first(door: FrontDoor, clock: StillClock) -> None:
    added = []
    for number in range(5):
        added.append(door.agency(f"Sample {number}"))
        clock.move(timedelta(seconds=1))
    assert [row.id for row in handlers.list_agencies(door.context)] == added


@pytest.mark.parametrize("sector", ["", "Housing", "hospital", "ngo ", "housing\x00"])
def test_a_sector_must_be_a_code_and_the_codes_are_told(shared_door: FrontDoor, sector: str) -> None:
    assert faults(shared_door, sector=sector) == ["sector"]
    with pytest.raises(Problem) as caught:
        handlers.add_agency(shared_door.context, "Sample", sector, public_jwks(new_key()))
    assert caught.value.faults[0].accepted == ", ".join(sorted(schemas.code_set("sectors")))


@pytest.mark.parametrize("sector", sorted(schemas.code_set("sectors")))
def test_every_sector_of_the_codes_is_taken(shared_door: FrontDoor, sector: str) -> None:
    assert handlers.add_agency(shared_door.context, f"Sample {sector}", sector, public_jwks(new_key())).sector == sector


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "a\nb", "a\x00b", "a\u202eb", "\ud800"])
def test_a_name_must_be_one_that_survivors_can_read(shared_door: FrontDoor, name: str) -> None:
    assert faults(shared_door, name=name) == ["name"]


@pytest.mark.parametrize("name", ["x" * 120, "Foyer d’Exemple", "ᓄᓇᕗᑦ"])
def test_a_name_may_be_in_any_script(shared_door: FrontDoor, name: str) -> None:
    handlers.add_agency(shared_door.context, name, "ngo", public_jwks(new_key()))
    data = outgoing(shared_door.context)[-1][2]
    assert data["name"] == name
    assert contracts.faults("agency.changed.v1", data) == []


@pytest.mark.parametrize(
    "jwks",
    [
        [],
        {},
        "keys",
        7,
        {"keys": []},
        {"keys": {}},
        {"keys": "abc"},
        {"keys": [7]},
        {"keys": ["key"]},
        {"keys": [None]},
        public(ECKey.generate_key("P-256")),
        [public(ECKey.generate_key("P-256"))],
        {"keys": [public(ECKey.generate_key("P-256"), kid=7)]},
        {"keys": [public(ECKey.generate_key("P-256"), kid=["a"])]},
    ],
    ids=range(14),
)
def test_what_is_no_key_set_is_refused(shared_door: FrontDoor, jwks: object) -> None:
    assert faults(shared_door, jwks=jwks) == ["jwks"]


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"kty": "EC"},
        {"kty": ["EC"]},
        {"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
        {"kty": "OKP", "crv": "P-256", "x": "AQAB"},
        ECKey.generate_key("P-256").as_dict(private=True),
        ECKey.generate_key("P-384").as_dict(private=False),
        OKPKey.generate_key("Ed25519").as_dict(private=True),
        OKPKey.generate_key("X25519").as_dict(private=False),
        RSAKey.generate_key(2048).as_dict(private=True),
        {"kty": "RSA", "e": "AQAB", "n": base64url(((1 << 1023) + 1155).to_bytes(128))},
        OctKey.generate_key(256).as_dict(private=True),
    ],
    ids=range(12),
)
@pytest.mark.filterwarnings("ignore:Key size should be")
def test_a_private_shared_or_weak_key_is_refused(shared_door: FrontDoor, key: dict[str, Any]) -> None:
    assert faults(shared_door, jwks={"keys": [key]}) == ["jwks jwk"]
    good = public(ECKey.generate_key("P-256"), kid="good")
    assert faults(shared_door, jwks={"keys": [good, {**key, "kid": "other"}]}) == ["jwks jwk"]


def test_a_key_for_something_else_than_signatures_is_refused(shared_door: FrontDoor) -> None:
    assert faults(shared_door, jwks={"keys": [public(ECKey.generate_key("P-256"), use="enc")]}) == ["jwks use"]


@pytest.mark.parametrize("kids", [("a", "a"), ("a", None), (None, None), ("a", ["a"]), ("a", "b", "a")], ids=str)
def test_several_keys_need_different_kids(shared_door: FrontDoor, kids: tuple[object, ...]) -> None:
    keys = [public(ECKey.generate_key("P-256")) for _ in kids]
    named = [key | ({"kid": kid} if kid else {}) for key, kid in zip(keys, kids, strict=True)]
    assert faults(shared_door, jwks={"keys": named}) == ["jwks kid"]


def test_what_is_kept_of_a_key_set_is_public_and_complete(door: FrontDoor) -> None:
    keys: list[Key] = [ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)]
    for key in keys:
        key.ensure_kid()
    row = handlers.add_agency(door.context, "Sample", "ngo", dict(KeySet(keys).as_dict(private=False)))
    assert {key["kid"] for key in row.jwks["keys"]} == {key.kid for key in keys}
    assert not [name for key in row.jwks["keys"] for name in ("d", "p", "q", "k") if name in key]


def refusal(agency: str, event_id: str) -> Event:
    data = {"agency": agency, "event": event_id, "reason": "not_possible_now"}
    return Event("r1", "referral", "event.refused.v1", NOON, data, "key")


def test_a_refusal_further_on_is_told_to_the_sender_who_asks(door: FrontDoor) -> None:
    agency = door.agency()
    document = event(agency, capacity())
    post(door.context, agency, [document])
    assert handlers.look_up(door.context, agency, document["id"]).status == "accepted"
    with door.context.database.transaction() as connection:
        handlers.note_refusal(connection, refusal(agency, document["id"]))
    seen = handlers.look_up(door.context, agency, document["id"])
    assert (seen.status, seen.reason) == ("rejected", "not_possible_now")


def test_a_refused_event_posted_again_says_why_it_was_refused(door: FrontDoor) -> None:
    agency = door.agency()
    document = event(agency, capacity())
    post(door.context, agency, [document])
    with door.context.database.transaction() as connection:
        handlers.note_refusal(connection, refusal(agency, document["id"]))
    [again] = post(door.context, agency, [document])
    assert (again.status, again.reason) == ("duplicate", "not_possible_now")


def test_a_refusal_touches_that_very_event_only(door: FrontDoor) -> None:
    first, second = door.agency(), door.agency()
    for agency in (first, second):
        post(door.context, agency, [event(agency, capacity(), id=name) for name in ("e1", "e2")])
    with door.context.database.transaction() as connection:
        handlers.note_refusal(connection, refusal(first, "e1"))
        handlers.note_refusal(connection, refusal(first, "never-posted"))
    with door.context.database.reading() as connection:
        rows = connection.execute(select(models.posted.c.source, models.posted.c.id, models.posted.c.status))
        rejected = [(source, name) for source, name, status in rows if status == "rejected"]
    assert rejected == [(first, "e1")]


def test_an_agency_sees_only_what_it_posted_itself(door: FrontDoor) -> None:
    mine, other = door.agency(), door.agency()
    document = event(mine, capacity())
    post(door.context, mine, [document])
    for agency, event_id in ((other, document["id"]), (mine, "never-posted")):
        with pytest.raises(Problem) as caught:
            handlers.look_up(door.context, agency, event_id)
        assert caught.value.as_json() == {
            "type": "urn:fireweed:problem:not-found",
            "title": "There is nothing here for you.",
            "status": 404,
        }
