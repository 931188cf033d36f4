"""Agencies and results of events: each change is announced once with a growing version; each sender sees only its own."""

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
from tests.support.running_intake import RunningIntake, capacity, event, outgoing

SUSPENDED_AND_BACK = ("suspended", "active", "suspended")


def public(key: ECKey | OKPKey | RSAKey, **changed: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **changed}


def faults(
    running: RunningIntake, name: str = "Sample Shelter", sector: str = "housing", jwks: object = None
) -> list[str]:
    """Return the members at fault when an agency is refused; check that nothing was stored or announced."""
    before = outgoing(running.context), handlers.list_agencies(running.context)
    with pytest.raises(Problem) as caught:
        handlers.add_agency(running.context, name, sector, public_jwks(new_key()) if jwks is None else jwks)
    assert (outgoing(running.context), handlers.list_agencies(running.context)) == before
    assert all(fault.accepted for fault in caught.value.faults)
    return [fault.member for fault in caught.value.faults]


def test_taking_an_agency_in_is_told_to_every_service_once(running: RunningIntake) -> None:
    row = handlers.add_agency(running.context, "Maison Échantillon", "housing", public_jwks(new_key()))
    news = {
        "agency": row.id,
        "name": "Maison Échantillon",
        "sector": "housing",
        "standing": "active",
        "version": 1,
    }
    assert outgoing(running.context) == [("agency.changed.v1", row.id, news)]
    assert contracts.faults("agency.changed.v1", news) == []


NAME = "Silver Maple House"


@pytest.mark.parametrize(
    "alike", [NAME, NAME.upper(), f" {NAME.replace(' ', '')}", "Silver Maple H\u043euse", "SiIver Map1e House"]
)
def test_name_resembling_anothers_returns_409(running: RunningIntake, alike: str) -> None:
    agency = handlers.add_agency(running.context, NAME, "housing", public_jwks(new_key())).id
    handlers.set_standing(running.context, agency, "suspended")
    assert faults(running, name=alike) == ["name"]
    assert handlers.add_agency(running.context, alike, "ngo", public_jwks(new_key()), force=True).name == alike


def test_key_of_another_agency_returns_409_even_with_force(running: RunningIntake) -> None:
    """A key is known by its RFC 7638 thumbprint: under another `kid`, and as the second key of a set."""
    known, own = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    handlers.add_agency(running.context, NAME, "housing", {"keys": [public(known)]})
    shared = {"keys": [public(own, kid="own"), public(known, kid="other", alg="ES256")]}
    assert faults(running, name="Another Place", jwks=shared) == ["jwks"]
    with pytest.raises(Problem, match="agency-key-known"):
        handlers.add_agency(running.context, "Another Place", "ngo", shared, force=True)


def test_each_change_of_standing_is_announced_once(running: RunningIntake) -> None:
    agency = running.agency()
    for standing in SUSPENDED_AND_BACK:
        handlers.set_standing(running.context, agency, standing)
    told = [data for _, key, data in outgoing(running.context) if key == agency]
    assert [(data["standing"], data["version"]) for data in told] == [
        ("active", 1),
        ("suspended", 2),
        ("active", 3),
        ("suspended", 4),
    ]
    assert {data["name"] for data in told} == {"Sample Outreach"}
    assert [contracts.faults("agency.changed.v1", data) for data in told] == [[]] * 4


def test_a_change_of_standing_touches_that_agency_only(running: RunningIntake) -> None:
    first, second = running.agency(), running.agency()
    handlers.set_standing(running.context, first, "suspended")
    assert {row.id: row.standing for row in handlers.list_agencies(running.context)} == {
        first: "suspended",
        second: "active",
    }


def test_an_agency_that_is_not_there_cannot_change(running: RunningIntake) -> None:
    with pytest.raises(Problem, match="404") as caught:
        handlers.set_standing(running.context, "agency-zzzzzzzzzz", "suspended")
    assert "fireweed agency list" in caught.value.title
    assert outgoing(running.context) == []


def test_agencies_are_listed_oldest_first(running: RunningIntake, clock: StillClock) -> None:
    added = []
    for number in range(5):
        added.append(running.agency(f"Sample {number}"))
        clock.move(timedelta(seconds=1))
    assert [row.id for row in handlers.list_agencies(running.context)] == added


@pytest.mark.parametrize("sector", ["", "Housing", "hospital", "ngo ", "housing\x00"])
def test_a_sector_must_be_a_code_and_the_codes_are_told(shared_intake: RunningIntake, sector: str) -> None:
    assert faults(shared_intake, sector=sector) == ["sector"]
    with pytest.raises(Problem) as caught:
        handlers.add_agency(shared_intake.context, "Sample", sector, public_jwks(new_key()))
    assert caught.value.faults[0].accepted == ", ".join(sorted(schemas.code_set("sectors")))


@pytest.mark.parametrize("sector", sorted(schemas.code_set("sectors")))
def test_every_sector_of_the_codes_is_taken(shared_intake: RunningIntake, sector: str) -> None:
    assert (
        handlers.add_agency(shared_intake.context, f"Sample {sector}", sector, public_jwks(new_key())).sector == sector
    )


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "a\nb", "a\x00b", "a\u202eb", "\ud800"])
def test_a_name_must_be_one_that_survivors_can_read(shared_intake: RunningIntake, name: str) -> None:
    assert faults(shared_intake, name=name) == ["name"]


@pytest.mark.parametrize("name", ["x" * 120, "Foyer d’Exemple", "ᓄᓇᕗᑦ"])
def test_a_name_may_be_in_any_script(shared_intake: RunningIntake, name: str) -> None:
    handlers.add_agency(shared_intake.context, name, "ngo", public_jwks(new_key()))
    data = outgoing(shared_intake.context)[-1][2]
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
def test_malformed_key_set_is_refused(shared_intake: RunningIntake, jwks: object) -> None:
    assert faults(shared_intake, jwks=jwks) == ["jwks"]


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
def test_a_private_shared_or_weak_key_is_refused(shared_intake: RunningIntake, key: dict[str, Any]) -> None:
    assert faults(shared_intake, jwks={"keys": [key]}) == ["jwks jwk"]
    good = public(ECKey.generate_key("P-256"), kid="good")
    assert faults(shared_intake, jwks={"keys": [good, {**key, "kid": "other"}]}) == ["jwks jwk"]


def test_a_key_for_something_else_than_signatures_is_refused(shared_intake: RunningIntake) -> None:
    assert faults(shared_intake, jwks={"keys": [public(ECKey.generate_key("P-256"), use="enc")]}) == ["jwks use"]


@pytest.mark.parametrize("kids", [("a", "a"), ("a", None), (None, None), ("a", ["a"])], ids=str)
def test_several_keys_need_different_kids(shared_intake: RunningIntake, kids: tuple[object, ...]) -> None:
    keys = [public(ECKey.generate_key("P-256")) for _ in kids]
    named = [key | ({"kid": kid} if kid else {}) for key, kid in zip(keys, kids, strict=True)]
    assert faults(shared_intake, jwks={"keys": named}) == ["jwks kid"]


def test_stored_key_set_is_public_and_complete(running: RunningIntake) -> None:
    keys: list[Key] = [ECKey.generate_key("P-256"), RSAKey.generate_key(2048)]
    for key in keys:
        key.ensure_kid()
    row = handlers.add_agency(running.context, "Sample", "ngo", dict(KeySet(keys).as_dict(private=False)))
    assert {key["kid"] for key in row.jwks["keys"]} == {key.kid for key in keys}
    assert not [name for key in row.jwks["keys"] for name in ("d", "p", "q", "k") if name in key]


def refusal(agency: str, event_id: str) -> Event:
    data = {"agency": agency, "event": event_id, "reason": "not_possible_now"}
    return Event("r1", "referral", "event.refused.v1", NOON, data, "key")


def test_a_refusal_further_on_is_told_to_the_sender_who_asks(running: RunningIntake) -> None:
    agency = running.agency()
    document = event(agency, capacity())
    post(running.context, agency, [document])
    assert handlers.find_result(running.context, agency, document["id"]).status == "accepted"
    with running.context.database.transaction() as connection:
        handlers.note_refusal(connection, refusal(agency, document["id"]))
    seen = handlers.find_result(running.context, agency, document["id"])
    assert (seen.status, seen.reason) == ("rejected", "not_possible_now")


def test_a_refused_event_posted_again_says_why_it_was_refused(running: RunningIntake) -> None:
    agency = running.agency()
    document = event(agency, capacity())
    post(running.context, agency, [document])
    with running.context.database.transaction() as connection:
        handlers.note_refusal(connection, refusal(agency, document["id"]))
    [again] = post(running.context, agency, [document])
    assert (again.status, again.reason) == ("duplicate", "not_possible_now")


def test_a_refusal_touches_that_very_event_only(running: RunningIntake) -> None:
    first, second = running.agency(), running.agency()
    for agency in (first, second):
        post(running.context, agency, [event(agency, capacity(), id=name) for name in ("e1", "e2")])
    with running.context.database.transaction() as connection:
        handlers.note_refusal(connection, refusal(first, "e1"))
        handlers.note_refusal(connection, refusal(first, "never-posted"))
    with running.context.database.reading() as connection:
        rows = connection.execute(select(models.posted.c.source, models.posted.c.id, models.posted.c.status))
        rejected = [(source, name) for source, name, status in rows if status == "rejected"]
    assert rejected == [(first, "e1")]


def test_an_agency_sees_only_what_it_posted_itself(running: RunningIntake) -> None:
    mine, other = running.agency(), running.agency()
    document = event(mine, capacity())
    post(running.context, mine, [document])
    for agency, event_id in ((other, document["id"]), (mine, "never-posted")):
        with pytest.raises(Problem) as caught:
            handlers.find_result(running.context, agency, event_id)
        assert caught.value.as_json() == {
            "type": "urn:fireweed:problem:not-found",
            "title": "Not found.",
            "status": 404,
        }
