"""After erasure no table of consent holds an identifier of hers, and an old envelope is still refused like any other."""

from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts import pin_attempts, sessions
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule, Wish
from services.consent.handlers.operations.key_rotation import rotate_if_due
from services.consent.handlers.rights import erasure
from services.consent.handlers.rights.statistics import set_statistics
from services.consent.models import audit_key, erased_grant, ledger_entry, metadata, notice, plumbing, subject
from services.consent.store import permissions
from services.consent.store.keys import NOBODY
from tests.consent.grants.test_late_writes import (
    PIN,
    add_key,
    ask,
    ask_to_correct,
    compel,
    make_link_code,
    save_contact,
    write_letter,
)
from tests.consent.rights.test_rights import something_waits
from tests.support import word_for_word
from tests.support.consent import Agency, House, Person
from tests.support.leftovers import identifiers, search
from tests.support.notice_receiver import catch_up

WRITES = (save_contact, write_letter, add_key, ask, ask_to_correct, compel, make_link_code)
STAYS = {
    ("notice", "id", "notice.id"): "an agency may still attest by it, until 30 days after the day that is due",
    ("ledger_entry", "at", "subject.created_at"): "the public tree is never changed",
    ("ledger_entry", "at", "subject.statistics_since"): "as above",
}
NEVER = "fw1.unknown"


def lives(house: House, agency: Agency) -> Person:
    """Return a survivor with a row in every table that can hold one about her."""
    # So that no two survivors, and no two acts that are searched for by their time, share one.
    house.clock.move(timedelta(minutes=1))
    person, context = house.person(agency), house.context
    sessions.claim(context, person.claim_code, PIN)
    with suppress(Problem):
        pin_attempts.step_up(context, house.here(person), "000000")
    house.clock.move(timedelta(minutes=7))
    set_statistics(context, person.subject, on=True)
    house.clock.move(timedelta(minutes=1))
    grants.give_grant(context, person.subject, Wish(agency.id, "referral", ["contact", "summary"], note="A note."))
    grants.revoke_grant(context, person.subject, house.allow(person, agency, "health"))
    for write in WRITES:
        write(house, agency, person)()
    grants.restrict(context, person.subject, Rule(category="legal"))
    something_waits(house, agency, person)
    read, waits = (
        word_for_word.ask(house, agency, person, agency, {"housing": {"needs": needs}}) for needs in ("One.", "Two.")
    )
    word_for_word.send(house, word_for_word.allow(house, person, read), agency, {"housing": {"needs": "One."}})
    assert waits != read
    return person


def empty_for(house: House, person: Person) -> set[str]:
    """Return the tables with a column for a survivor that hold no row of hers."""
    about = [table for table in metadata.sorted_tables if "subject_id" in table.c]
    return {table.name for table in about if not house.rows(table, table.c.subject_id == person.subject)}


def test_erasure_leaves_no_identifier_in_any_table(own_house: House) -> None:
    house, agency = own_house, own_house.agency("ngo")
    person, kept = lives(house, agency), lives(house, agency)
    assert empty_for(house, person) == set()
    hers = identifiers(house.context.database, person.subject)
    others = identifiers(house.context.database, kept.subject)
    assert {label for *_, label in search(house.context.database, hers)} == set(hers)

    house.clock.move(timedelta(minutes=1))
    erasure.erase(house.context, person.subject)
    assert erasure.forget_erased(house.context) == 1
    catch_up(house, agency)
    with house.context.database.transaction() as connection:
        # No relay runs here, which would send and remove them; `tests/faults/test_nothing_left.py` reads what was sent.
        connection.execute(plumbing.outbox.table.delete())

    assert search(house.context.database, hers) <= STAYS.keys()
    assert {label for *_, label in search(house.context.database, others)} == set(others)
    assert empty_for(house, kept) == set()


def test_old_envelope_is_refused_and_recorded_for_nobody(house: House) -> None:
    """Before and after her tombstone goes, and as often as it comes."""
    agency, stranger = house.agency(), house.agency()
    person = house.person(agency)
    envelope = house.envelope(house.allow(person, agency))
    erasure.erase(house.context, person.subject)
    for forget in (lambda: None, lambda: erasure.forget_erased(house.context)):
        forget()
        for asking in (agency, stranger):
            before = len(house.rows(ledger_entry))
            closed, never = house.open(asking, envelope), house.open(asking, NEVER)
            assert (closed.status_code, closed.content) == (404, never.content)
            [entry] = house.rows(ledger_entry)[before:]
            assert (entry.kind, entry.subject_id, entry.sealed) == ("opening.refused", None, None)
    assert person.subject not in [row.subject_id for row in house.rows(audit_key)]


def test_opening_found_before_erasure_is_tied_to_nobody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The erasure and its last step come between finding the grant and recording the refusal."""
    agency = house.agency()
    person = house.person(agency)
    name = house.allow(person, agency)
    envelope = house.envelope(name)
    grants.revoke_grant(house.context, person.subject, name)
    find = permissions.owners

    def find_and_erase(*arguments: Any) -> Any:
        found = find(*arguments)
        monkeypatch.setattr(permissions, "owners", find)
        erasure.erase(house.context, person.subject)
        erasure.forget_erased(house.context)
        return found

    monkeypatch.setattr(permissions, "owners", find_and_erase)
    assert house.open(agency, envelope).status_code == 404
    assert house.rows(subject, subject.c.id == person.subject) == []
    assert empty_for(house, person) >= {"ledger_entry", "audit_key"}


def test_session_begun_while_erasing_goes_with_the_tombstone(house: House) -> None:
    person = house.person()
    erasure.erase(house.context, person.subject)
    house.session(person)
    erasure.forget_erased(house.context)

    assert house.rows(subject, subject.c.id == person.subject) == []
    assert empty_for(house, person) >= {"session", "audit_key", "ledger_entry"}


def test_rotation_follows_an_erasure_without_tombstone(own_house: House) -> None:
    """The destroyed keys' greatest number stays, tied to nobody, so that the rotation is not missed."""
    house = own_house
    people = [house.person() for _ in range(2)]
    assert rotate_if_due(house.context) is None
    for person in people:
        erasure.erase(house.context, person.subject)
        erasure.forget_erased(house.context)
    [row] = house.rows(audit_key)
    assert (row.subject_id, row.wrapped, row.destroyed_at) == (NOBODY, None, None)
    assert rotate_if_due(house.context) is not None
    assert rotate_if_due(house.context) is None


def test_notice_about_the_erased_goes_after_its_day(own_house: House) -> None:
    """One that is not acknowledged stays, since its agency must still read it."""
    house, agency, silent = own_house, own_house.agency(), own_house.agency()
    person = house.person(agency)
    for one in (agency, silent):
        house.allow(person, one)
    erasure.erase(house.context, person.subject)
    erasure.forget_erased(house.context)
    [claims] = catch_up(house, agency)
    [row] = house.rows(notice, notice.c.id == UUID(claims["jti"]))
    house.clock.move(row.act_by - house.clock.now() + erasure.ATTESTED_WITHIN)
    erasure.forget_erased(house.context)
    assert len(house.rows(notice)) == 2
    house.clock.move(timedelta(seconds=1))
    erasure.forget_erased(house.context)
    assert [(left.agency, left.subject_id) for left in house.rows(notice)] == [(silent.id, None)]


def test_erased_grants_are_kept_as_keyed_digests_alone(house: House) -> None:
    agency, person = house.agency(), house.person()
    names = [house.allow(person, agency, category) for category in ("summary", "health", "housing")]
    before = {row.digest for row in house.rows(erased_grant)}
    erasure.erase(house.context, person.subject)

    added = {row.digest for row in house.rows(erased_grant)} - before
    assert added == {house.context.secrets.erased_grant(name) for name in names}
    assert set(erased_grant.c.keys()) == {"digest"}
