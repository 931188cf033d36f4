"""Test that a write about a survivor at the moment of her erasure is erased too, or is never written."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from services.common.database.engine import Database
from services.common.encoding import base64url
from services.common.errors import Problem
from services.consent.handlers.accounts import credentials, links, passkeys, pin_attempts, preferences, sessions
from services.consent.handlers.agencies import compelled, linked_acts
from services.consent.handlers.agencies.compelled import Approver, Record
from services.consent.handlers.disclosures import openings
from services.consent.handlers.grants.grants import Wish, revoke_grant
from services.consent.handlers.notices import poll
from services.consent.handlers.notices.poll import Poll
from services.consent.handlers.rights import contacts, corrections, erasure, letters
from services.consent.models import audit_key, letter, metadata, notice, subject
from tests.architecture.tree import calls, functions, modules, parsed
from tests.support.clocks import NOON
from tests.support.consent import Agency, House, Person
from tests.support.hubs import eventually
from tests.support.phone import Phone

PIN = "271828"
WAIT_SECONDS = 20.0
STAY = {audit_key, notice}
"""Tables whose rows may stay until her tombstone goes: notices, and rows of destroyed keys."""
TOMBSTONE = {"id", "state", "epoch", "language"}
Act = Callable[[], object]
GONE, NOBODY, WRONG_CODE = 401, 404, 422


def save_contact(house: House, _agency: Agency, person: Person) -> Act:
    wish = {"channel": "text", "address": "555-0100", "window": "noon", "wording": "Your book is here."}
    return lambda: contacts.save(house.context, person.subject, wish)


def make_link_code(house: House, _agency: Agency, person: Person) -> Act:
    return lambda: links.make_link_code(house.context, person.subject)


def link(house: House, _agency: Agency, person: Person) -> Act:
    other, code = house.agency(), links.make_link_code(house.context, person.subject).code
    return lambda: linked_acts.link(house.context, other.id, code)


def new_card(house: House, _agency: Agency, person: Person) -> Act:
    return lambda: letters.new_card(house.context, person.subject)


def write_letter(house: House, agency: Agency, person: Person) -> Act:
    return lambda: letters.write_letter(house.context, person.subject, agency.id)


def end_letter(house: House, agency: Agency, person: Person) -> Act:
    letters.write_letter(house.context, person.subject, agency.id)
    [row] = house.rows(letter, letter.c.subject_id == person.subject)
    return lambda: letters.end_letter(house.context, person.subject, row.id)


def check_letter(house: House, agency: Agency, person: Person) -> Act:
    code = letters.write_letter(house.context, person.subject, agency.id).code
    return lambda: letters.check_letter(house.context, code)


def phone_of(house: House, person: Person) -> tuple[Phone, Act]:
    """Return a phone, and the act that adds its key."""
    phone = Phone(house.url)
    made = phone.make(passkeys.options_to_add(house.context, house.url, "token", person.subject))
    return phone, lambda: passkeys.add(house.context, house.url, "token", person.subject, made)


def add_key(house: House, _agency: Agency, person: Person) -> Act:
    return phone_of(house, person)[1]


def remove_key(house: House, _agency: Agency, person: Person) -> Act:
    phone, add = phone_of(house, person)
    add()
    return lambda: passkeys.remove(house.context, person.subject, phone.name)


def come_in_with_key(house: House, _agency: Agency, person: Person) -> Act:
    phone, add = phone_of(house, person)
    add()
    shown = phone.show(passkeys.options_to_come_in(house.context, house.url, "token"))
    return lambda: passkeys.come_in(house.context, house.url, "token", base64url(phone.name), shown)


def ask_to_correct(house: House, agency: Agency, person: Person) -> Act:
    name = house.allow(person, agency)
    return lambda: corrections.ask_to_correct(house.context, person.subject, name, "summary")


def corrected(house: House, agency: Agency, person: Person) -> Act:
    name = corrections.ask_to_correct(house.context, person.subject, house.allow(person, agency), "summary")
    return lambda: corrections.corrected(house.context, agency.id, name)


def ask(house: House, agency: Agency, person: Person) -> Act:
    return lambda: linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"]))


def compel(house: House, agency: Agency, person: Person, until: timedelta | None = None) -> Act:
    approvers = [Approver("AS", "director"), Approver("BT", "privacy_officer")]
    sealed = (NOON + until).date() if until else None
    made = Record("court_order", "court", ["summary"], NOON.date(), approvers, sealed)
    return lambda: compelled.record(house.context, agency.id, person.ppid, made)


def unseal(house: House, agency: Agency, person: Person) -> Act:
    compel(house, agency, person, timedelta(days=1))()
    house.clock.move(timedelta(days=1))
    return lambda: compelled.unseal_due(house.context)


def a_notice(house: House, agency: Agency, person: Person) -> UUID:
    revoke_grant(house.context, person.subject, house.allow(person, agency))
    [row] = house.rows(notice, notice.c.subject_id == person.subject)
    name: UUID = row.id
    return name


def acknowledge(house: House, agency: Agency, person: Person) -> Act:
    name = a_notice(house, agency, person)
    return lambda: poll.poll(house.context, agency.id, Poll([name]))


def attest(house: House, agency: Agency, person: Person) -> Act:
    name = a_notice(house, agency, person)
    return lambda: poll.attest(house.context, agency.id, name, "deleted")


def open_closed(house: House, agency: Agency, person: Person) -> Act:
    name = house.allow(person, agency)
    envelope = house.envelope(name)
    revoke_grant(house.context, person.subject, name)
    return lambda: openings.begin_opening(house.context, agency.id, envelope)


def claim(house: House, _agency: Agency, person: Person) -> Act:
    return lambda: sessions.claim(house.context, person.claim_code, PIN)


def come_in(house: House, _agency: Agency, person: Person) -> Act:
    passphrase = sessions.claim(house.context, person.claim_code, PIN).passphrase
    return lambda: sessions.come_in(house.context, passphrase)


def give_pin(house: House, _agency: Agency, person: Person) -> Act:
    sessions.claim(house.context, person.claim_code, PIN)
    here = house.here(person)
    return lambda: pin_attempts.step_up(house.context, here, PIN)


def give_pin_at_once(house: House, _agency: Agency, person: Person) -> Act:
    sessions.claim(house.context, person.claim_code, PIN)
    here = house.here(person)
    return lambda: sessions.step_up(house.context, here, PIN)


def set_pin(house: House, _agency: Agency, person: Person) -> Act:
    here = house.here(person, stepped_up=True)
    return lambda: credentials.new_pin(house.context, here, PIN)


def set_passphrase(house: House, _agency: Agency, person: Person) -> Act:
    here = house.here(person, stepped_up=True)
    return lambda: credentials.new_passphrase(house.context, here)


def speak(house: House, _agency: Agency, person: Person) -> Act:
    return lambda: preferences.set_language(house.context, person.subject, "fr")


# The status that each act gets after the erasure; None where it is not refused.
WRITES: dict[Callable[[House, Agency, Person], Act], int | None] = {
    save_contact: GONE,
    make_link_code: GONE,
    new_card: GONE,
    write_letter: GONE,
    end_letter: NOBODY,
    check_letter: None,
    add_key: GONE,
    remove_key: NOBODY,
    come_in_with_key: GONE,
    ask_to_correct: GONE,
    give_pin: GONE,
    give_pin_at_once: GONE,
    set_pin: GONE,
    set_passphrase: GONE,
    speak: GONE,
    claim: GONE,
    come_in: GONE,
    link: WRONG_CODE,
    corrected: NOBODY,
    ask: NOBODY,
    compel: NOBODY,
    unseal: None,
    acknowledge: None,
    attest: None,
    open_closed: NOBODY,
}
each_write = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
# SQLite has one writer at a time, so that no write can overlap an erasure.
only_postgresql = pytest.mark.parametrize("shared_house", ["postgresql"], indirect=True)

ONE_TRANSACTION = {
    "sessions.claim",
    "sessions.come_in",
    "sessions.replacing",
    "sessions.step_up",
    "linked_acts.ask",
    "linked_acts.link",
    "pin_attempts.step_up",
    "compelled.record",
    "compelled.unseal_due",
    "contacts.save",
    "corrections.ask_to_correct",
    "corrections.corrected",
    "letters.check_letter",
    "letters.end_letter",
    "letters.new_card",
    "letters.write_letter",
    "poll.attest",
    "poll.poll",
    "openings._refuse_closed",
    "passkeys.add",
    "passkeys.come_in",
    "passkeys.remove",
    "links.make_link_code",
    "preferences.set_language",
}
"""The functions with transactions that the acts above use."""
NEW_TO_THE_HUB = {"sessions.register"}
ADD_NOTHING = {
    "sessions.find_session",
    "sessions.forget_stale",
    "sessions.leave",
    "contacts.confirm",
    "contacts.forget",
    "drafts.forget_done",
    "erasure.forget_erased",
    "push._try_again",
    "push.push_due",
    "restore._give_up_lost_keys",
}
"""They change or remove rows that an erasure removes; a push acknowledges in the same way as a poll."""
ABOUT_NOBODY = {
    "push.forget_place",
    "push.set_place",
    "key_rotation._rewrap_some",
    "key_rotation.rotate",
    "key_rotation._due",
    "key_rotation._next_key",
    "publish.integrate",
    "publish.sign",
    "witnesses.cosign",
}


def test_every_direct_transaction_is_classified_here() -> None:
    """A new transaction has to be listed here. All others are changes, which lock her row and check that she is there."""
    found = set()
    for name in modules("services/consent/handlers"):
        for function in functions(parsed(name)):
            if any(call.endswith("database.transaction") for call in calls(function)):
                found.add(f"{name.rpartition('/')[2].removesuffix('.py')}.{function.name}")
    assert found == ONE_TRANSACTION | NEW_TO_THE_HUB | ADD_NOTHING | ABOUT_NOBODY


@each_write
def test_write_after_erasure_leaves_nothing(house: House, write: Any) -> None:
    """The caller was authenticated before the erasure; the write comes after it."""
    agency = house.agency("ngo")
    person = house.person(agency)
    act = write(house, agency, person)
    erasure.erase(house.context, person.subject)
    tombstone = house.rows(subject, subject.c.id == person.subject)

    assert told(act) == WRITES[write]
    assert (left(house, person), house.rows(subject, subject.c.id == person.subject)) == ({}, tombstone)


@only_postgresql
@each_write
def test_write_begun_during_erasure_leaves_nothing(house: House, write: Any) -> None:
    """The write begins when the erasure is about to commit."""
    agency = house.agency("ngo")
    person = house.person(agency)
    act = write(house, agency, person)
    erased, written = meeting(house.context.database, lambda: erasure.erase(house.context, person.subject), act)

    assert (told(erased.result), told(written.result)) == (None, WRITES[write])
    assert left(house, person) == {}


@only_postgresql
@each_write
def test_write_under_way_at_erasure_leaves_nothing(house: House, write: Any) -> None:
    """The erasure begins when the write is about to commit."""
    agency = house.agency("ngo")
    person = house.person(agency)
    act = write(house, agency, person)
    written, erased = meeting(house.context.database, act, lambda: erasure.erase(house.context, person.subject))

    assert told(erased.result) is None
    assert told(written.result) in {None, WRITES[write]}
    assert left(house, person) == {}


def told(act: Act) -> int | None:
    """Return the status with which an act is refused, None if it is not."""
    try:
        act()
    except Problem as problem:
        return problem.status
    return None


def left(house: House, person: Person) -> dict[str, Any]:
    """Return rows and columns that are left of an erased survivor and should not be."""
    about = [table for table in metadata.sorted_tables if "subject_id" in table.c]
    found = {table.name: house.rows(table, table.c.subject_id == person.subject) for table in about}
    stays = {table.name for table in STAY if all(map(stays_unreadable, found[table.name]))}
    [row] = house.rows(subject, subject.c.id == person.subject)
    kept = {name for name, value in row._mapping.items() if value is not None} - TOMBSTONE
    return {name: rows for name, rows in found.items() if rows and name not in stays} | dict.fromkeys(kept, "kept")


def stays_unreadable(row: Any) -> bool:
    """Return whether a row has no key; notices always pass."""
    return row._mapping.get("wrapped") is None


def meeting(database: Database, first: Act, second: Act) -> tuple[Future[object], Future[object]]:
    """Run two acts at once: the second begins when the first is about to commit.

    The first commits when the second waits for a lock or has ended.
    """
    about_to, go_on, one = threading.Event(), threading.Event(), set[int]()

    def stop(_connection: object) -> None:
        if threading.get_ident() in one and not about_to.is_set():
            about_to.set()
            assert go_on.wait(WAIT_SECONDS)

    def stopping() -> object:
        one.add(threading.get_ident())
        return first()

    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    event.listen(database.engine, "commit", stop)
    try:
        with ThreadPoolExecutor(2) as pool, database.reading() as connection:
            began = pool.submit(stopping)
            assert about_to.wait(WAIT_SECONDS)
            met = pool.submit(second)
            eventually(lambda: met.done() or connection.scalar(waiting))
            go_on.set()
            return began, met
    finally:
        go_on.set()
        event.remove(database.engine, "commit", stop)
