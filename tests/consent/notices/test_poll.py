"""Test polling for notices: signed and self-contained, acknowledged or no more data, and visible to the survivor."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from services.common.auth.jose import Untrusted, key_set, verify
from services.consent.handlers.disclosures.decisions import Sending, decide_sendings
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.handlers.rights import erasure
from services.consent.models import notice
from services.consent.store.notices import add_notices
from tests.support.clocks import NOON
from tests.support.consent import Agency, House, Person
from tests.support.notice_receiver import Receiver, catch_up, poll, said, shuffled

DAY = timedelta(hours=24)


def test_notice_self_contained(house: House) -> None:
    """Invariant 29: one notice alone tells what to stop, for whom, and by when."""
    agency = house.agency()
    person = house.person(agency)
    name = house.allow(person, agency, "health", "summary")
    grants.revoke_grant(house.context, person.subject, name)

    [claims], more = list(poll(house, agency)[0].values()), poll(house, agency)[1]
    assert not more
    assert claims["sub_id"] == {"format": "opaque", "id": person.ppid}
    assert claims["iat"] == NOON.timestamp()
    assert said(claims) == {
        "kind": "stop",
        "grant": str(name),
        "purpose": "referral",
        "categories": ["health", "summary"],
        "epoch": 2,
        "action": "delete",
        "due": (NOON + timedelta(days=14)).isoformat(),
    }


@pytest.mark.parametrize("missing", ["grant", "purpose", "categories", "epoch", "action", "due"])
def test_notice_without_a_member_stops_everything(house: House, missing: str) -> None:
    """A receiver that cannot read a notice about her stops using all that it holds of her."""
    agency = house.agency()
    person = house.person(agency)
    one, other = house.allow(person, agency), house.allow(person, agency, "legal")
    grants.revoke_grant(house.context, person.subject, one)
    [claims] = catch_up(house, agency)
    [content] = claims["events"].values()
    receiver = Receiver()
    receiver.take({**claims, "events": {"urn:fireweed:event:consent-revoked": {**content, missing: None}}})

    assert receiver.usable(str(other), frozenset({"legal"}), person.ppid) == frozenset()


@pytest.mark.parametrize("seed", range(6))
def test_notice_idempotent_any_order(house: House, seed: int) -> None:
    """Invariant 29: notices read in any order, and twice, have the same effect."""
    agency, context = house.agency(), house.context
    person = house.person(agency)
    kept, gone = house.allow(person, agency, "health", "summary"), house.allow(person, agency, "legal")
    grants.pause(context, person.subject)
    no_health = grants.restrict(context, person.subject, Rule(category="health"))
    grants.resume(context, person.subject)
    grants.revoke_grant(context, person.subject, gone)
    brought = catch_up(house, agency)
    receiver = Receiver()
    for claims in shuffled(brought, seed):
        receiver.take(claims)

    assert receiver.usable(str(kept), frozenset({"health", "summary"})) == {"summary"}
    assert receiver.usable(str(gone), frozenset({"legal"})) == frozenset()
    grants.lift_restriction(context, person.subject, no_health)
    for claims in shuffled([*brought, *catch_up(house, agency)], seed):
        receiver.take(claims)
    assert receiver.usable(str(kept), frozenset({"health", "summary"})) == {"health", "summary"}


def test_one_change_makes_one_notice_for_a_grant(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    name = house.allow(person, agency)
    for _ in range(3):
        grants.revoke_grant(house.context, person.subject, name)
    [row] = told(house, person)
    with pytest.raises(IntegrityError), house.context.database.transaction() as connection:
        add_notices(connection, [{**row._mapping, "id": uuid4()}])

    assert told(house, person) == [row]


def test_overdue_ack_stops_delivery(house: House) -> None:
    """Invariant 30: without acknowledgement, data stops; as soon as the agency has caught up, it flows again."""
    agency, other = house.agency(), house.agency()
    person, another = house.person(agency), house.person(agency)
    ended = house.allow(person, agency)
    envelopes = {one.id: house.envelope(house.allow(another, one)) for one in (agency, other)}
    grants.revoke_grant(house.context, person.subject, ended)
    house.clock.move(DAY - timedelta(seconds=1))
    for one in (agency, other):
        one.token = house.signer.token(one.id, one.key)
    assert house.open(agency, envelopes[agency.id]).status_code == 200
    house.clock.move(timedelta(seconds=1))

    never = house.open(agency, "fw1.bmV2ZXI")
    late = house.open(agency, envelopes[agency.id])
    assert (late.status_code, late.content) == (404, never.content)
    assert sealable(house, agency, another, agency) is None
    assert house.open(other, envelopes[other.id]).status_code == 200, "another agency must not pay for it"
    assert sealable(house, agency, another, other) is not None, "a late agency may still send"
    sets, _ = poll(house, agency)
    assert house.open(agency, envelopes[agency.id]).status_code == 404, "reading is not acknowledging"
    poll(house, agency, ack=list(sets), maxEvents=0)
    assert house.open(agency, envelopes[agency.id]).status_code == 200


def test_notice_is_returned_until_it_is_acknowledged(house: House) -> None:
    """An acknowledged notice is never returned again; unknown ids in `ack` are ignored."""
    agency = house.agency()
    person = house.person(agency)
    for _ in range(3):
        grants.revoke_grant(house.context, person.subject, house.allow(person, agency))

    first, more = poll(house, agency, maxEvents=2)
    assert (len(first), more) == (2, True)
    assert poll(house, agency, maxEvents=2) == (first, True)
    assert poll(house, agency, maxEvents=0, returnImmediately=True) == ({}, True)
    rest, more = poll(house, agency, ack=list(first))
    assert (len(rest), more, rest.keys() & first.keys()) == (1, False, set())
    assert poll(house, agency, ack=[*first, *rest, str(uuid4())]) == ({}, False)
    assert [row.epoch for row in told(house, person)] == sorted(row.epoch for row in told(house, person))


def test_notice_of_another_agency_cannot_be_acknowledged(house: House) -> None:
    """It cannot be attested either: the answer equals that for a notice that does not exist."""
    agency, other = house.agency(), house.agency()
    person = house.person(agency)
    grants.revoke_grant(house.context, person.subject, house.allow(person, agency))
    [name] = poll(house, agency)[0]
    assert poll(house, other, ack=[name]) == ({}, False)

    foreign = house.call(other, f"/consent/v1/notices/{name}/attestation", {"done": "deleted"})
    absent = house.call(other, f"/consent/v1/notices/{uuid4()}/attestation", {"done": "deleted"})
    assert (foreign.status_code, foreign.content) == (404, absent.content)
    assert list(poll(house, agency)[0]) == [name]
    assert told(house, person)[0].attested is None


def test_notice_reported_unreadable_stays_unacknowledged(house: House) -> None:
    """The reported code is shown to the survivor; a text instead of a code is refused."""
    agency = house.agency()
    person = house.person(agency)
    grants.revoke_grant(house.context, person.subject, house.allow(person, agency))
    [name] = poll(house, agency)[0]

    again, _ = poll(house, agency, setErrs={name: {"err": "invalid_key", "description": "Sample words"}})
    assert list(again) == [name]
    [seen] = house.my("GET", "/notices", house.session(person)).json()["agencies"]
    assert (seen["acknowledged"], seen["list"][0]["error"]) == (0, "invalid_key")
    wrong = house.call(agency, "/consent/v1/notices/poll", {"setErrs": {name: {"err": "We know where you are"}}})
    assert (wrong.status_code, wrong.json()["errors"][0]["member"]) == (400, "/setErrs")
    poll(house, agency, ack=[name])
    assert told(house, person)[0].error is None


def test_pause_and_restriction_send_stop_and_again_notices(house: House) -> None:
    """A notice is sent only if what may be used changes."""
    agency, context = house.agency("health"), house.context
    person = house.person(agency)
    house.allow(person, agency, "health", "legal", "summary")
    acts: list[Callable[[], Any]] = [
        lambda: grants.restrict(context, person.subject, Rule(category="legal")),
        lambda: grants.restrict(context, person.subject, Rule(agency=agency.id, category="legal")),
        lambda: grants.restrict(context, person.subject, Rule(category="housing")),
        lambda: grants.pause(context, person.subject),
        lambda: grants.pause(context, person.subject),
        lambda: grants.restrict(context, person.subject, Rule(sector="health")),
        lambda: grants.resume(context, person.subject),
    ]
    said_then = []
    restrictions = []
    for act in acts:
        restrictions.append(act())
        said_then.append([summary(claims) for claims in catch_up(house, agency)])

    all_but_legal = ("stop", "stop_use", ("health", "summary"))
    assert said_then == [[("stop", "stop_use", ("legal",))], [], [], [all_but_legal], [], [], []]
    grants.lift_restriction(context, person.subject, restrictions[5])
    assert [summary(claims) for claims in catch_up(house, agency)] == [("again", None, ("health", "summary"))]
    grants.lift_restriction(context, person.subject, restrictions[0])
    assert catch_up(house, agency) == [], "the other restriction still holds"


def test_notice_does_not_tell_why_use_stopped(house: House) -> None:
    """Staff must not learn that she named a conflict: its notice equals that of a pause."""
    agency, context = house.agency(), house.context
    contents = []
    acts: list[Callable[[Person], Any]] = [
        lambda person: grants.pause(context, person.subject),
        lambda person: grants.restrict(context, person.subject, Rule(agency=agency.id, reason="someone_works_there")),
        lambda person: grants.restrict(context, person.subject, Rule(sector=agency.sector)),
    ]
    for act in acts:
        person = house.person(agency)
        house.allow(person, agency)
        act(person)
        [claims] = catch_up(house, agency)
        contents.append({name: value for name, value in said(claims).items() if name != "grant"})

    assert contents == [contents[0]] * 3
    assert contents[0].keys() == {"kind", "purpose", "categories", "epoch", "action", "due"}


@pytest.mark.parametrize("how", ["revoked", "expired", "erased"])
def test_every_end_of_a_grant_sends_a_delete_notice(house: House, how: str) -> None:
    agency = house.agency()
    person = house.person(agency)
    name = house.allow(person, agency, days=1)
    if how == "revoked":
        grants.revoke_all(house.context, person.subject)
    elif how == "erased":
        erasure.erase(house.context, person.subject)
    else:
        house.clock.move(timedelta(days=1))
        agency.token = house.signer.token(agency.id, agency.key)
        grants.end_lapsed(house.context, 10_000)

    [claims] = catch_up(house, agency)
    assert (said(claims)["grant"], said(claims)["action"]) == (str(name), "delete")
    assert claims["sub_id"]["id"] == person.ppid
    if how == "erased":
        return  # her entries cannot be read any more
    ended = [row for row in house.ledger(person) if row.kind == "grant.ended"]
    assert [(row.detail["reason"], row.detail["notice"]) for row in ended] == [(how, claims["jti"])]


def test_ppid_of_the_erased_is_removed_after_acknowledgement(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    house.allow(person, agency)
    erasure.erase(house.context, person.subject)
    entries = len(house.ledger(person))

    [claims] = catch_up(house, agency)
    assert claims["sub_id"]["id"] == person.ppid
    assert [row.ppid for row in told(house, person)] == [None]
    erasure.forget_erased(house.context)
    [row] = house.rows(notice, notice.c.id == UUID(claims["jti"]))
    assert (row.ppid, row.grant_id, row.subject_id, row.purpose, row.categories) == (None, None, None, "", [])
    house.call(agency, f"/consent/v1/notices/{claims['jti']}/attestation", {"done": "deleted"})
    assert house.rows(notice, notice.c.id == UUID(claims["jti"]))[0].attested == "deleted"
    assert len(house.ledger(person)) == entries, "nothing more is written about the erased"


def test_survivor_sees_notice_progress_of_each_agency(house: House) -> None:
    agency, silent = house.agency(), house.agency()
    person = house.person(agency)
    for one in (agency, agency, silent):
        grants.revoke_grant(house.context, person.subject, house.allow(person, one))
    token = house.session(person)
    assert seen(house, token, agency) == {"notices": 2, "told": 0, "acknowledged": 0, "attested": 0, "overdue": 0}
    first, second = poll(house, agency)[0]
    assert seen(house, token, agency) == {"notices": 2, "told": 2, "acknowledged": 0, "attested": 0, "overdue": 0}
    poll(house, agency, ack=[first, second])
    house.call(agency, f"/consent/v1/notices/{first}/attestation", {"done": "deleted"})
    assert seen(house, token, agency) == {"notices": 2, "told": 2, "acknowledged": 2, "attested": 1, "overdue": 0}

    house.clock.move(DAY)
    token = house.session(person)
    assert seen(house, token, silent) == {"notices": 1, "told": 0, "acknowledged": 0, "attested": 0, "overdue": 1}
    assert seen(house, token, agency)["overdue"] == 0
    house.clock.move(timedelta(days=13))
    assert seen(house, house.session(person), agency)["overdue"] == 1, "it has not attested the deletion of the second"
    assert house.kinds(person).count("notice.acknowledged") == 2
    [entry] = [row for row in house.ledger(person) if row.kind == "notice.attested"]
    assert (entry.agency, entry.detail["notice"], entry.detail["done"]) == (agency.id, first, "deleted")


def test_attestation_acknowledges_and_takes_effect_once(house: House) -> None:
    """Equal attestations are recorded once, and a different one is recorded anew."""
    agency = house.agency()
    person = house.person(agency)
    grants.revoke_grant(house.context, person.subject, house.allow(person, agency))
    [name] = poll(house, agency)[0]
    path = f"/consent/v1/notices/{name}/attestation"

    wrong = house.call(agency, path, {"done": "We did what we could."})
    assert (wrong.status_code, wrong.json()["errors"][0]["member"]) == (400, "/done") or wrong.status_code == 422
    for done in ("kept_by_law", "kept_by_law", "deleted", "deleted"):
        assert house.call(agency, path, {"done": done}).status_code == 204
    assert poll(house, agency) == ({}, False)
    kinds = [kind for kind in house.kinds(person) if kind.startswith("notice.")]
    assert kinds == ["notice.acknowledged", "notice.attested", "notice.attested"]


def test_notice_token_is_stable_and_signed_by_the_hub(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    grants.revoke_grant(house.context, person.subject, house.allow(person, agency))
    one, two = (house.call(agency, "/consent/v1/notices/poll", {}).json()["sets"] for _ in range(2))

    assert one == two
    [token] = one.values()
    with pytest.raises(Untrusted):
        verify(token, house.signer.public, "notice")
    keys = house.http.get(f"{house.url}/consent/jwks.json").json()["keys"]
    assert all("d" not in key for key in keys)
    head, body, signature = token.split(".")
    with pytest.raises(Untrusted):
        verify(f"{head}.{body[:-2]}AA.{signature}", key_set(keys), "notice")


def test_notice_to_an_unlinked_agency_names_only_the_grant(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    grants.revoke_grant(house.context, person.subject, name)

    [claims] = catch_up(house, agency)
    assert "sub_id" not in claims
    assert said(claims)["grant"] == str(name)


@pytest.mark.parametrize("body", [{"maxEvents": -1}, {"ack": ["x"]}, {"ack": "x"}, {"setErrs": []}, {"more": 1}, []])
def test_malformed_poll_returns_422(house: House, body: Any) -> None:
    assert house.call(house.agency(), "/consent/v1/notices/poll", body).status_code == 422


def told(house: House, person: Person) -> list[Any]:
    """Return the notices about her, oldest first."""
    return house.rows(notice, notice.c.subject_id == person.subject)


def seen(house: House, token: str, agency: Agency) -> dict[str, int]:
    agencies = {row["agency"]: row for row in house.my("GET", "/notices", token).json()["agencies"]}
    return {name: count for name, count in agencies[agency.id].items() if isinstance(count, int)}


def summary(claims: Any) -> tuple[str, str | None, tuple[str, ...]]:
    content = said(claims)
    return content["kind"], content.get("action"), tuple(content["categories"])


def sealable(house: House, sender: Agency, person: Person, to: Agency) -> Any:
    sending = Sending(sender.id, person.ppid, to.id, "referral", frozenset({"summary"}))
    return decide_sendings(house.context, [sending])[0].seal
