"""An opening returns the permitted parts, only to the recipient and only under its grant; all else looks unknown."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from services.common.encoding import base64url
from services.common.envelope import Envelope, read, write
from services.consent.handlers.disclosures.openings import begin_opening
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.handlers.rights import erasure
from services.consent.models import grant, ledger_entry, ledger_repeat, plumbing
from services.consent.store import keys as key_store
from tests.support.consent import Agency, House, Person, change_standing, without_ledger

PARTS = {
    "summary": {"text": "Sample Aspen would like a quiet place for some nights."},
    "housing": {"needs": "A room of her own. Une chambre à elle."},
    "health": {"needs": "Would like to see a nurse this week."},
}
NEVER = "fw1.bmV2ZXI"


def test_opening_returns_permitted_parts_and_records_it_twice(house: House) -> None:
    agency, sender = house.agency(), house.agency()
    person = house.person(sender)
    name, referral = house.allow(person, agency, "summary", "housing", days=3), str(uuid4())
    answer = house.open(agency, house.envelope(name, PARTS, id=referral))

    told = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert told["parts"] == {category: PARTS[category] for category in ("housing", "summary")}
    until = (house.clock.now() + timedelta(days=3)).isoformat()
    assert told["decision"] == {"permitted": ["housing", "summary"], "policy": "1", "valid_until": until}
    assert (told["grant"], told["epoch"], told["ppid"]) == (str(name), 1, None)
    intended, delivered = settled(house, person, 2)
    assert (intended.kind, delivered.kind) == ("opening.intended", "opening.delivered")
    assert told["ledger"] == intended.position < delivered.position
    assert intended.agency == delivered.agency == agency.id
    assert [intended.detail[fact] for fact in ("grant", "epoch", "policy")] == [str(name), 1, "1"]
    assert intended.detail["categories"] == ["housing", "summary"]
    assert intended.detail["rules"] == {"housing": "grant", "summary": "grant", "health": "no-grant"}
    assert intended.detail["opening"] == delivered.detail["opening"]
    assert intended.detail["referral"] == delivered.detail["referral"] == referral


def test_disclosure_event_names_categories_but_no_content(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency, "summary")
    referral = str(uuid4())
    house.open(agency, house.envelope(name, PARTS, id=referral))
    settled(house, person, 2)

    table = plumbing.outbox.table
    rows = house.rows(table, table.c.type == "disclosure.made.v1", table.c.aggregateid == referral)
    told = [json.loads(row.payload) for row in rows]
    assert [(one["grant"], one["agency"], one["categories"], one["outcome"]) for one in told] == [
        (str(name), agency.id, ["summary"], "delivered")
    ]
    assert "Aspen" not in repr(rows)
    assert str(person.subject) not in repr(rows)


def test_opening_by_linked_agency_returns_its_ppid(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)

    answer = house.open(agency, house.envelope(house.allow(person, agency)))
    assert answer.json()["ppid"] == person.ppid


@dataclass(frozen=True, slots=True)
class Given:
    """A grant with its recipient and its survivor."""

    house: House
    agency: Agency
    person: Person
    grant: UUID

    def forbid(self, rule: Rule) -> None:
        """Add a restriction of the survivor."""
        grants.restrict(self.house.context, self.person.subject, rule)

    def lose_the_wrapping_key(self) -> None:
        """Destroy the key that wraps the keys of all grants."""
        for file in (self.house.service.settings.keys_folder / "consent" / "key-encryption").glob("*.key"):
            file.unlink()


CLOSINGS: dict[str, Callable[[Given], object]] = {
    "revoked": lambda given: grants.revoke_grant(given.house.context, given.person.subject, given.grant),
    "paused": lambda given: grants.pause(given.house.context, given.person.subject),
    "restricted agency": lambda given: given.forbid(Rule(agency=given.agency.id)),
    "restricted sector": lambda given: given.forbid(Rule(sector=given.agency.sector)),
    "restricted category": lambda given: given.forbid(Rule(category="summary")),
    "restricted purpose": lambda given: given.forbid(Rule(purpose="referral")),
    "erased": lambda given: erasure.erase(given.house.context, given.person.subject),
    "expired": lambda given: given.house.clock.move(timedelta(days=1)),
    "wrapping key destroyed": lambda given: given.lose_the_wrapping_key(),
}


@pytest.mark.parametrize("closing", CLOSINGS)
def test_closed_envelope_is_indistinguishable_from_unknown(own_house: House, closing: str) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person()
    name = house.allow(person, agency, days=1)
    envelope = house.envelope(name)
    assert house.open(agency, envelope).status_code == 200
    settled(house, person, 2)
    CLOSINGS[closing](Given(house, agency, person, name))
    agency = renewed(house, agency)
    before = len(house.rows(ledger_entry))

    closed, never = house.open(agency, envelope), house.open(agency, NEVER)
    assert (closed.status_code, closed.content) == (404, never.content)
    # How much an agency has left counts its own requests.
    for answer in (closed, never):
        answer.headers.pop("ratelimit")
    assert closed.headers == never.headers
    kinds = [row.kind for row in house.rows(ledger_entry)[before:]]
    assert kinds.count("opening.refused") == 1, "the refusal is in the ledger, once"
    assert "opening.delivered" not in kinds
    if closing not in {"erased", "wrapping key destroyed"}:  # after these nothing opens the sealed half of an entry
        told = house.ledger(person)[-1]
        assert (told.kind, told.agency) == ("opening.refused", agency.id)


def test_foreign_agency_gets_404_and_ledger_shows_attempt(house: House) -> None:
    agency, stranger = house.agency(), house.agency()
    person = house.person()
    envelope = house.envelope(house.allow(person, agency))
    house.allow(person, stranger)

    answer, never = house.open(stranger, envelope), house.open(stranger, NEVER)
    assert (answer.status_code, answer.content) == (404, never.content)
    told = house.ledger(person)[-1]
    assert (told.kind, told.agency, told.detail["foreign"]) == ("opening.refused", stranger.id, True)


def test_envelope_for_other_recipient_returns_404_despite_grant(house: House) -> None:
    agency, other, person = house.agency(), house.agency(), house.person()
    sealed = house.envelope(house.allow(person, agency), recipient=other.id)

    assert house.open(agency, sealed).content == house.open(agency, NEVER).content
    [refused] = settled(house, person, 1)
    assert (refused.kind, refused.agency, refused.detail["foreign"]) == ("opening.refused", agency.id, True)


def test_new_grant_never_opens_envelope_of_old_grant(house: House) -> None:
    agency, person = house.agency(), house.person()
    old = house.allow(person, agency)
    envelope = house.envelope(old)
    grants.revoke_grant(house.context, person.subject, old)
    new = house.allow(person, agency, "summary", "housing", "health")

    assert house.open(agency, envelope).status_code == 404
    for forged in (
        replace(read(envelope).header, grant=str(new)),
        replace(read(envelope).header, epoch=house.epoch(person)),
    ):
        assert house.open(agency, write(replace(read(envelope), header=forged))).status_code == 404


def test_restricted_category_is_left_out_of_opening(house: House) -> None:
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency, *PARTS), PARTS)
    forbid(house, person, Rule(category="health"))

    told = house.open(agency, envelope).json()
    assert told["parts"].keys() == {"summary", "housing"}
    assert told["decision"]["permitted"] == ["housing", "summary"]


Change = Callable[[Envelope], Envelope]
TAMPERINGS: dict[str, Change] = {
    "another event": lambda sealed: replace(sealed, header=replace(sealed.header, id=str(uuid4()))),
    "another type": lambda sealed: replace(sealed, header=replace(sealed.header, type="need.recorded.v1")),
    "an older epoch": lambda sealed: replace(sealed, header=replace(sealed.header, epoch=0)),
    "parts exchanged": lambda sealed: replace(
        sealed, parts={"summary": sealed.parts["housing"], "housing": sealed.parts["summary"]}
    ),
    "a part renamed": lambda sealed: replace(sealed, parts={"housing": sealed.parts["summary"]}),
    "a part changed": lambda sealed: replace(sealed, parts={"summary": flipped(sealed.parts["summary"])}),
    "a part cut short": lambda sealed: replace(sealed, parts={"summary": sealed.parts["summary"][:-1]}),
    "a part emptied": lambda sealed: replace(sealed, parts={"summary": b""}),
    "the key changed": lambda sealed: replace(sealed, key=flipped(sealed.key)),
    "the key cut short": lambda sealed: replace(sealed, key=sealed.key[:10]),
    "no key": lambda sealed: replace(sealed, key=b""),
    "no parts": lambda sealed: replace(sealed, parts={}),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampered_envelope_returns_404(house: House, tampering: str) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency, "summary", "housing")
    changed = TAMPERINGS[tampering](read(house.envelope(name, PARTS)))

    answer, never = house.open(agency, write(changed)), house.open(agency, NEVER)
    assert (answer.status_code, answer.content) == (404, never.content)
    assert "opening.delivered" not in house.kinds(person)
    assert house.kinds(person)[-1] == "opening.refused"


def test_part_moved_from_another_envelope_returns_404(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    one, two = (read(house.envelope(name)) for _ in range(2))

    assert house.open(agency, write(replace(one, parts=two.parts))).status_code == 404
    assert house.open(agency, write(replace(one, key=two.key, parts=two.parts))).status_code == 404


def test_unknown_category_is_left_out_of_opening(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    told = house.open(agency, house.envelope(name, {**PARTS, "everything": {"a": 1}})).json()

    assert told["parts"].keys() == {"summary"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fw1.",
        "fw2.bmV2ZXI",
        "fw1.!!!",
        "fw1." + base64url(b"[]"),
        "fw1." + base64url(b'{"header":{},"key":"","parts":{}}'),
        "fw1." + base64url(b"[" * 5000),
        "fw1.\x00",
        "fw1.é",
    ],
)
def test_malformed_envelope_returns_404(house: House, text: str) -> None:
    agency = house.agency()
    answer, never = house.open(agency, text), house.open(agency, NEVER)

    assert (answer.status_code, answer.content) == (404, never.content)


HOSTILE = ["We know where you are.", "nul\x00", "half \ud800", "x" * 5000, "", "urn:uuid:{name}", "{name}\n"]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("place", ["id", "recipient", "grant", "type", "category"])
def test_hostile_header_text_never_enters_ledger(house: House, place: str, hostile: str) -> None:
    """A refusal is recorded before the envelope is opened, which is when its header is authenticated."""
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    sealed, text = read(house.envelope(name)), hostile.replace("{name}", str(name))
    header = {field: getattr(sealed.header, field) for field in ("id", "recipient", "grant", "epoch", "type")}
    parts = {category: base64url(part) for category, part in sealed.parts.items()}
    if place == "category":
        parts[text] = parts["summary"]
    else:
        header[place] = text
    written = json.dumps({"header": header, "key": base64url(sealed.key), "parts": parts})
    answer = house.open(agency, "fw1." + base64url(written.encode()))

    # An unknown category does not keep the others closed.
    if answer.status_code != 200 or place != "category":
        assert (answer.status_code, answer.content) == (404, house.open(agency, NEVER).content)
    settled(house, person, 1)
    assert text == "" or json.dumps(text)[1:-1] not in json.dumps(
        [entry.detail for entry in house.ledger(person)], default=str
    )


def test_envelope_from_later_epoch_returns_503(own_house: House) -> None:
    """The database may be a lagging replica or a restored backup; a decision on it could revive an ended grant."""
    agency, stranger = own_house.agency(), own_house.agency()
    person = own_house.person()
    name = own_house.allow(person, agency)
    grants.pause(own_house.context, person.subject)
    grants.resume(own_house.context, person.subject)
    envelope = own_house.envelope(name)
    assert read(envelope).header.epoch == 3
    assert own_house.open(agency, envelope).status_code == 200
    before = settled(own_house, person, 2)
    with own_house.context.database.transaction() as connection:
        connection.execute(grant.update().where(grant.c.id == name).values(agency_epoch=2))

    answer = own_house.open(agency, envelope)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "Aspen" not in answer.text
    assert settled(own_house, person, 2) == before
    # Another agency learns nothing from a forged epoch.
    foreign, never = own_house.open(stranger, envelope), own_house.open(stranger, NEVER)
    assert (foreign.status_code, foreign.content) == (404, never.content)


@pytest.mark.parametrize("closing", CLOSINGS)
def test_forged_epoch_returns_404_and_is_recorded(own_house: House, closing: str) -> None:
    """Otherwise an agency whose grant has ended could count her later changes by probing epochs."""
    agency, person = own_house.agency(), own_house.person()
    name = own_house.allow(person, agency, days=1)
    sealed = read(own_house.envelope(name))
    CLOSINGS[closing](Given(own_house, agency, person, name))
    agency = renewed(own_house, agency)
    never = own_house.open(agency, NEVER)

    for epoch in (own_house.epoch(person) + 1, 10**30):
        before = refusals(own_house)
        forged = own_house.open(agency, write(replace(sealed, header=replace(sealed.header, epoch=epoch))))
        assert (forged.status_code, forged.content) == (404, never.content)
        assert refusals(own_house) == before + 1


def test_opening_by_suspended_returns_403_and_by_anonymous_401(house: House) -> None:
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency))
    change_standing(house.context, agency.id, agency.sector, "suspended", 2)

    for answer in (house.open(agency, envelope), house.open(agency, NEVER)):
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:fireweed:problem:not-active")
    naked = house.http.post(f"{house.url}/consent/v1/openings", json={"envelope": envelope})
    assert naked.status_code == 401


def test_failed_opening_is_recorded_and_releases_lock(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    envelope = house.envelope(name)

    def failing(*_: object) -> None:
        raise OSError("the keys cannot be read")

    monkeypatch.setattr(key_store, "grant_secrets", failing)
    with pytest.raises(OSError, match="cannot be read"):
        begin_opening(house.context, agency.id, envelope)
    assert house.kinds(person)[-1] == "opening.indeterminate"
    grants.revoke_grant(house.context, person.subject, name)


def test_unrecorded_outcome_still_releases_lock(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person()
    name = house.allow(person, agency)
    opening = begin_opening(house.context, agency.id, house.envelope(name))
    with without_ledger(house), pytest.raises(DBAPIError):
        opening.finish("delivered")

    grants.revoke_grant(house.context, person.subject, name)
    kinds = house.kinds(person)
    assert kinds[-3:] == ["opening.intended", "grant.ended", "key.destroyed"], "an intent without an outcome stays"


def settled(house: House, person: Person, number: int) -> list[Any]:
    """Wait until no opening is under way, because an outcome is recorded just after its answer; return her newest entries."""
    with house.context.locks.changing(person.subject):
        pass
    return house.ledger(person)[-number:]


def refusals(house: House) -> int:
    """Return how many refusals the ledger tells of, repeats included."""
    entries = house.rows(ledger_entry, ledger_entry.c.kind == "opening.refused")
    counted = {row.position: row.times for row in house.rows(ledger_repeat)}
    return sum(counted.get(row.position, 1) for row in entries)


def forbid(house: House, person: Person, rule: Rule) -> None:
    grants.restrict(house.context, person.subject, rule)


def renewed(house: House, agency: Agency) -> Agency:
    """Return the agency with a fresh token."""
    return replace(agency, token=house.signer.token(agency.id, agency.key))


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]
