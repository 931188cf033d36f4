"""A new PIN in place of hers: only with the old one, which counts nowhere any more, and no way to more guesses."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts import credentials, pin_attempts, sessions
from services.consent.handlers.accounts.pin_attempts import FREE_TRIES
from services.consent.handlers.accounts.sessions import PIN_TRIES
from services.consent.handlers.rights import erasure
from services.consent.models import pin_turn, session, subject
from tests.consent.accounts.test_new_passphrase import claimed
from tests.consent.accounts.test_sessions import PIN, refused
from tests.support.consent import House, Person, during, without_ledger

NEW = "161803"


def change(house: House, token: str, pin: str = NEW) -> None:
    """A new PIN, by a visit."""
    credentials.new_pin(house.context, sessions.find_session(house.context, token), pin)


def fits(house: House, person: Person, pin: str) -> bool:
    """Whether a visit of hers may widen with this PIN."""
    return house.my("POST", "/session/step-up", house.session(person), {"pin": pin}).status_code == 204


def code(act: Callable[[], object]) -> str:
    """What somebody is told."""
    with pytest.raises(Problem) as problem:
        act()
    return problem.value.code


def kept(house: House, person: Person) -> str:
    """Her PIN as it is kept."""
    return str(house.rows(subject, subject.c.id == person.subject)[0].pin_hash)


def test_the_new_pin_lets_her_widen_and_the_old_one_is_like_any_wrong_one(house: House) -> None:
    person, before = claimed(house)
    changed = house.my("POST", "/pin", before.session, {"pin": NEW})

    assert (changed.status_code, changed.content) == (204, b"")
    assert [fits(house, person, pin) for pin in (NEW, PIN)] == [True, False]
    old, never = (house.my("POST", "/session/step-up", house.session(person), {"pin": pin}) for pin in (PIN, "000000"))
    assert (old.status_code, old.content) == (never.status_code, never.content) == (403, old.content)
    sessions.come_in(house.context, before.passphrase)


def test_in_every_other_visit_of_hers_the_old_pin_counts_no_more_and_this_one_goes_on(house: House) -> None:
    person, here = claimed(house)
    elsewhere, other = house.session(person, stepped_up=True), house.session(house.person(), stepped_up=True)
    change(house, here.session)

    assert sessions.find_session(house.context, here.session).stepped_up
    assert not sessions.find_session(house.context, elsewhere).stepped_up
    assert house.my("POST", "/words", elsewhere).json()["type"].endswith(":pin-needed")
    assert house.my("GET", "/grants", elsewhere).status_code == 200
    assert sessions.find_session(house.context, other).stepped_up


def test_with_her_words_alone_nobody_changes_it(house: House) -> None:
    person = house.person()
    before = sessions.claim(house.context, person.claim_code, PIN)
    words_alone, over = sessions.come_in(house.context, before.passphrase), house.session(person, stepped_up=True)
    house.clock.move(sessions.STEP_UP_TIME)
    held = kept(house, person)
    for token, status in ((words_alone, 403), (over, 403), ("no-such-token", 401), (None, 401)):
        for body in ({"pin": NEW}, {"pin": PIN}, {"pin": "none"}):
            answer = house.my("POST", "/pin", token, body)
            assert (answer.status_code, PIN in answer.text) == (status, False)

    assert kept(house, person) == held
    assert "pin.replaced" not in house.kinds(person)


def test_what_is_no_pin_at_the_claim_is_none_here(house: House) -> None:
    person, before = claimed(house)
    held, other = kept(house, person), house.person()
    for pin in ("", "12345", "\uff11" * 6, "12345a", " 12345", "12345\n"):
        told = house.my("POST", "/pin", before.session, {"pin": pin})
        claiming = house.my("POST", "/session", body={"claim_code": other.claim_code, "pin": pin})
        assert (told.status_code, told.content) == (claiming.status_code, claiming.content) == (400, told.content)
        assert [fault["member"] for fault in told.json()["errors"]] == ["/pin"]

    assert (kept(house, person), "pin.replaced" in house.kinds(person)) == (held, False)


def test_her_ledger_says_so_and_neither_pin_is_kept_anywhere(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    person, before = claimed(house)
    assert house.my("POST", "/pin", before.session, {"pin": NEW}).status_code == 204

    assert house.kinds(person) == ["registered", "claimed", "pin.replaced"]
    rows = [*house.rows(subject, subject.c.id == person.subject), *house.rows(session), *house.ledger(person)]
    assert [row for row in rows for pin in (PIN, NEW) if f"'{pin}'" in repr(row) or f'"{pin}"' in repr(row)] == []
    assert [pin for pin in (PIN, NEW) if pin in caplog.text] == []
    assert house.ledger(person)[-1].detail == {}


def test_without_its_line_no_pin_is_changed_and_no_visit_loses_its_own(own_house: House) -> None:
    person, before = claimed(own_house)
    elsewhere, held = own_house.session(person, stepped_up=True), kept(own_house, person)
    with without_ledger(own_house), pytest.raises(Exception, match="ledger_entry"):
        change(own_house, before.session)

    assert kept(own_house, person) == held
    assert sessions.find_session(own_house.context, elsewhere).stepped_up


def test_it_gives_nobody_a_guess_back(house: House) -> None:
    person, before = claimed(house)
    guessing = sessions.find_session(house.context, house.session(person))
    for _ in range(PIN_TRIES - 1):
        assert code(partial(pin_attempts.step_up, house.context, guessing, "000000")) == "wrong-pin"
    with house.context.database.transaction() as connection:
        # As if there had been more guesses, which would take long.
        connection.execute(pin_turn.update().where(pin_turn.c.subject_id == person.subject).values(tries=FREE_TRIES))
    hers, about = session.c.subject_id == person.subject, pin_turn.c.subject_id == person.subject
    counted = [row.pin_tries for row in house.rows(session, hers)], house.rows(pin_turn, about)
    change(house, before.session)

    assert ([row.pin_tries for row in house.rows(session, hers)], house.rows(pin_turn, about)) == counted
    for pin in ("000000", PIN, NEW):
        assert code(partial(pin_attempts.step_up, house.context, house.here(person), pin)) == "slow-down"
    # Nor does the one visit have more tries than it had: its fifth wrong one is still its last.
    assert code(lambda: sessions.step_up(house.context, guessing, "000000")) == "wrong-pin"
    assert code(lambda: sessions.step_up(house.context, guessing, NEW)) == "not-let-in"


@pytest.mark.parametrize("visits", ["of one visit", "of two visits"])
def test_two_at_once_leave_the_pin_of_one_who_was_told_that_it_is_set(house: House, visits: str) -> None:
    person, first = claimed(house)
    second = first.session if visits == "of one visit" else house.session(person, stepped_up=True)
    ready = threading.Barrier(2)

    def at_once(told: tuple[str, str]) -> str | Problem:
        token, pin = told
        here = sessions.find_session(house.context, token)
        ready.wait()
        try:
            credentials.new_pin(house.context, here, pin)
        except Problem as problem:
            return problem
        return pin

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(at_once, [(first.session, NEW), (second, "141421")]))
    # Of one visit, one that came late enough saw what the other had left; of two, the later one had lost its PIN.
    done = [answer for answer in answers if isinstance(answer, str)]
    codes = {answer.code for answer in answers if isinstance(answer, Problem)}

    assert [house.context.secrets.pin_fits(pin, kept(house, person)) for pin in done].count(True) == 1
    assert codes <= ({"pin-done-twice"} if visits == "of one visit" else {"pin-needed"})
    assert len(done) == 1 or visits == "of one visit"
    assert house.kinds(person).count("pin.replaced") == len(done)
    assert not fits(house, person, PIN)


@pytest.mark.parametrize(
    ("meanwhile", "told"),
    [
        ("another PIN", "pin-done-twice"),
        ("a visit elsewhere sets one", "pin-needed"),
        ("a visit elsewhere makes words", "not-let-in"),
        ("she leaves", "not-let-in"),
        ("she erases", "not-let-in"),
    ],
)
def test_what_happens_while_it_is_set_leaves_no_pin_that_should_not_count(
    house: House, monkeypatch: pytest.MonkeyPatch, meanwhile: str, told: str
) -> None:
    person, before = claimed(house)
    here, elsewhere = before.session, house.session(person, stepped_up=True)
    there = sessions.find_session(house.context, elsewhere)
    acts: dict[str, Callable[[], object]] = {
        "another PIN": partial(change, house, here, "141421"),
        "a visit elsewhere sets one": partial(change, house, elsewhere, "141421"),
        "a visit elsewhere makes words": partial(credentials.new_passphrase, house.context, there),
        "she leaves": lambda: sessions.leave(house.context, sessions.find_session(house.context, here)),
        "she erases": partial(erasure.erase, house.context, person.subject),
    }
    present = sessions.find_session(house.context, here)
    during(monkeypatch, "pin_hash", acts[meanwhile])
    assert code(lambda: credentials.new_pin(house.context, present, NEW)) == told
    if meanwhile == "she erases":
        assert kept(house, person) == "None"
    else:
        good = "141421" if "sets" in meanwhile or "another" in meanwhile else PIN
        assert house.context.secrets.pin_fits(good, kept(house, person))


@pytest.mark.parametrize("act", ["a PIN", "words"])
def test_a_visit_that_came_through_the_door_before_her_new_pin_cannot_take_over_after_it(
    house: House, act: str
) -> None:
    person, before = claimed(house)
    thief = sessions.find_session(house.context, house.session(person, stepped_up=True))
    change(house, before.session)

    acts: dict[str, Callable[[], object]] = {
        "a PIN": lambda: credentials.new_pin(house.context, thief, "141421"),
        "words": lambda: credentials.new_passphrase(house.context, thief),
    }
    assert code(acts[act]) == "pin-needed"
    sessions.come_in(house.context, before.passphrase)
    assert sessions.find_session(house.context, before.session).stepped_up
    assert fits(house, person, NEW)


def test_an_old_pin_that_was_still_being_checked_lets_nobody_widen(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, before = claimed(house)
    guessing = house.session(person)
    during(monkeypatch, "pin_fits", partial(change, house, before.session))
    refused(lambda: sessions.step_up(house.context, sessions.find_session(house.context, guessing), PIN))
    assert not sessions.find_session(house.context, guessing).stepped_up


def test_in_a_visit_whose_pin_runs_out_meanwhile_nothing_is_changed(house: House) -> None:
    person, before = claimed(house)
    here, held = sessions.find_session(house.context, before.session), kept(house, person)
    house.clock.move(sessions.STEP_UP_TIME + timedelta(seconds=1))

    assert code(lambda: credentials.new_pin(house.context, here, NEW)) == "pin-needed"
    assert kept(house, person) == held
