"""Test replacing a PIN: only with the old one, which stops working everywhere, and without giving more guesses."""

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

pytestmark = pytest.mark.usefixtures("quick_secrets")

NEW = "161803"


def change(house: House, token: str, pin: str = NEW) -> None:
    """Replace her PIN in the session of this token."""
    credentials.new_pin(house.context, sessions.find_session(house.context, token), pin)


def fits(house: House, person: Person, pin: str) -> bool:
    """Return whether a new session of hers can be stepped up with this PIN."""
    return house.my("POST", "/session/step-up", house.session(person), {"pin": pin}).status_code == 204


def code(act: Callable[[], object]) -> str:
    """Return the problem code with which an act is refused."""
    with pytest.raises(Problem) as problem:
        act()
    return problem.value.code


def kept(house: House, person: Person) -> str:
    """Return the stored hash of her PIN."""
    return str(house.rows(subject, subject.c.id == person.subject)[0].pin_hash)


def test_new_pin_steps_up_and_old_one_is_refused_as_wrong(house: House) -> None:
    """The old PIN gets exactly the answer of a wrong one; her passphrase still opens a session."""
    person, before = claimed(house)
    changed = house.my("POST", "/pin", before.session, {"pin": PIN, "new_pin": NEW})

    assert (changed.status_code, changed.content) == (204, b"")
    assert [fits(house, person, pin) for pin in (NEW, PIN)] == [True, False]
    old, never = (house.my("POST", "/session/step-up", house.session(person), {"pin": pin}) for pin in (PIN, "000000"))
    assert (old.status_code, old.content) == (never.status_code, never.content) == (403, old.content)
    sessions.come_in(house.context, before.passphrase)


def test_new_pin_ends_step_up_of_every_other_session(house: House) -> None:
    """The other session goes on without step-up; the one in which the PIN was replaced keeps its own."""
    person, here = claimed(house)
    elsewhere, other = house.session(person, stepped_up=True), house.session(house.person(), stepped_up=True)
    change(house, here.session)

    assert sessions.find_session(house.context, here.session).stepped_up
    assert not sessions.find_session(house.context, elsewhere).stepped_up
    assert house.my("POST", "/resume", elsewhere).json()["type"].endswith(":pin-needed")
    assert house.my("POST", "/words", elsewhere, {"pin": PIN}).json()["type"].endswith(":wrong-pin")
    assert house.my("GET", "/grants", elsewhere).status_code == 200
    assert sessions.find_session(house.context, other).stepped_up


def test_new_pin_without_the_old_one_is_refused(house: House) -> None:
    """A session by passphrase alone, one whose step-up expired and no session at all change nothing without the old PIN."""
    person = house.person()
    before = sessions.claim(house.context, person.claim_code, PIN)
    passphrase_only, expired = (
        sessions.come_in(house.context, before.passphrase),
        house.session(person, stepped_up=True),
    )
    house.clock.move(sessions.STEP_UP_TIME)
    held = kept(house, person)
    for token, status in ((passphrase_only, 403), (expired, 403), ("no-such-token", 401), (None, 401)):
        for body in ({"pin": ""}, {"pin": NEW}, {"pin": "none"}):
            answer = house.my("POST", "/pin", token, {**body, "new_pin": NEW})
            assert (answer.status_code, PIN in answer.text) == (status, False)

    assert kept(house, person) == held
    assert "pin.replaced" not in house.kinds(person)


def test_malformed_new_pin_returns_400_as_at_the_claim(house: House) -> None:
    """The answer is that for a malformed PIN at the claim, but for the name of the member."""
    person, before = claimed(house)
    held, other = kept(house, person), house.person()
    for pin in ("", "12345", "\uff11" * 6, "12345a", " 12345", "12345\n"):
        told = house.my("POST", "/pin", before.session, {"pin": PIN, "new_pin": pin})
        claiming = house.my("POST", "/session", body={"claim_code": other.claim_code, "pin": pin})
        assert told.status_code == claiming.status_code == 400
        assert told.text == claiming.text.replace('"/pin"', '"/new_pin"')
        assert [fault["member"] for fault in told.json()["errors"]] == ["/new_pin"]

    assert (kept(house, person), "pin.replaced" in house.kinds(person)) == (held, False)


def test_new_pin_is_recorded_and_neither_pin_is_stored(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    person, before = claimed(house)
    assert house.my("POST", "/pin", before.session, {"pin": PIN, "new_pin": NEW}).status_code == 204

    assert house.kinds(person) == ["registered", "claimed", "pin.replaced"]
    rows = [*house.rows(subject, subject.c.id == person.subject), *house.rows(session), *house.ledger(person)]
    assert [row for row in rows for pin in (PIN, NEW) if f"'{pin}'" in repr(row) or f'"{pin}"' in repr(row)] == []
    assert [pin for pin in (PIN, NEW) if pin in caplog.text] == []
    assert house.ledger(person)[-1].detail == {}


def test_new_pin_without_ledger_entry_changes_nothing(own_house: House) -> None:
    """If the ledger entry cannot be written, the old PIN and the step-up of other sessions stay valid."""
    person, before = claimed(own_house)
    elsewhere, held = own_house.session(person, stepped_up=True), kept(own_house, person)
    with without_ledger(own_house), pytest.raises(Exception, match="ledger_entry"):
        change(own_house, before.session)

    assert kept(own_house, person) == held
    assert sessions.find_session(own_house.context, elsewhere).stepped_up


def test_new_pin_keeps_the_counts_of_wrong_guesses(house: House) -> None:
    person, before = claimed(house)
    guessing = sessions.find_session(house.context, house.session(person))
    for _ in range(PIN_TRIES - 1):
        assert code(partial(pin_attempts.step_up, house.context, guessing, "000000")) == "wrong-pin"
    with house.context.database.transaction() as connection:
        # Stands for the other guesses up to the limit, which would take long to make.
        connection.execute(pin_turn.update().where(pin_turn.c.subject_id == person.subject).values(tries=FREE_TRIES))
    her_sessions, her_turns = session.c.subject_id == person.subject, pin_turn.c.subject_id == person.subject
    counted = [row.pin_tries for row in house.rows(session, her_sessions)], house.rows(pin_turn, her_turns)
    change(house, before.session)

    assert ([row.pin_tries for row in house.rows(session, her_sessions)], house.rows(pin_turn, her_turns)) == counted
    for pin in ("000000", PIN, NEW):
        assert code(partial(pin_attempts.step_up, house.context, house.here(person), pin)) == "slow-down"
    # The tries of a session are not reset either: its fifth wrong PIN is still its last.
    assert code(lambda: sessions.step_up(house.context, guessing, "000000")) == "wrong-pin"
    assert code(lambda: sessions.step_up(house.context, guessing, NEW)) == "not-let-in"


@pytest.mark.parametrize("sessions_used", ["one session", "two sessions"])
def test_concurrent_new_pins_leave_one_that_was_confirmed(house: House, sessions_used: str) -> None:
    person, first = claimed(house)
    second = first.session if sessions_used == "one session" else house.session(person, stepped_up=True)
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
    # In one session, the second may start late enough to see the first and succeed too; of two, the second lost its step-up.
    done = [answer for answer in answers if isinstance(answer, str)]
    codes = {answer.code for answer in answers if isinstance(answer, Problem)}

    assert [house.context.secrets.pin_fits(pin, kept(house, person)) for pin in done].count(True) == 1
    assert codes <= ({"pin-done-twice"} if sessions_used == "one session" else {"pin-needed"})
    assert len(done) == 1 or sessions_used == "one session"
    assert house.kinds(person).count("pin.replaced") == len(done)
    assert not fits(house, person, PIN)


@pytest.mark.parametrize(
    ("meanwhile", "told"),
    [
        ("another PIN", "pin-done-twice"),
        ("another session sets one", "pin-needed"),
        ("another session replaces the passphrase", "not-let-in"),
        ("she leaves", "not-let-in"),
        ("she erases", "not-let-in"),
    ],
)
def test_new_pin_fails_if_state_changed_while_hashing(
    house: House, monkeypatch: pytest.MonkeyPatch, meanwhile: str, told: str
) -> None:
    """A change that commits during the slow hash wins, and the late PIN is refused."""
    person, before = claimed(house)
    here, elsewhere = before.session, house.session(person, stepped_up=True)
    there = sessions.find_session(house.context, elsewhere)
    acts: dict[str, Callable[[], object]] = {
        "another PIN": partial(change, house, here, "141421"),
        "another session sets one": partial(change, house, elsewhere, "141421"),
        "another session replaces the passphrase": partial(credentials.new_passphrase, house.context, there),
        "she leaves": lambda: sessions.leave(house.context, sessions.find_session(house.context, here)),
        "she erases": partial(erasure.erase, house.context, person.subject),
    }
    present = sessions.find_session(house.context, here)
    during(monkeypatch, "pin_hash", acts[meanwhile])
    assert code(lambda: credentials.new_pin(house.context, present, NEW)) == told
    if meanwhile == "she erases":
        assert kept(house, person) == "None"
    else:
        good = "141421" if meanwhile in {"another PIN", "another session sets one"} else PIN
        assert house.context.secrets.pin_fits(good, kept(house, person))


@pytest.mark.parametrize("act", ["a PIN", "a passphrase"])
def test_session_read_before_a_new_pin_cannot_replace_secrets(house: House, act: str) -> None:
    """A thief's session was read while stepped up; the new PIN ended its step-up before it acts."""
    person, before = claimed(house)
    thief = sessions.find_session(house.context, house.session(person, stepped_up=True))
    change(house, before.session)

    acts: dict[str, Callable[[], object]] = {
        "a PIN": lambda: credentials.new_pin(house.context, thief, "141421"),
        "a passphrase": lambda: credentials.new_passphrase(house.context, thief),
    }
    assert code(acts[act]) == "pin-needed"
    sessions.come_in(house.context, before.passphrase)
    assert sessions.find_session(house.context, before.session).stepped_up
    assert fits(house, person, NEW)


def test_old_pin_in_check_during_its_change_gives_no_step_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PIN is replaced between the check of the old one and the step-up."""
    person, before = claimed(house)
    guessing = house.session(person)
    during(monkeypatch, "pin_fits", partial(change, house, before.session))
    refused(lambda: sessions.step_up(house.context, sessions.find_session(house.context, guessing), PIN))
    assert not sessions.find_session(house.context, guessing).stepped_up


def test_new_pin_after_step_up_expired_is_refused(house: House) -> None:
    """The step-up expires between the reading of the session and the change."""
    person, before = claimed(house)
    here, held = sessions.find_session(house.context, before.session), kept(house, person)
    house.clock.move(sessions.STEP_UP_TIME + timedelta(seconds=1))

    assert code(lambda: credentials.new_pin(house.context, here, NEW)) == "pin-needed"
    assert kept(house, person) == held
