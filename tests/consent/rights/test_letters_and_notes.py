"""What she writes and carries: sealed where it says who she is, good only while she wants it, and gone when she goes."""

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
from services.consent.models import approved_words, correction, letter, passkey, pin_turn, safe_contact
from tests.support.consent import Agency, House, Person, change_standing

WISH = {"channel": "text", "address": "canary-555-0100", "window": "canary-noon", "wording": "canary-your-book-is-here"}
HERS = "canary-words: a quiet room, please."


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


def give(house: House, person: Person, agency: Agency, hers: str | None = HERS, *categories: str) -> Any:
    wish = Wish(agency.id, "referral", categories or ("summary", "housing"), 7, note=hers)
    return grants.give_grant(house.context, person.subject, wish)


def test_nobody_may_reach_her_unless_she_says_how_and_that_ages(house: House, person: Person) -> None:
    assert contacts.read(house.context, person.subject) is None
    contacts.save(house.context, person.subject, WISH)
    assert contacts.read(house.context, person.subject) == SafeContact(WISH, fresh=True)

    house.clock.move(GOOD_FOR)
    assert contacts.read(house.context, person.subject) == SafeContact(WISH, fresh=False)
    contacts.confirm(house.context, person.subject)
    assert contacts.read(house.context, person.subject) == SafeContact(WISH, fresh=True)
    contacts.forget(house.context, person.subject)
    assert contacts.read(house.context, person.subject) is None


def test_a_new_wish_replaces_the_old_one_and_too_long_a_one_changes_nothing(house: House, person: Person) -> None:
    contacts.save(house.context, person.subject, WISH)
    refused(400, lambda: contacts.save(house.context, person.subject, {**WISH, "window": "x" * 201}))
    assert contacts.read(house.context, person.subject) == SafeContact(WISH, fresh=True)
    contacts.save(house.context, person.subject, {**WISH, "address": ""})
    assert len(house.rows(safe_contact, safe_contact.c.subject_id == person.subject)) == 1


def test_her_contact_is_bound_to_her_row(house: House, person: Person) -> None:
    """Moved to somebody else's row, it does not open."""
    other = house.person()
    for one in (person, other):
        contacts.save(house.context, one.subject, WISH)
    [row] = house.rows(safe_contact, safe_contact.c.subject_id == person.subject)
    with house.context.database.transaction() as connection:
        moved = {"wrapped": row.wrapped, "sealed": row.sealed}
        connection.execute(safe_contact.update().where(safe_contact.c.subject_id == other.subject).values(**moved))
    assert contacts.read(house.context, other.subject) is None


@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_no_file_of_the_database_holds_her_contact_or_her_words(own_house: House) -> None:
    person, agency = own_house.person(), own_house.agency()
    contacts.save(own_house.context, person.subject, WISH)
    grant = give(own_house, person, agency)
    assert notes.show(own_house.context, person.subject, grant) == HERS

    kept = b"".join(_files(Path(own_house.context.database.engine.url.database or "").parent))
    assert str(person.ppid).encode() in kept, "the files that were looked at are the right ones"
    assert b"canary" not in kept


def _files(folder: Path) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_a_rotation_of_keys_takes_what_she_wrote_along(own_house: House) -> None:
    person, agency = own_house.person(), own_house.agency()
    contacts.save(own_house.context, person.subject, WISH)
    grant = give(own_house, person, agency)
    done = rotate(own_house.context)

    assert done.destroyed == (1,)
    assert contacts.read(own_house.context, person.subject) == SafeContact(WISH, fresh=True)
    assert notes.show(own_house.context, person.subject, grant) == HERS


def test_her_words_stand_in_place_of_what_was_sent_as_hers(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency)
    box = house.envelope(grant, {"summary": {"text": "What a worker wrote."}, "housing": {"needs": "A room."}})
    assert house.open(agency, box).json()["parts"] == {"housing": {"needs": "A room."}, "summary": {"text": HERS}}


def test_without_words_of_hers_what_was_sent_is_read(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency, None)
    sent = {"summary": {"text": "What a worker wrote."}}
    assert house.open(agency, house.envelope(grant, sent)).json()["parts"] == sent


def test_her_words_do_not_leave_unless_the_summary_does(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency)
    box = house.envelope(grant, {"housing": {"needs": "A room."}})
    assert house.open(agency, box).json()["parts"] == {"housing": {"needs": "A room."}}


def test_the_same_yes_given_again_keeps_the_grant_and_the_words_she_said_last(
    house: House, person: Person, agency: Agency
) -> None:
    """She may have pressed twice; or gone back and written something else, or nothing."""
    grant, sent = give(house, person, agency), {"summary": {"text": "What a worker wrote."}}
    for said, read in (("canary: no, this.", "canary: no, this."), (None, sent["summary"]["text"]), (HERS, HERS)):
        assert give(house, person, agency, said) == grant
        assert notes.show(house.context, person.subject, grant) == said
        assert house.open(agency, house.envelope(grant, sent)).json()["parts"] == {"summary": {"text": read}}


def test_her_words_end_with_the_grant_and_are_only_for_her(house: House, person: Person, agency: Agency) -> None:
    grant, other = give(house, person, agency), house.person()
    assert notes.show(house.context, other.subject, grant) is None
    assert notes.show(house.context, person.subject, uuid4()) is None
    grants.revoke_grant(house.context, person.subject, grant)
    assert notes.show(house.context, person.subject, grant) is None


@pytest.mark.parametrize(("hers", "categories"), [("x" * 1001, ["summary"]), ("Some words.", ["housing"])])
def test_words_too_long_or_that_nobody_would_read_make_no_grant(
    house: House, person: Person, agency: Agency, hers: str, categories: list[str]
) -> None:
    refused(400, lambda: give(house, person, agency, hers, *categories))
    assert export.overview(house.context, person.subject)["grants"] == []


def test_of_what_is_asked_for_she_may_choose_less_and_never_more(house: House, person: Person, agency: Agency) -> None:
    asked = linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["summary", "housing"]))
    more = Chosen(["summary", "health"])

    def answer(chosen: Chosen) -> Any:
        return grants.answer_request(house.context, person.subject, asked, Answer(accept=True, days=7, chosen=chosen))

    refused(400, lambda: answer(more))
    made = answer(Chosen(["summary"], HERS))
    [grant] = export.overview(house.context, person.subject)["grants"]
    assert (grant.id, grant.categories) == (made, ["summary"])
    assert notes.show(house.context, person.subject, made) == HERS


def test_a_letter_says_who_supports_her_once_and_nothing_else(house: House, person: Person, agency: Agency) -> None:
    made = letters.write_letter(house.context, person.subject, agency.id)
    assert letters.check_letter(house.context, made.code.upper()) == made.agency == f"Sample {agency.id}"
    assert letters.check_letter(house.context, made.code) is None
    assert house.kinds(person)[-2:] == ["letter.made", "letter.used"]


def test_a_letter_that_she_ended_or_that_is_too_old_is_none(house: House, person: Person, agency: Agency) -> None:
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


def test_a_letter_names_only_an_active_agency_that_knows_her(house: House, person: Person, agency: Agency) -> None:
    refused(400, lambda: letters.write_letter(house.context, person.subject, house.agency().id))
    made = letters.write_letter(house.context, person.subject, agency.id)
    change_standing(house.context, agency.id, agency.sector, "suspended", 2)

    assert letters.check_letter(house.context, made.code) is None
    assert letters.supporters(house.context, person.subject) == []
    refused(400, lambda: letters.write_letter(house.context, person.subject, agency.id))


def test_a_new_card_makes_the_old_one_worthless(house: House, person: Person) -> None:
    code = letters.new_card(house.context, person.subject)
    refused(401, lambda: sessions.subject_of_card(house.context, person.revoke_code))
    assert sessions.subject_of_card(house.context, code) == person.subject


def test_the_same_thing_to_put_right_is_asked_once_until_the_agency_has_seen_to_it(
    house: House, person: Person, agency: Agency
) -> None:
    """However often a button is pressed: an agency reads the oldest first, and only so many, from everybody."""
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


def test_an_agency_is_asked_to_put_right_what_she_shared_with_it_and_says_when_it_has(
    house: House, person: Person, agency: Agency
) -> None:
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


def test_nothing_can_be_put_right_that_is_not_hers(house: House, person: Person, agency: Agency) -> None:
    grant, stranger = house.allow(person, agency, "health"), house.person()
    refused(404, lambda: corrections.ask_to_correct(house.context, stranger.subject, grant, "health"))
    refused(400, lambda: corrections.ask_to_correct(house.context, person.subject, grant, "legal"))


def test_when_she_is_erased_all_of_it_is_gone(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency)
    contacts.save(house.context, person.subject, WISH)
    made = letters.write_letter(house.context, person.subject, agency.id)
    corrections.ask_to_correct(house.context, person.subject, grant, "housing")
    erasure.erase(house.context, person.subject)

    left: list[Table] = [approved_words, safe_contact, letter, correction, passkey, pin_turn]
    assert {table.name: house.rows(table, table.c.subject_id == person.subject) for table in left} == {
        table.name: [] for table in left
    }
    assert letters.check_letter(house.context, made.code) is None


def test_her_copy_holds_it_all(house: House, person: Person, agency: Agency) -> None:
    grant = give(house, person, agency)
    contacts.save(house.context, person.subject, WISH)
    letters.write_letter(house.context, person.subject, agency.id)
    corrections.ask_to_correct(house.context, person.subject, grant, "housing")
    copy = house.my("GET", "/export", house.session(person, stepped_up=True)).json()

    assert copy["words_by_grant"] == {str(grant): HERS}
    assert copy["safe_contact"] == {**WISH, "still_good": True}
    assert [row["agency"] for row in copy["letters"]] == [agency.id]
    assert [row["category"] for row in copy["corrections"]] == ["housing"]
    assert copy["keys"] == []


def test_a_slip_is_printed_from_its_codes_and_nothing_of_it_is_kept(house: House, agency: Agency) -> None:
    codes = house.call(agency, "/consent/v1/subjects", {"language": "fr"}).json()
    slip = {"claim_code": codes["claim_code"], "revoke_code": codes["revoke_code"], "language": "fr"}
    answer = house.call(agency, "/consent/v1/slips", slip)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    for shown in (codes["claim_code"], codes["revoke_code"], f"{house.url}/my/start", "<svg", 'lang="fr"'):
        assert shown in answer.text
    assert timedelta(days=30) == sessions.CLAIM_TIME, "what the slip says"
