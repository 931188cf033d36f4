"""She reads whatever was sent about her, word for word, while its grant lives; afterwards nobody does."""

from datetime import timedelta
from typing import Any
from unicodedata import normalize
from uuid import UUID

import pytest

from services.common.messaging.cloudevents import Event
from services.common.part_texts import exact
from services.consent.envelopes import read_envelope
from services.consent.handlers.disclosures import sent
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from services.consent.handlers.rights import erasure
from services.consent.models import sent_envelope
from tests.support.consent import Agency, House, Person
from tests.support.word_for_word import send as send_parts

PARTS = {
    "health": {"needs": normalize("NFD", "Caf\u00e9 <b>\n\t \u200d d\u2019\u00e9t\u00e9"), "comfort": "  spaces  "},
    "summary": {"text": "\u0645\u0631\u062d\u0628\u0627 \U0001f33f"},
}


def read(house: House, person: Person, grant: UUID, before: str = "") -> Any:
    return house.my("GET", f"/grants/{grant}/sent{before}", house.session(person)).json()


def send(house: House, grant: UUID, sender: Agency) -> str:
    return send_parts(house, grant, sender, PARTS)


@pytest.fixture
def pair(house: House) -> tuple[Agency, Person]:
    agency = house.agency("health")
    return agency, house.person(agency)


def test_what_she_reads_equals_what_was_sent(house: House, pair: tuple[Agency, Person]) -> None:
    """To the byte, and to what its recipient opens."""
    agency, person = pair
    grant = house.allow(person, agency, "health", "summary")
    envelope = send(house, grant, agency)
    [one] = read(house, person, grant)["sent"]
    assert {name: exact(part) for name, part in one["parts"].items()} == {
        name: exact(part) for name, part in PARTS.items()
    }
    assert one["parts"] == house.open(agency, envelope).json()["parts"]
    assert (one["sender"], one["referral"]) == (agency.id, read_envelope(envelope).header.id)


def test_where_she_wrote_a_note_she_reads_hers(house: House, pair: tuple[Agency, Person]) -> None:
    agency, person = pair
    wish = Wish(agency.id, "referral", ["health", "summary"], note="My own words.")
    grant = grants.give_grant(house.context, person.subject, wish)
    envelope = send(house, grant, agency)
    [one] = read(house, person, grant)["sent"]
    assert one["parts"]["summary"] == {"text": "My own words."}
    assert one["parts"] == house.open(agency, envelope).json()["parts"]


def test_reading_is_recorded_before_anything_is_opened(house: House, pair: tuple[Agency, Person]) -> None:
    """Once a day for each grant, with a count; looking where nothing was sent records nothing."""
    agency, person = pair
    grant = house.allow(person, agency, "health", "summary")
    assert read(house, person, grant)["sent"] == []
    assert "sent.read" not in house.kinds(person)
    send(house, grant, agency)
    for _ in range(3):
        read(house, person, grant)
    [entry] = [row for row in house.ledger(person) if row.kind == "sent.read"]
    assert (entry.agency, entry.detail["grant"], entry.times) == (agency.id, str(grant), 3)


@pytest.mark.parametrize("end", ["revoked", "expired", "erased", "swept"])
def test_after_the_grant_nobody_reads_it(house: House, pair: tuple[Agency, Person], end: str) -> None:
    agency, person = pair
    grant = house.allow(person, agency, "health", "summary", days=1)
    send(house, grant, agency)
    token = house.session(person)
    if end == "revoked":
        grants.revoke_grant(house.context, person.subject, grant)
    elif end == "erased":
        erasure.erase(house.context, person.subject)
    else:
        house.clock.move(timedelta(days=1))
        token = house.session(person)
        if end == "swept":
            grants.end_lapsed(house.context)
    answer = house.my("GET", f"/grants/{grant}/sent", token)
    assert answer.status_code == (401 if end == "erased" else 200)
    assert "health" not in answer.text
    if end != "expired":
        assert house.rows(sent_envelope, sent_envelope.c.grant_id == grant) == []


def test_envelope_that_comes_after_the_end_is_not_kept(house: House, pair: tuple[Agency, Person]) -> None:
    agency, person = pair
    grant = house.allow(person, agency, "health", "summary")
    envelope = house.envelope(grant, PARTS)
    grants.revoke_grant(house.context, person.subject, grant)
    header = read_envelope(envelope).header
    unknown, data = str(house.context.clock.new_id()), {"referral": header.id, "from": agency.id, "envelope": envelope}
    for name, to in ((str(grant), agency.id), (unknown, agency.id)):
        event = Event("1", agency.id, "referral.sealed.v1", house.clock.now(), {**data, "to": to, "grant": name}, "k")
        with house.context.database.transaction() as connection:
            sent.keep(house.context, connection, event)
    assert house.rows(sent_envelope, sent_envelope.c.grant_id == grant) == []


def test_envelope_that_was_changed_shows_as_unreadable(house: House, pair: tuple[Agency, Person]) -> None:
    agency, person = pair
    grant = house.allow(person, agency, "health", "summary")
    send(house, grant, agency)
    changed = house.envelope(house.allow(person, agency, "legal"), {"legal": {"needs": "x"}})
    with house.context.database.transaction() as connection:
        connection.execute(sent_envelope.update().where(sent_envelope.c.grant_id == grant).values(envelope=changed))
    [one] = read(house, person, grant)["sent"]
    assert one["parts"] is None


def test_other_survivors_grant_is_absent(house: House, pair: tuple[Agency, Person]) -> None:
    agency, person = pair
    grant = house.allow(person, agency, "health", "summary")
    send(house, grant, agency)
    other = house.person(agency)
    answer = house.my("GET", f"/grants/{grant}/sent", house.session(other))
    absent = house.my("GET", f"/grants/{other.subject}/sent", house.session(other))
    assert (answer.status_code, answer.content) == (absent.status_code, absent.content) == (404, absent.content)


def test_sent_pages_follow_each_other_newest_first(house: House, pair: tuple[Agency, Person]) -> None:
    agency, person = pair
    grant = house.allow(person, agency, "health", "summary")
    order = [read_envelope(send(house, grant, agency)).header.id for _ in range(sent.PAGE + 3)]
    first = read(house, person, grant)
    second = read(house, person, grant, f"?before={first['next']}")
    assert [one["referral"] for page in (first, second) for one in page["sent"]] == order[::-1]
    assert second["next"] is None
