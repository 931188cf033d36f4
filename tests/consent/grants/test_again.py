"""The same yes again: shown whole, given with the PIN, as a new grant; what cannot be shown whole is not repeated."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.consent.handlers.grants import grants, notes
from services.consent.handlers.grants.again import ends_soon
from services.consent.handlers.grants.grants import Wish
from services.consent.models import grant as grant_table
from services.consent.models import waiting_grant
from services.consent.store import subjects
from tests.support.clocks import NOON
from tests.support.consent import Agency, House, Person
from tests.support.word_for_word import FAMILY, HEALTH, allow, ask, decide, send


def meet(house: House) -> tuple[Agency, Agency, Person]:
    sender = house.agency("ngo")
    return sender, house.agency("health"), house.person(sender)


def again(house: House, person: Person, grant: UUID, method: str = "POST") -> Any:
    return house.my(method, f"/grants/{grant}/again", house.session(person, stepped_up=True))


def row(house: House, grant: str | UUID) -> Any:
    [found] = house.rows(grant_table, grant_table.c.id == UUID(str(grant)))
    return found


def test_same_yes_is_a_new_grant_for_as_many_days(house: House) -> None:
    _, to, person = meet(house)
    first = house.allow(person, to, "health", "housing", days=20)
    house.clock.move(timedelta(days=15))
    shown = again(house, person, first, "GET").json()
    assert (shown["agency"], shown["categories"], shown["days"]) == (to.id, ["health", "housing"], 20)
    assert (shown["note"], shown["texts"], shown["only_this"]) == (None, None, False)
    made = again(house, person, first)
    assert made.status_code == 201
    old, new = row(house, first), row(house, made.json()["id"])
    assert (new.agency, new.purpose, new.categories) == (old.agency, old.purpose, old.categories)
    assert (new.valid_from, new.valid_until) == (NOON + timedelta(days=15), NOON + timedelta(days=35))
    assert (old.valid_until, old.ended_at) == (NOON + timedelta(days=20), None), "the first ends on its own day"
    assert new.public_key != old.public_key


def test_reading_it_again_gives_nothing(house: House) -> None:
    _, to, person = meet(house)
    first, before = house.allow(person, to, "health"), house.epoch(person)
    assert again(house, person, first, "GET").status_code == 200
    assert house.epoch(person) == before
    assert len(house.rows(grant_table, grant_table.c.subject_id == person.subject)) == 1


def test_pressed_twice_it_is_one_grant(house: House) -> None:
    _, to, person = meet(house)
    first = house.allow(person, to, "health")
    house.clock.move(timedelta(days=1))
    assert again(house, person, first).json() == again(house, person, first).json()


def test_same_yes_needs_the_pin(house: House) -> None:
    _, to, person = meet(house)
    first = house.allow(person, to, "health")
    answer = house.my("POST", f"/grants/{first}/again", house.session(person))
    assert answer.status_code == 403
    assert len(house.rows(grant_table, grant_table.c.subject_id == person.subject)) == 1


def test_expired_yes_to_any_text_can_be_said_again(house: House) -> None:
    _, to, person = meet(house)
    first = house.allow(person, to, "health", days=1)
    house.clock.move(timedelta(days=2))
    assert again(house, person, first).status_code == 201, "also before its end is recorded"
    house.clock.move(timedelta(days=2))
    grants.end_lapsed(house.context, 10_000)
    assert again(house, person, first).status_code == 201


def test_note_of_hers_goes_into_the_new_grant(house: House) -> None:
    _, to, person = meet(house)
    wish = Wish(to.id, "referral", ["health", "summary"], 3, note="My own words.")
    first = grants.give_grant(house.context, person.subject, wish)
    house.clock.move(timedelta(days=1))
    assert again(house, person, first, "GET").json()["note"] == "My own words."
    made = UUID(again(house, person, first).json()["id"])
    assert notes.show(house.context, person.subject, made) == "My own words."
    house.clock.move(timedelta(days=9))
    assert again(house, person, first).status_code == 409, "nobody can read her note any more"


def test_certain_texts_that_were_sent_bind_the_new_grant(house: House) -> None:
    sender, to, person = meet(house)
    first = allow(house, person, ask(house, sender, person, to, {"health": HEALTH, "family": FAMILY}))
    for part in ({"health": HEALTH}, {"family": FAMILY}):
        send(house, first, sender, part)
    house.clock.move(timedelta(days=1))
    shown = again(house, person, first, "GET").json()
    assert (shown["texts"], shown["only_this"]) == ({"health": HEALTH, "family": FAMILY}, True)
    made = row(house, again(house, person, first).json()["id"])
    assert made.only_this
    grants.revoke_grant(house.context, person.subject, first)
    assert decide(house, sender, person, to, {"health": HEALTH}).seal is not None
    assert decide(house, sender, person, to, {"health": {"needs": "Other words."}}).seal is None


def test_certain_texts_that_were_not_all_sent_cannot_be_repeated(house: House) -> None:
    sender, to, person = meet(house)
    first = allow(house, person, ask(house, sender, person, to, {"health": HEALTH, "family": FAMILY}))
    assert again(house, person, first).status_code == 409
    send(house, first, sender, {"health": HEALTH, "family": {"needs": "Other words."}})
    for method in ("GET", "POST"):
        answer = again(house, person, first, method)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:fireweed:problem:cannot-be-repeated")
    assert len(house.rows(grant_table, grant_table.c.subject_id == person.subject)) == 1


@pytest.mark.parametrize("end", ["revoked", "expired with texts"])
def test_yes_that_cannot_be_shown_whole_is_not_repeated(house: House, end: str) -> None:
    sender, to, person = meet(house)
    first = allow(house, person, ask(house, sender, person, to, {"health": HEALTH}), days=1)
    send(house, first, sender, {"health": HEALTH})
    if end == "revoked":
        grants.revoke_grant(house.context, person.subject, first)
    else:
        house.clock.move(timedelta(days=2))
        grants.end_lapsed(house.context, 10_000)
    assert again(house, person, first).status_code == 409


def test_grant_of_somebody_else_is_absent(house: House) -> None:
    _, to, person = meet(house)
    hers = house.allow(house.person(), to, "health")
    answers = [again(house, person, name, method) for name in (hers, uuid4()) for method in ("GET", "POST")]
    assert [answer.status_code for answer in answers] == [404] * 4


def test_restriction_made_since_wins_over_the_new_grant(house: House) -> None:
    sender, to, person = meet(house)
    first = house.allow(person, to, "health")
    grants.restrict(house.context, person.subject, grants.Rule(category="health"))
    house.clock.move(timedelta(days=1))
    assert again(house, person, first).status_code == 201
    assert decide(house, sender, person, to, {"health": HEALTH}).seal is None


def test_certain_texts_with_a_second_look_are_asked_for_anew(house: House) -> None:
    """A pending grant would keep no texts, and so become wider than what she said yes to."""
    sender, to, person = meet(house)
    first = allow(house, person, ask(house, sender, person, to, {"health": HEALTH}))
    send(house, first, sender, {"health": HEALTH})
    with house.context.database.transaction() as connection:
        subjects.change_subject(connection, person.subject, age_band="under_16")
    house.clock.move(timedelta(days=1))
    token = house.session(person, stepped_up=True)
    answer = house.my("POST", f"/grants/{first}/again", token, {"second_look_by": sender.id})
    assert answer.status_code == 400
    assert house.rows(waiting_grant, waiting_grant.c.subject_id == person.subject) == []


@pytest.mark.parametrize(
    ("days", "left", "soon"),
    [(30, 8, False), (30, 7, True), (30, 1, True), (7, 7, False), (7, 3, False), (7, 2, True), (2, 1, False)],
)
def test_end_is_told_seven_and_two_days_before(house: House, days: int, left: int, soon: bool) -> None:
    _, to, person = meet(house)
    given = row(house, house.allow(person, to, "health", days=days))
    assert ends_soon(given, given.valid_until - timedelta(days=left)) is soon
