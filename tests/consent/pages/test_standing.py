"""She sees where things stand: what waits for a second look, and what each agency did after she had taken something back."""

from typing import Any
from uuid import UUID

import pytest

from services.consent.handlers import accounts, grants, looks, notices
from services.consent.handlers.notices import Poll
from services.consent.store import subjects
from tests.support.consent import Agency, House
from tests.support.visitor import NewVisitor, Visitor

YES = {"purpose": "referral", "category": "health", "days": "7"}


@pytest.fixture
def recipient(house: House) -> Agency:
    return house.agency("health")


def young(house: House, agency: Agency, band: str = "under_16") -> UUID:
    """Somebody for whom a yes needs a second look, as an agency has registered her."""
    made = accounts.register(house.room, agency.id, "en", band)
    with house.room.database.reading() as connection:
        return subjects.linked(connection, [(agency.id, made.ppid)])[agency.id, made.ppid]


def at_her_pages(house: House, arrive: NewVisitor, subject: UUID) -> Visitor:
    """A window with a session in which the PIN was just given."""
    token = "a-session-of-hers"
    digest = house.room.secrets.session_digest(f"{token}{subject}")
    with house.room.database.transaction() as connection:
        subjects.add_session(connection, digest, subject, house.room.clock.now())
        until = house.room.clock.now() + accounts.STEP_UP_TIME
        subjects.change_session(connection, digest, stepped_up_until=until)
    visitor: Visitor = arrive(token=f"{token}{subject}")
    return visitor


def say_yes(visitor: Visitor, recipient: Agency) -> Any:
    read_back = visitor.send(visitor.get("/my/yes"), "/my/yes/check", agency=recipient.id, **YES)
    return visitor.send(read_back, "/my/yes")


def test_a_yes_that_waits_says_so_and_is_none_until_somebody_has_looked(
    house: House, arrive: NewVisitor, recipient: Agency
) -> None:
    agency = house.agency("ngo")
    subject = young(house, agency)
    visitor = at_her_pages(house, arrive, subject)
    waits = say_yes(visitor, recipient)
    assert (waits.status, "Nothing is shared yet." in waits.text) == (200, True)
    assert "What waits for a second look" in visitor.get("/my").text
    assert "Nobody may see anything." in visitor.get("/my").text

    [(row, _)] = looks.looks_for(house.room, agency.id)
    looks.look(house.room, agency.id, row.id, agree=True)
    assert "What you said yes to" in visitor.get(f"/my/yes/{row.id}").text
    assert "What waits for a second look" not in visitor.get("/my").text


def test_what_waits_can_be_taken_back(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    agency = house.agency("ngo")
    visitor = at_her_pages(house, arrive, young(house, agency))
    waits = say_yes(visitor, recipient)
    [form] = [form.action for form in waits.reader.forms if "/stop/" in form.action]
    assert visitor.send(waits, form).response.url.path == "/my"
    assert looks.looks_for(house.room, agency.id) == []


def test_where_nobody_can_look_she_is_told_why(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    visitor = at_her_pages(house, arrive, young(house, recipient))
    refused = say_yes(visitor, recipient)
    assert refused.status == 400
    assert "has to look at this with you first" in refused.text


def test_she_reads_what_each_agency_did_after_she_took_something_back(
    house: House, arrive: NewVisitor, recipient: Agency
) -> None:
    person = house.person()
    grant = house.allow(person, recipient)
    assert house.open(recipient, house.envelope(grant)).status_code == 200
    grants.revoke_grant(house.room, person.subject, grant)
    visitor = arrive(token=house.session(person))
    assert "It has not yet said that it has the note." in visitor.get("/my/past").text

    [name] = notices.poll(house.room, recipient.id, Poll()).sets
    notices.poll(house.room, recipient.id, Poll(acknowledged=[UUID(name)]))
    assert "It has the note. It has not yet said what it did." in visitor.get("/my/past").text
    notices.attest(house.room, recipient.id, UUID(name), "deleted")
    seen = visitor.get("/my/past").text
    assert "It says what it did with what it had: Deleted." in seen
    assert f"Sample {recipient.id} says what it did with what it had: Deleted." in seen


def test_words_of_her_own_come_after_the_second_look(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    agency = house.agency("ngo")
    visitor = at_her_pages(house, arrive, young(house, agency))
    wish = {"agency": recipient.id, "purpose": "referral", "days": "7", "words": "Some words of mine."}
    form = visitor.get("/my/yes")
    read_back = visitor.send(form, "/my/yes/check", ("category", "health"), ("category", "summary"), **wish)
    refused = visitor.send(read_back, "/my/yes")
    assert refused.status == 400
    assert "leave them out for now" in refused.text
    assert looks.looks_for(house.room, agency.id) == []
