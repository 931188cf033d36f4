"""Test that PIN turns go round: somebody who guesses without pause keeps her from no more than a turn or two."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count, cycle

import pytest

from services.common.errors import Problem
from services.consent.credentials import Secrets
from services.consent.handlers.accounts import pin_attempts, sessions
from services.consent.handlers.accounts.pin_attempts import FREE_TRIES, HELD, STEP
from services.consent.handlers.accounts.sessions import Session
from services.consent.store import subjects
from tests.support.consent import PIN, House, Person

HERS, STRANGERS = 1, 2
SECOND = timedelta(seconds=1)
Guess = Callable[[], str]


@pytest.fixture
def person(house: House, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Return a survivor with a PIN, which is checked without the slow hash."""
    her = house.person()
    house.give_pin(her)
    monkeypatch.setattr(Secrets, "pin_fits", lambda _self, pin, _kept: pin == PIN)
    return her


def attempt(house: House, here: Session, pin: str, lane: int) -> str:
    """Try a PIN; return the code of the problem, or "right"."""
    try:
        pin_attempts.step_up(house.context, here, pin, lane)
    except Problem as problem:
        return problem.code
    return "right"


def one_after_another(house: House, person: Person, lane: int) -> Guess:
    """Return a guess in one session for as long as it lives, then in the next."""
    kept = [house.here(person)]

    def guess() -> str:
        told = attempt(house, kept[0], "000000", lane)
        if told == "not-let-in":
            kept[0] = house.here(person)
            told = attempt(house, kept[0], "000000", lane)
        return told

    return guess


def each_time_anew(house: House, person: Person, lane: int) -> Guess:
    """Return a guess that opens a session of its own each time."""
    return lambda: attempt(house, house.here(person), "000000", lane)


def in_turn(guesses: list[Guess]) -> Guess:
    """Return a guess that is the next of several each time."""
    following = cycle(guesses)

    def guess() -> str:
        return next(following)()

    return guess


def in_many(house: House, person: Person, lane: int) -> Guess:
    """Return a guess in the next of eight sessions, each replaced when it ends."""
    return in_turn([one_after_another(house, person, lane) for _ in range(8)])


def from_everywhere(house: House, person: Person, _lane: int) -> Guess:
    """Return a guess from the next of eight addresses."""
    return in_turn([one_after_another(house, person, 10 + number) for number in range(8)])


STRANGER = pytest.mark.parametrize(
    "stranger", [one_after_another, each_time_anew, in_many, from_everywhere], ids=lambda one: one.__name__
)


def use_up(guess: Guess) -> None:
    """Let a stranger use the tries that need not wait."""
    for _ in range(FREE_TRIES):
        assert guess() == "wrong-pin"
    assert guess() == "slow-down"


def waits(house: House, here: Session, guess: Guess, lane: int, pin: str = PIN) -> timedelta:
    """Let her try a PIN every 20 seconds, and a stranger before her every 10; return how long it takes to be checked."""
    for tens in count(1):
        house.clock.move(10 * SECOND)
        guess()
        if tens % 2 == 0 and attempt(house, here, pin, lane) != "slow-down":
            return 10 * tens * SECOND
        assert tens < 100, "she never gets a turn"
    raise AssertionError


@STRANGER
def test_guessing_without_pause_leaves_her_the_next_turn(
    house: House, person: Person, stranger: Callable[[House, Person, int], Guess]
) -> None:
    guess = stranger(house, person, STRANGERS)
    use_up(guess)
    token = house.session(person)
    assert waits(house, sessions.find_session(house.context, token), guess, HERS) <= 2 * STEP
    assert sessions.find_session(house.context, token).stepped_up


@pytest.mark.parametrize("stranger", [one_after_another, each_time_anew], ids=lambda one: one.__name__)
def test_guessing_from_her_own_address_leaves_her_a_turn(
    house: House, person: Person, stranger: Callable[[House, Person, int], Guess]
) -> None:
    """Behind one address, turns go to the session with the fewest tries, and among those to the one that waits longest."""
    guess = stranger(house, person, HERS)
    use_up(guess)
    assert waits(house, house.here(person), guess, HERS) <= HELD + STEP


def test_mistyped_pin_costs_her_no_more_than_the_next_turn(house: House, person: Person) -> None:
    here, guess = house.here(person), one_after_another(house, person, STRANGERS)
    use_up(guess)
    waits(house, here, guess, HERS, pin="271829")
    assert waits(house, here, guess, HERS) <= 3 * STEP


def test_session_in_which_the_pin_was_right_has_a_lane(house: House, person: Person) -> None:
    """A phone of hers gets its turn although somebody guesses from the same address in ten waiting sessions."""
    hers = house.session(person)
    assert attempt(house, sessions.find_session(house.context, hers), PIN, HERS) == "right"
    hoard = [house.here(person) for _ in range(FREE_TRIES + 10)]
    for one in hoard:
        attempt(house, one, "000000", HERS)
    assert attempt(house, sessions.find_session(house.context, hers), PIN, HERS) == "slow-down"
    house.clock.move(STEP)
    assert attempt(house, hoard[-1], "000000", HERS) == "slow-down"
    assert attempt(house, sessions.find_session(house.context, hers), PIN, HERS) == "right"


def test_new_pin_takes_the_lane_from_other_sessions(house: House, person: Person) -> None:
    with house.context.database.transaction() as connection:
        digest = house.context.secrets.session_digest("by a passkey")
        subjects.add_session(connection, digest, person.subject, house.context.clock.now(), known=True)
    assert sessions.find_session(house.context, "by a passkey").known
    with house.context.database.transaction() as connection:
        subjects.end_step_ups(connection, person.subject, but=b"")
    assert not sessions.find_session(house.context, "by a passkey").known


@STRANGER
def test_guesses_stay_bounded_over_all_sessions(
    house: House, person: Person, monkeypatch: pytest.MonkeyPatch, stranger: Callable[[House, Person, int], Guess]
) -> None:
    """At most 20 and one a minute, so at most 1,460 in the first day, from however many sessions and addresses."""
    checked: list[str] = []
    monkeypatch.setattr(Secrets, "pin_fits", lambda _self, pin, _kept: checked.append(pin))
    guess, minutes = stranger(house, person, STRANGERS), 6
    use_up(guess)
    for _ in range(minutes * 6):
        house.clock.move(10 * SECOND)
        guess()
    # Whoever begins anew each time waits behind the sessions left behind, and gets fewer.
    assert FREE_TRIES <= len(checked) <= FREE_TRIES + minutes


def test_stranger_who_waits_without_guessing_holds_no_turn(house: House, person: Person) -> None:
    """A place in the rotation lapses when nobody comes for the turn."""
    guess = one_after_another(house, person, STRANGERS)
    use_up(guess)
    here = house.here(person)
    house.clock.move(STEP)
    assert attempt(house, here, "271829", HERS) == "wrong-pin"
    attempt(house, house.here(person), "000000", 3)
    house.clock.move(HELD)
    assert attempt(house, here, PIN, HERS) == "right"
