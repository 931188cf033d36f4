"""Test her note, safe contact, letters and corrections: sealed where they identify her, and removed by erasure."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Table

from services.common.errors import Problem
from services.consent.handlers.accounts import sessions
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants import grants, notes
from services.consent.handlers.grants.grants import Answer, Chosen, Wish
from services.consent.handlers.operations.key_rotation import rotate
from services.consent.handlers.rights import contacts, corrections, erasure, export, letters
from services.consent.handlers.rights.contacts import GOOD_FOR, SafeContact
from services.consent.handlers.rights.letters import LETTER_TIME
from services.consent.models import approved_words, correction, letter, passkey, pin_lane_use, pin_turn, safe_contact
from tests.support.consent import Agency, House, Person, change_standing

WISH = {"channel": "text", "address": "canary-555-0100", "window": "canary-noon", "wording": "canary-your-book-is-here"}
NOTE = "canary-words: a quiet room, please."


def refused(status: int, act: Any) -> None:
    with pytest.raises(Problem) as refusal:
        act()
    assert refusal.value.status == status


@pytest.fixture
def agency(house: House) -> Agency:
    return house.agency("ngo")


@pytest.fixture
def person(house: House, agency: Agency) -> Person:
    return house.person(agency)


def give(house: House, person: Person, agency: Agency, note: str | None = NOTE, *categories: str) -> Any:
    wish = Wish(agency.id, "referral", categories or ("summary", "housing"), 7, note=note)
    return grants.give_grant(house.context, person.subject, wish)


def test_safe_contact_is_absent_until_saved_and_goes_stale(house: House, person: Person) -> None:
    """A confirmation makes it fresh again; `forget` removes it."""
    assert contacts.read(house.context, person.subject) is None
    contacts.save(house.context, person.subject, WISH)
    assert contacts.read(house.context, person.subject) == SafeContact(WISH, fresh=True)

    house.clock.move(GOOD_FOR)
    assert contacts.read(house.context, person.subject) == SafeContact(WISH, fresh=False)
    contacts.confirm(house.context, person.subject)
    assert contacts.read(house.context, person.subject) == SafeContact(WISH, fresh=True)
    contacts.forget(house.context, person.subject)
    assert contacts.read(house.context, person.subject) is None


def test_new_safe_contact_replaces_the_old_unless_too_long(house: House, person: Person) -> None:
    """A contact with a member that is too long is refused with 400 and changes nothing."""
    contacts.save(house.context, person.subject, WISH)
    refused(400, lambda: contacts.save(house.context, person.subject, {**WISH, "window": "x" * 201}))
    assert contacts.read(house.context, person.subject) == SafeContact(WISH, fresh=True)
    contacts.save(house.context, person.subject, {**WISH, "address": ""})
    assert len(house.rows(safe_contact, safe_contact.c.subject_id == person.subject)) == 1


def test_safe_contact_moved_to_another_row_does_not_open(house: House, person: Person) -> None:
    """The sealed contact is bound to the row of its survivor."""
    other = house.person()
    for one in (person, other):
        contacts.save(house.context, one.subject, WISH)
    [row] = house.rows(safe_contact, safe_contact.c.subject_id == person.subject)
    with house.context.database.transaction() as connection:
        moved = {"wrapped": row.wrapped, "sealed": row.sealed}
        connection.execute(safe_contact.update().where(safe_contact.c.subject_id == other.subject).values(**moved))
    assert contacts.read(house.context, other.subject) is None


@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_database_files_contain_no_safe_contact_or_note(own_house: House) -> None:
    person, agency = own_house.person(), own_house.agency()
    contacts.save(own_house.context, person.subject, WISH)
    grant = give(own_house, person, agency)
    assert notes.show(own_house.context, person.subject, grant) == NOTE

    kept = b"".join(_files(Path(own_house.context.database.engine.url.database or "").parent))
    assert str(person.ppid).encode() in kept, "the files that were searched are the right ones"
    assert b"canary" not in kept


def _files(folder: Path) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_safe_contact_and_note_survive_key_rotation(own_house: House) -> None:
    person, agency = own_house.person(), own_house.agency()
    contacts.save(own_house.context, person.subject, WISH)
    grant = give(own_house, person, agency)
    done = rotate(own_house.context)

    assert done.destroyed == (1,)
    assert contacts.read(own_house.context, person.subject) == SafeContact(WISH, fresh=True)
    assert notes.show(own_house.context, person.subject, grant) == NOTE


def test_her_note_replaces_the_sent_summary(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency)
    envelope = house.envelope(grant, {"summary": {"text": "What a worker wrote."}, "housing": {"needs": "A room."}})
    assert house.open(agency, envelope).json()["parts"] == {"housing": {"needs": "A room."}, "summary": {"text": NOTE}}


def test_sent_summary_is_opened_when_she_wrote_no_note(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency, None)
    sent = {"summary": {"text": "What a worker wrote."}}
    assert house.open(agency, house.envelope(grant, sent)).json()["parts"] == sent


def test_note_is_not_opened_when_no_summary_was_sent(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency)
    envelope = house.envelope(grant, {"housing": {"needs": "A room."}})
    assert house.open(agency, envelope).json()["parts"] == {"housing": {"needs": "A room."}}


def test_repeated_grant_keeps_its_id_and_takes_the_last_note(house: House, person: Person, agency: Agency) -> None:
    """She may have pressed twice, or gone back and written another note or none."""
    grant, sent = give(house, person, agency), {"summary": {"text": "What a worker wrote."}}
    for said, read in (("canary: no, this.", "canary: no, this."), (None, sent["summary"]["text"]), (NOTE, NOTE)):
        assert give(house, person, agency, said) == grant
        assert notes.show(house.context, person.subject, grant) == said
        assert house.open(agency, house.envelope(grant, sent)).json()["parts"] == {"summary": {"text": read}}


def test_note_is_hers_alone_and_ends_with_the_grant(house: House, person: Person, agency: Agency) -> None:
    grant, other = give(house, person, agency), house.person()
    assert notes.show(house.context, other.subject, grant) is None
    assert notes.show(house.context, person.subject, uuid4()) is None
    grants.revoke_grant(house.context, person.subject, grant)
    assert notes.show(house.context, person.subject, grant) is None


@pytest.mark.parametrize(("note", "categories"), [("x" * 1001, ["summary"]), ("Some words.", ["housing"])])
def test_note_too_long_or_without_summary_makes_no_grant(
    house: House, person: Person, agency: Agency, note: str, categories: list[str]
) -> None:
    refused(400, lambda: give(house, person, agency, note, *categories))
    assert export.overview(house.context, person.subject)["grants"] == []


def test_answer_may_choose_fewer_categories_and_never_more(house: House, person: Person, agency: Agency) -> None:
    asked = linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["summary", "housing"]))
    more = Chosen(["summary", "health"])

    def answer(chosen: Chosen) -> Any:
        return grants.answer_request(house.context, person.subject, asked, Answer(accept=True, days=7, chosen=chosen))

    refused(400, lambda: answer(more))
    made = answer(Chosen(["summary"], NOTE))
    [grant] = export.overview(house.context, person.subject)["grants"]
    assert (grant.id, grant.categories) == (made, ["summary"])
    assert notes.show(house.context, person.subject, made) == NOTE


def test_letter_code_names_the_agency_once(house: House, person: Person, agency: Agency) -> None:
    """A second check of the code finds nothing; her ledger records that it was made and used."""
    made = letters.write_letter(house.context, person.subject, agency.id)
    assert letters.check_letter(house.context, made.code.upper()) == made.agency == f"Sample {agency.id}"
    assert letters.check_letter(house.context, made.code) is None
    assert house.kinds(person)[-2:] == ["letter.made", "letter.used"]


def test_ended_or_expired_letter_names_no_agency(house: House, person: Person, agency: Agency) -> None:
    """Only she can end her letter, and only once."""
    ended = letters.write_letter(house.context, person.subject, agency.id)
    [row] = letters.letters_of(house.context, person.subject)
    stranger = house.person()
    refused(404, lambda: letters.end_letter(house.context, stranger.subject, row.id))
    letters.end_letter(house.context, person.subject, row.id)
    refused(404, lambda: letters.end_letter(house.context, person.subject, row.id))
    old = letters.write_letter(house.context, person.subject, agency.id)
    house.clock.move(LETTER_TIME)

    assert letters.check_letter(house.context, ended.code) is None
    assert letters.check_letter(house.context, old.code) is None


def test_letter_is_only_for_an_active_linked_agency(house: House, person: Person, agency: Agency) -> None:
    """A letter that was made earlier stops working when its agency is suspended."""
    refused(400, lambda: letters.write_letter(house.context, person.subject, house.agency().id))
    made = letters.write_letter(house.context, person.subject, agency.id)
    change_standing(house.context, agency.id, agency.sector, "suspended", 2)

    assert letters.check_letter(house.context, made.code) is None
    assert letters.supporters(house.context, person.subject) == []
    refused(400, lambda: letters.write_letter(house.context, person.subject, agency.id))


def test_new_revoke_card_voids_the_old_one(house: House, person: Person) -> None:
    code = letters.new_card(house.context, person.subject)
    refused(401, lambda: sessions.subject_of_card(house.context, person.revoke_code))
    assert sessions.subject_of_card(house.context, code) == person.subject


def test_equal_correction_waits_once_until_it_is_done(house: House, person: Person, agency: Agency) -> None:
    """Repeated presses add nothing: an agency reads a limited number of corrections, the oldest first."""
    grant = house.allow(person, agency, "health", "legal")

    def ask(category: str = "health") -> UUID:
        return corrections.ask_to_correct(house.context, person.subject, grant, category)

    with ThreadPoolExecutor(4) as pool:
        [name] = {asked.result() for asked in [pool.submit(ask) for _ in range(4)]}
    other = ask("legal")
    assert [row.id for row in corrections.waiting_for(house.context, agency.id, 10)] == [name, other]
    assert house.kinds(person).count("correction.asked") == 2

    corrections.corrected(house.context, agency.id, name)
    assert ask() not in {name, other}


def test_correction_is_shown_to_its_agency_and_marked_done(house: House, person: Person, agency: Agency) -> None:
    grant, other = house.allow(person, agency, "health"), house.agency()
    name = corrections.ask_to_correct(house.context, person.subject, grant, "health")

    waiting = house.call(agency, "/consent/v1/corrections", None, "GET").json()["corrections"]
    told = {"id": str(name), "grant": str(grant), "ppid": person.ppid, "category": "health"}
    assert [{key: row[key] for key in told} for row in waiting] == [told]
    assert house.call(other, "/consent/v1/corrections", None, "GET").json() == {"corrections": []}
    assert house.call(other, f"/consent/v1/corrections/{name}", None).status_code == 404
    assert house.call(agency, f"/consent/v1/corrections/{name}", None).status_code == 204
    assert house.call(agency, f"/consent/v1/corrections/{name}", None).status_code == 404
    assert house.kinds(person)[-2:] == ["correction.asked", "correction.done"]


def test_correction_of_unshared_data_is_refused(house: House, person: Person, agency: Agency) -> None:
    grant, stranger = house.allow(person, agency, "health"), house.person()
    refused(404, lambda: corrections.ask_to_correct(house.context, stranger.subject, grant, "health"))
    refused(400, lambda: corrections.ask_to_correct(house.context, person.subject, grant, "legal"))


def test_erasure_removes_notes_contacts_letters_corrections(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency)
    contacts.save(house.context, person.subject, WISH)
    made = letters.write_letter(house.context, person.subject, agency.id)
    corrections.ask_to_correct(house.context, person.subject, grant, "housing")
    erasure.erase(house.context, person.subject)

    left: list[Table] = [approved_words, safe_contact, letter, correction, passkey, pin_turn, pin_lane_use]
    assert {table.name: house.rows(table, table.c.subject_id == person.subject) for table in left} == {
        table.name: [] for table in left
    }
    assert letters.check_letter(house.context, made.code) is None


def test_export_contains_notes_contact_letters_corrections(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency)
    contacts.save(house.context, person.subject, WISH)
    letters.write_letter(house.context, person.subject, agency.id)
    corrections.ask_to_correct(house.context, person.subject, grant, "housing")
    copy = house.copy(person)

    assert copy["words_by_grant"] == {str(grant): NOTE}
    assert copy["safe_contact"] == {**WISH, "still_good": True}
    assert [row["agency"] for row in copy["letters"]] == [agency.id]
    assert [row["category"] for row in copy["corrections"]] == ["housing"]
    assert copy["keys"] == []


def test_slip_shows_its_codes_and_is_not_cached(house: House, agency: Agency) -> None:
    codes = house.call(agency, "/consent/v1/subjects", {"language": "fr"}).json()
    slip = {"claim_code": codes["claim_code"], "revoke_code": codes["revoke_code"], "language": "fr"}
    answer = house.call(agency, "/consent/v1/slips", slip)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    for shown in (codes["claim_code"], codes["revoke_code"], f"{house.url}/my/start", "<svg", 'lang="fr"'):
        assert shown in answer.text
    assert timedelta(days=30) == sessions.CLAIM_TIME, "the slip tells this time"
