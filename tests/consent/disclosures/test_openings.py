"""Openings: exactly what is permitted, to exactly whom, under the very grant; everything else looks like nothing at all."""

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
from services.consent.models import ledger_entry, plumbing, subject
from services.consent.store import keys as key_store
from tests.support.consent import Agency, House, Person, change_standing, without_ledger

PARTS = {
    "summary": {"text": "Sample Aspen would like a quiet place for some nights."},
    "housing": {"needs": "A room of her own. Une chambre à elle."},
    "health": {"needs": "Would like to see a nurse this week."},
}
NEVER = "fw1.bmV2ZXI"


def test_an_opening_shows_what_is_permitted_and_is_recorded_before_and_after(house: House) -> None:
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


def test_the_bus_learns_which_categories_went_where_and_nothing_of_what_they_said(house: House) -> None:
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


def test_a_linked_agency_is_told_its_own_name_for_her(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)

    answer = house.open(agency, house.envelope(house.allow(person, agency)))
    assert answer.json()["ppid"] == person.ppid


@dataclass(frozen=True, slots=True)
class Given:
    """A grant that was given, and who it is about."""

    house: House
    agency: Agency
    person: Person
    grant: UUID

    def forbid(self, rule: Rule) -> None:
        """A restriction of hers."""
        grants.restrict(self.house.context, self.person.subject, rule)

    def lose_the_wrapping_key(self) -> None:
        """The key that wraps all grants' keys is destroyed."""
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
def test_a_box_that_is_closed_looks_like_one_that_never_was(own_house: House, closing: str) -> None:
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
    assert closed.headers == never.headers
    kinds = [row.kind for row in house.rows(ledger_entry)[before:]]
    assert kinds.count("opening.refused") == 1, "the refusal is in the ledger, once"
    assert "opening.delivered" not in kinds
    if closing not in {"erased", "wrapping key destroyed"}:  # after which nobody reads the ledger's sealed half
        told = house.ledger(person)[-1]
        assert (told.kind, told.agency) == ("opening.refused", agency.id)


def test_another_agency_gets_the_same_nothing_and_she_sees_that_it_tried(house: House) -> None:
    agency, stranger = house.agency(), house.agency()
    person = house.person()
    envelope = house.envelope(house.allow(person, agency))
    house.allow(person, stranger)

    answer, never = house.open(stranger, envelope), house.open(stranger, NEVER)
    assert (answer.status_code, answer.content) == (404, never.content)
    told = house.ledger(person)[-1]
    assert (told.kind, told.agency, told.detail["foreign"]) == ("opening.refused", stranger.id, True)


def test_a_box_that_is_addressed_to_another_agency_stays_closed_even_under_a_grant_of_ones_own(house: House) -> None:
    agency, other, person = house.agency(), house.agency(), house.person()
    box = house.envelope(house.allow(person, agency), recipient=other.id)

    assert house.open(agency, box).content == house.open(agency, NEVER).content
    [refused] = settled(house, person, 1)
    assert (refused.kind, refused.agency, refused.detail["foreign"]) == ("opening.refused", agency.id, True)


def test_a_new_grant_never_opens_a_box_of_an_old_one(house: House) -> None:
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


def test_a_restricted_category_is_left_out_and_the_rest_is_opened(house: House) -> None:
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency, *PARTS), PARTS)
    forbid(house, person, Rule(category="health"))

    told = house.open(agency, envelope).json()
    assert told["parts"].keys() == {"summary", "housing"}
    assert told["decision"]["permitted"] == ["housing", "summary"]


Change = Callable[[Envelope], Envelope]
TAMPERINGS: dict[str, Change] = {
    "another event": lambda box: replace(box, header=replace(box.header, id=str(uuid4()))),
    "another type": lambda box: replace(box, header=replace(box.header, type="need.recorded.v1")),
    "an older epoch": lambda box: replace(box, header=replace(box.header, epoch=0)),
    "parts exchanged": lambda box: replace(
        box, parts={"summary": box.parts["housing"], "housing": box.parts["summary"]}
    ),
    "a part renamed": lambda box: replace(box, parts={"housing": box.parts["summary"]}),
    "a part changed": lambda box: replace(box, parts={"summary": flipped(box.parts["summary"])}),
    "a part cut short": lambda box: replace(box, parts={"summary": box.parts["summary"][:-1]}),
    "a part emptied": lambda box: replace(box, parts={"summary": b""}),
    "the key changed": lambda box: replace(box, key=flipped(box.key)),
    "the key cut short": lambda box: replace(box, key=box.key[:10]),
    "no key": lambda box: replace(box, key=b""),
    "no parts": lambda box: replace(box, parts={}),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_box_that_was_changed_opens_for_nobody(house: House, tampering: str) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency, "summary", "housing")
    changed = TAMPERINGS[tampering](read(house.envelope(name, PARTS)))

    answer, never = house.open(agency, write(changed)), house.open(agency, NEVER)
    assert (answer.status_code, answer.content) == (404, never.content)
    assert "opening.delivered" not in house.kinds(person)
    assert house.kinds(person)[-1] == "opening.refused"


def test_a_part_moved_from_another_box_does_not_open(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    one, two = (read(house.envelope(name)) for _ in range(2))

    assert house.open(agency, write(replace(one, parts=two.parts))).status_code == 404
    assert house.open(agency, write(replace(one, key=two.key, parts=two.parts))).status_code == 404


def test_a_category_the_hub_does_not_know_is_left_out(house: House) -> None:
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
def test_what_is_no_box_is_not_there(house: House, text: str) -> None:
    agency = house.agency()
    answer, never = house.open(agency, text), house.open(agency, NEVER)

    assert (answer.status_code, answer.content) == (404, never.content)


HOSTILE = ["We know where you are.", "nul\x00", "half \ud800", "x" * 5000, "", "urn:uuid:{name}", "{name}\n"]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("place", ["id", "recipient", "grant", "type", "category"])
def test_nobody_writes_into_her_ledger_on_the_back_of_a_box(house: House, place: str, hostile: str) -> None:
    """The header is not proven before the box is opened, and a refusal is recorded before that."""
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    box, text = read(house.envelope(name)), hostile.replace("{name}", str(name))
    header = {field: getattr(box.header, field) for field in ("id", "recipient", "grant", "epoch", "type")}
    parts = {category: base64url(part) for category, part in box.parts.items()}
    if place == "category":
        parts[text] = parts["summary"]
    else:
        header[place] = text
    written = json.dumps({"header": header, "key": base64url(box.key), "parts": parts})
    answer = house.open(agency, "fw1." + base64url(written.encode()))

    # A category too many is no reason to keep the others back.
    if answer.status_code != 200 or place != "category":
        assert (answer.status_code, answer.content) == (404, house.open(agency, NEVER).content)
    settled(house, person, 1)
    assert text == "" or json.dumps(text)[1:-1] not in json.dumps(
        [line.detail for line in house.ledger(person)], default=str
    )


def test_a_box_from_a_later_epoch_than_the_database_knows_waits_for_it(own_house: House) -> None:
    """A replica that lags, or a database brought back from a copy: to decide on it could revive what has ended."""
    agency, stranger = own_house.agency(), own_house.agency()
    person = own_house.person()
    name = own_house.allow(person, agency)
    grants.pause(own_house.context, person.subject)
    grants.resume(own_house.context, person.subject)
    envelope = own_house.envelope(name, epoch=own_house.epoch(person))
    assert own_house.open(agency, envelope).status_code == 200
    before = settled(own_house, person, 2)
    with own_house.context.database.transaction() as connection:
        connection.execute(subject.update().where(subject.c.id == person.subject).values(epoch=2))

    answer = own_house.open(agency, envelope)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "Aspen" not in answer.text
    assert settled(own_house, person, 2) == before
    # But whoever the grant is not for learns nothing from a number it made up.
    foreign, never = own_house.open(stranger, envelope), own_house.open(stranger, NEVER)
    assert (foreign.status_code, foreign.content) == (404, never.content)


@pytest.mark.parametrize("closing", CLOSINGS)
def test_with_a_made_up_epoch_nobody_counts_her_changes_of_mind_unseen(own_house: House, closing: str) -> None:
    """Otherwise an agency whose grant has ended could tell at any moment whether she has just changed something."""
    agency, person = own_house.agency(), own_house.person()
    name = own_house.allow(person, agency, days=1)
    box = read(own_house.envelope(name))
    CLOSINGS[closing](Given(own_house, agency, person, name))
    agency = renewed(own_house, agency)
    never = own_house.open(agency, NEVER)

    for epoch in (own_house.epoch(person) + 1, 10**30):
        before = len(own_house.rows(ledger_entry))
        forged = own_house.open(agency, write(replace(box, header=replace(box.header, epoch=epoch))))
        assert (forged.status_code, forged.content) == (404, never.content)
        assert "opening.refused" in [row.kind for row in own_house.rows(ledger_entry)[before:]]


def test_a_suspended_agency_and_a_stranger_learn_nothing_about_a_box(house: House) -> None:
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency))
    change_standing(house.context, agency.id, agency.sector, "suspended", 2)

    for answer in (house.open(agency, envelope), house.open(agency, NEVER)):
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:fireweed:problem:not-active")
    naked = house.http.post(f"{house.url}/consent/v1/openings", json={"envelope": envelope})
    assert naked.status_code == 401


def test_an_opening_that_breaks_off_is_recorded_and_holds_nobody_still(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_lock_goes_even_when_the_outcome_cannot_be_recorded(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person()
    name = house.allow(person, agency)
    opening = begin_opening(house.context, agency.id, house.envelope(name))
    with without_ledger(house), pytest.raises(DBAPIError):
        opening.finish("delivered")

    grants.revoke_grant(house.context, person.subject, name)
    kinds = house.kinds(person)
    assert kinds[-3:] == ["opening.intended", "grant.ended", "key.destroyed"], "an intent without an outcome stays"


def settled(house: House, person: Person, lines: int) -> list[Any]:
    """Her newest lines, once no opening is under way: an outcome is recorded just after its answer has arrived."""
    with house.context.locks.changing(person.subject):
        pass
    return house.ledger(person)[-lines:]


def forbid(house: House, person: Person, rule: Rule) -> None:
    grants.restrict(house.context, person.subject, rule)


def renewed(house: House, agency: Agency) -> Agency:
    """The agency with a token of this hour."""
    return replace(agency, token=house.signer.token(agency.id, agency.key))


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]
