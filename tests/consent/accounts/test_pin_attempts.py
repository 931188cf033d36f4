"""Test PIN attempts: guesses are slowed down over all sessions, while reading, revoking and login go on as before."""

from datetime import timedelta

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts import pin_attempts, sessions
from services.consent.handlers.accounts.pin_attempts import FREE_TRIES, HELD
from services.consent.handlers.accounts.sessions import Session
from services.consent.handlers.grants import grants
from tests.support.consent import House, Person

pytestmark = pytest.mark.usefixtures("quick_secrets")

PIN = "271828"


@pytest.fixture
def claimed(house: House) -> Person:
    person = house.person()
    sessions.claim(house.context, person.claim_code, PIN)
    return person


def guess(house: House, person: Person, pin: str = "000000") -> str:
    """Try a PIN in a new session; return the problem code, or "right"."""
    here: Session = house.here(person)
    try:
        pin_attempts.step_up(house.context, here, pin)
    except Problem as problem:
        return problem.code
    return "right"


def test_many_wrong_pins_allow_one_try_a_minute_in_all_sessions(house: House, claimed: Person) -> None:
    assert {guess(house, claimed) for _ in range(FREE_TRIES)} == {"wrong-pin"}
    assert guess(house, claimed) == "slow-down"
    assert guess(house, claimed, PIN) == "slow-down", (
        "during the wait, the right PIN gets the same answer as a wrong one"
    )

    house.clock.move(HELD)
    assert guess(house, claimed) == "wrong-pin"
    assert guess(house, claimed) == "slow-down"


def test_right_pin_works_soon_after_any_number_of_guesses(house: House, claimed: Person) -> None:
    """The sessions that guessed from her own address have two minutes to come for their turns; then she is next."""
    for _ in range(FREE_TRIES + 200):
        guess(house, claimed)
    house.clock.move(HELD)

    assert guess(house, claimed, PIN) == "right"
    assert guess(house, claimed) == "wrong-pin", "the right PIN reset the count"


def test_reading_pausing_and_revoking_are_never_slowed_down(house: House, claimed: Person) -> None:
    grant = house.allow(claimed, house.agency())
    for _ in range(FREE_TRIES + 1):
        guess(house, claimed)

    token = house.session(claimed)
    assert house.my("GET", "/grants", token).status_code == 200
    assert house.my("POST", "/pause", token).status_code == 204
    grants.revoke_grant(house.context, claimed.subject, grant)


def test_wrong_pins_do_not_slow_another_survivor(house: House, claimed: Person) -> None:
    for _ in range(FREE_TRIES + 1):
        guess(house, claimed)
    other = house.person()
    sessions.claim(house.context, other.claim_code, PIN)

    assert guess(house, other, PIN) == "right"


def test_json_step_up_after_many_wrong_pins_returns_429(house: House, claimed: Person) -> None:
    for _ in range(FREE_TRIES):
        guess(house, claimed)
    token = house.session(claimed)
    answer = house.my("POST", "/session/step-up", token, {"pin": PIN})

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    house.clock.move(timedelta(minutes=1))
    assert house.my("POST", "/session/step-up", token, {"pin": PIN}).status_code == 204
