"""Test survivor sessions: opened by claim code or passphrase, stepped up by PIN, ended by idling, age and leaving."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts import sessions
from services.consent.handlers.accounts.sessions import IDLE_TIME, PIN_TRIES, Claimed
from services.consent.handlers.grants import grants
from services.consent.models import session, subject
from services.consent.store import subjects
from tests.support.consent import Agency, House, Person, during

pytestmark = pytest.mark.usefixtures("quick_secrets")

PIN = "271828"


def test_claimed_account_opens_with_its_passphrase(house: House) -> None:
    person = house.person()
    claimed = sessions.claim(house.context, person.claim_code.upper().replace("-", " "), PIN)

    assert sessions.find_session(house.context, claimed.session).subject == person.subject
    assert claimed.pin == PIN
    again = sessions.come_in(house.context, f"  {claimed.passphrase.upper()} ")
    assert sessions.find_session(house.context, again).subject == person.subject
    assert again != claimed.session
    assert house.kinds(person) == ["registered", "claimed"]


def test_second_claim_voids_the_secrets_of_the_first(house: House) -> None:
    """The first answer may be lost on the network, so the code works again; it must not lock her out."""
    person = house.person()
    lost = sessions.claim(house.context, person.claim_code, None)
    house.clock.move(timedelta(minutes=59))
    held = sessions.claim(house.context, person.claim_code, None)

    refused(lambda: sessions.find_session(house.context, lost.session))
    refused(lambda: sessions.come_in(house.context, lost.passphrase))
    sessions.find_session(house.context, held.session)
    sessions.come_in(house.context, held.passphrase)
    assert house.kinds(person) == ["registered", "claimed", "claimed"], "her ledger shows that it was claimed twice"


@pytest.mark.parametrize("use", ["her passphrase", "her PIN"])
def test_claim_code_is_refused_once_passphrase_or_pin_was_used(house: House, use: str) -> None:
    """The slip is worthless to anybody who finds it later."""
    person = house.person()
    claimed = sessions.claim(house.context, person.claim_code, None)
    if use == "her passphrase":
        sessions.come_in(house.context, claimed.passphrase)
    else:
        sessions.step_up(house.context, sessions.find_session(house.context, claimed.session), claimed.pin)

    refused(lambda: sessions.claim(house.context, person.claim_code, None))
    sessions.find_session(house.context, claimed.session)
    sessions.come_in(house.context, claimed.passphrase)
    row = house.rows(subject, subject.c.id == person.subject)[0]
    assert (row.claim_digest, row.claim_until) == (None, None)


def test_claim_code_still_works_after_wrong_pin_and_passphrase(house: House) -> None:
    person = house.person()
    claimed = sessions.claim(house.context, person.claim_code, PIN)
    wrong_pin(house, claimed.session)
    refused(lambda: sessions.come_in(house.context, "eight words that nobody was ever given here"))

    sessions.claim(house.context, person.claim_code, None)


def test_claim_code_expires_an_hour_after_the_first_claim(house: House) -> None:
    """Later claims do not extend the hour."""
    person = house.person()
    sessions.claim(house.context, person.claim_code, None)
    house.clock.move(timedelta(minutes=40))
    last = sessions.claim(house.context, person.claim_code, None)
    house.clock.move(timedelta(minutes=20))

    refused(lambda: sessions.claim(house.context, person.claim_code, None))
    sessions.come_in(house.context, last.passphrase)


def test_pin_voided_by_a_new_claim_during_its_check_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step-up of the old session confirms nothing, so the new claim stays open."""
    person = house.person()
    claimed = sessions.claim(house.context, person.claim_code, PIN)
    here = sessions.find_session(house.context, claimed.session)
    during(monkeypatch, "pin_fits", lambda: sessions.claim(house.context, person.claim_code, PIN))
    refused(lambda: sessions.step_up(house.context, here, PIN))
    assert house.rows(subject, subject.c.id == person.subject)[0].claim_digest is not None, "the new claim is open"


def test_claimed_secrets_are_not_stored_in_clear(house: House) -> None:
    person = house.person(language="fr")
    claimed = sessions.claim(house.context, person.claim_code, None)

    kept = repr(house.rows(subject, subject.c.id == person.subject))
    kept += repr(house.rows(session, session.c.subject_id == person.subject)) + repr(house.ledger(person))
    for word in (*claimed.passphrase.split(), claimed.pin, claimed.session, person.claim_code, person.revoke_code):
        assert word not in kept


def test_concurrent_claims_leave_one_working_passphrase(house: House) -> None:
    """That passphrase belongs to the session that is left."""
    person, ready = house.person(), threading.Barrier(4)

    def claim() -> Claimed:
        ready.wait()
        return sessions.claim(house.context, person.claim_code, None)

    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(claim) for _ in range(4)]]
    [kept] = house.rows(session, session.c.subject_id == person.subject)
    for one in results:
        if house.context.secrets.session_digest(one.session) == kept.digest:
            sessions.come_in(house.context, one.passphrase)
        else:
            refused(lambda one=one: sessions.come_in(house.context, one.passphrase))  # type: ignore[misc]
    refused(lambda: sessions.claim(house.context, person.claim_code, None))
    assert house.kinds(person) == ["registered", *["claimed"] * 4]


def test_claim_code_expires_after_thirty_days(house: House) -> None:
    on_time, too_late = house.person(), house.person()
    house.clock.move(timedelta(days=30) - timedelta(seconds=1))
    sessions.claim(house.context, on_time.claim_code, None)
    house.clock.move(timedelta(seconds=1))

    refused(lambda: sessions.claim(house.context, too_late.claim_code, None))


@pytest.mark.parametrize("pin", ["12345", "1234567", "abcdef", ""])
def test_claim_with_malformed_pin_keeps_the_claim_code(house: House, pin: str) -> None:
    person = house.person()
    with pytest.raises(Problem) as problem:
        sessions.claim(house.context, person.claim_code, pin)

    assert (problem.value.status, problem.value.faults[0].member) == (400, "/pin")
    assert house.rows(subject, subject.c.id == person.subject)[0].claim_digest is not None


def test_wrong_passphrase_code_and_token_get_one_answer(house: House) -> None:
    person = house.person()
    told = [
        refused(lambda: sessions.come_in(house.context, "eight words that nobody was ever given here")),
        refused(lambda: sessions.claim(house.context, "aaaa-bbbb-cccc", None)),
        refused(lambda: sessions.claim(house.context, person.revoke_code, None)),
        refused(lambda: sessions.subject_of_card(house.context, person.claim_code)),
        refused(lambda: sessions.find_session(house.context, "no-such-token")),
        refused(lambda: sessions.find_session(house.context, None)),
    ]

    assert all(problem.as_json() == told[0].as_json() for problem in told)


def test_session_ends_after_ten_idle_minutes(house: House) -> None:
    person = house.person()
    token = house.session(person)
    for _ in range(3):
        house.clock.move(IDLE_TIME - timedelta(seconds=1))
        sessions.find_session(house.context, token)
    house.clock.move(IDLE_TIME)

    refused(lambda: sessions.find_session(house.context, token))
    sessions.forget_stale(house.context)
    sessions.forget_stale(house.context)
    house.clock.move(timedelta(seconds=1))
    sessions.forget_stale(house.context)
    assert house.rows(session, session.c.subject_id == person.subject) == []


def test_session_ends_after_twelve_hours_even_if_in_use(house: House) -> None:
    person, step, longest = house.person(), IDLE_TIME - timedelta(seconds=1), timedelta(hours=12)
    token = house.session(person)
    for _ in range(longest // step):
        house.clock.move(step)
        sessions.find_session(house.context, token)
    house.clock.move(longest % step - timedelta(seconds=1))
    sessions.forget_stale(house.context)
    sessions.find_session(house.context, token)
    house.clock.move(timedelta(seconds=1))

    told = refused(lambda: sessions.find_session(house.context, token))
    assert told.as_json() == refused(lambda: sessions.find_session(house.context, "no-such-token")).as_json()
    house.clock.move(timedelta(seconds=1))
    sessions.forget_stale(house.context)
    assert house.rows(session, session.c.subject_id == person.subject) == []


def test_leaving_ends_this_session_and_no_other(house: House) -> None:
    person = house.person()
    here, elsewhere = house.session(person), house.session(person)
    sessions.leave(house.context, sessions.find_session(house.context, here))

    refused(lambda: sessions.find_session(house.context, here))
    sessions.find_session(house.context, elsewhere)


def test_right_pin_steps_up_this_session_for_five_minutes(house: House) -> None:
    _, token = claimed(house)
    other = house.session(house.person())
    assert not sessions.find_session(house.context, token).stepped_up
    sessions.step_up(house.context, sessions.find_session(house.context, token), PIN)

    house.clock.move(timedelta(minutes=5) - timedelta(seconds=1))
    assert sessions.find_session(house.context, token).stepped_up
    assert not sessions.find_session(house.context, other).stepped_up
    house.clock.move(timedelta(seconds=1))
    assert not sessions.find_session(house.context, token).stepped_up


def test_five_wrong_pins_since_the_last_right_one_end_session(house: House) -> None:
    """A right PIN resets the count."""
    person, token = claimed(house)
    here = sessions.find_session(house.context, token)
    for _ in range(PIN_TRIES - 1):
        assert wrong_pin(house, token).code == "wrong-pin"
    sessions.step_up(house.context, here, PIN)
    for _ in range(PIN_TRIES):
        assert wrong_pin(house, token).status == 403

    refused(lambda: sessions.find_session(house.context, token))
    refused(lambda: sessions.step_up(house.context, here, PIN))
    assert house.rows(session, session.c.subject_id == person.subject) == []


def test_concurrent_wrong_pins_end_the_session(house: House) -> None:
    person, token = claimed(house)
    here, ready = sessions.find_session(house.context, token), threading.Barrier(10)

    def guess() -> Problem:
        ready.wait()
        with pytest.raises(Problem) as problem:
            sessions.step_up(house.context, here, "000000")
        return problem.value

    with ThreadPoolExecutor(10) as pool:
        told = [future.result() for future in [pool.submit(guess) for _ in range(10)]]
    assert {problem.status for problem in told} <= {401, 403}
    refused(lambda: sessions.step_up(house.context, here, PIN))
    assert house.rows(session, session.c.subject_id == person.subject) == []


def test_right_pin_is_refused_while_five_guesses_are_in_check(house: House) -> None:
    """Tries are counted before they are checked, so concurrent guesses cannot exceed the limit."""
    _, token = claimed(house)
    here = sessions.find_session(house.context, token)
    with house.context.database.transaction() as connection:
        for _ in range(PIN_TRIES):
            subjects.count_pin_try(connection, here.digest)

    with pytest.raises(Problem, match="403"):
        sessions.step_up(house.context, here, PIN)
    refused(lambda: sessions.find_session(house.context, token))


def test_revoke_card_ends_all_grants_and_opens_no_session(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    grant = house.allow(person, agency)
    envelope = house.envelope(grant)
    answer = house.http.post(f"{house.url}/my/v1/revoke-card", json={"revoke_code": person.revoke_code.upper()})

    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    assert house.open(agency, envelope).status_code == 404
    assert house.rows(session, session.c.subject_id == person.subject) == []
    again = house.http.post(f"{house.url}/my/v1/revoke-card", json={"revoke_code": person.revoke_code})
    assert (again.status_code, again.content) == (204, b""), (
        "the answer must not tell whether there was something to end"
    )


def test_revoke_card_reveals_nothing(house: House) -> None:
    """Invariant 32: the answer to the revoke card is equal for many grants, none, a pause and a claimed account."""
    agency = house.agency()
    people = {name: house.person(agency) for name in ("nothing", "much", "paused", "claimed", "twice")}
    for _ in range(2):
        house.allow(people["much"], agency, "health", "summary")
        house.allow(people["twice"], agency)
    grants.pause(house.context, people["paused"].subject)
    claimed = sessions.claim(house.context, people["claimed"].claim_code, None)
    grants.revoke_all(house.context, people["twice"].subject)

    answers = []
    for person in people.values():
        answer = house.http.post(f"{house.url}/my/v1/revoke-card", json={"revoke_code": person.revoke_code})
        headers = {name: value for name, value in answer.headers.items() if name != "date"}
        answers.append((answer.status_code, headers, answer.content))
    assert answers == [answers[0]] * len(people)
    assert (answers[0][0], answers[0][2]) == (204, b"")
    sessions.come_in(house.context, claimed.passphrase)
    card = {"cookie": f"s={people['much'].revoke_code}"}
    assert house.http.get(f"{house.url}/my/v1/grants", headers=card).status_code == 401


def test_revoke_code_as_passphrase_or_claim_code_returns_401(house: House) -> None:
    person = house.person()
    for body in ({"passphrase": person.revoke_code}, {"claim_code": person.revoke_code}):
        assert house.my("POST", "/session", body=body).status_code == 401


def test_session_of_an_erased_survivor_is_refused(house: House) -> None:
    person = house.person()
    late = house.session(person)
    with house.context.database.reading() as connection:
        kept = dict(connection.execute(session.select().where(session.c.subject_id == person.subject)).one()._mapping)
    house.give_pin(person)
    assert house.my("DELETE", "", house.session(person), {"pin": PIN}).status_code == 204
    # As if a login with her passphrase had committed at the moment of the erasure.
    with house.context.database.transaction() as connection:
        connection.execute(session.insert(), kept)

    refused(lambda: sessions.find_session(house.context, late))


def test_ppid_differs_per_agency_and_stays_when_relinked(house: House) -> None:
    """Linking again returns the same ppid."""
    first, second = house.agency(), house.agency()
    person = house.person(first)
    house.give_pin(person)
    token = house.session(person)
    names = [_linked(house, agency, token) for agency in (second, second, first)]

    assert names[0] == names[1] != person.ppid
    assert names[2] == person.ppid
    assert len({house.person(first).ppid for _ in range(20)}) == 20


def test_revoke_card_of_unclaimed_account_revokes_all(house: House) -> None:
    """A survivor who never claimed her account can still revoke everything with her card."""
    agency = house.agency()
    person = house.person(agency)
    house.allow(person, agency)

    assert sessions.subject_of_card(house.context, person.revoke_code) == person.subject
    assert grants.revoke_all(house.context, person.subject) == 1


def claimed(house: House) -> tuple[Person, str]:
    """Set the PIN of a survivor to `PIN` and open a session; no passphrase, since those are slow to make."""
    person = house.person()
    with house.context.database.transaction() as connection:
        values = {"pin_hash": house.context.secrets.pin_hash(PIN)}
        connection.execute(subject.update().where(subject.c.id == person.subject).values(**values))
    return person, house.session(person)


def wrong_pin(house: House, token: str) -> Problem:
    with pytest.raises(Problem) as problem:
        sessions.step_up(house.context, sessions.find_session(house.context, token), "000000")
    return problem.value


def refused(act: Callable[[], object]) -> Problem:
    """Return the problem with which an act is refused; it must be the one 401 for every wrong secret."""
    with pytest.raises(Problem) as problem:
        act()
    assert (problem.value.status, problem.value.code) == (401, "not-let-in")
    return problem.value


def _linked(house: House, agency: Agency, token: str) -> str:
    code = house.my("POST", "/link-codes", token, {"pin": PIN}).json()["link_code"]
    answer = house.call(agency, "/consent/v1/links", {"link_code": code})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ppid"])
