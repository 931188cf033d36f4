"""Test replacing a passphrase: the old one stops working and other sessions end at once, and only with her PIN."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from services.common.errors import Problem
from services.consent.handlers.accounts import credentials, sessions
from services.consent.handlers.accounts.sessions import Claimed
from services.consent.handlers.grants import grants
from services.consent.handlers.rights import erasure
from services.consent.models import session, subject
from tests.consent.accounts.test_sessions import PIN, refused
from tests.support.consent import House, Person, during, without_ledger

pytestmark = pytest.mark.usefixtures("quick_secrets")


def claimed(house: House, language: str = "en") -> tuple[Person, Claimed]:
    """Claim an account and give the PIN; return the survivor and what the claim returned."""
    person = house.person(language=language)
    made = sessions.claim(house.context, person.claim_code, PIN)
    sessions.step_up(house.context, sessions.find_session(house.context, made.session), PIN)
    return person, made


def replace_passphrase(house: House, token: str) -> str:
    """Replace her passphrase in the session of this token; return the new one."""
    return credentials.new_passphrase(house.context, sessions.find_session(house.context, token))


def test_new_passphrase_opens_and_old_one_is_refused_as_wrong(house: House) -> None:
    """The old passphrase gets exactly the answer of one that never existed."""
    person, before = claimed(house)
    passphrase = replace_passphrase(house, before.session)

    assert sessions.find_session(house.context, sessions.come_in(house.context, passphrase)).subject == person.subject
    told = refused(lambda: sessions.come_in(house.context, before.passphrase))
    wrong = refused(lambda: sessions.come_in(house.context, "eight words that nobody was ever given here"))
    assert told.as_json() == wrong.as_json()
    old, never = (
        house.my("POST", "/session", body={"passphrase": phrase})
        for phrase in (before.passphrase, house.context.secrets.new_passphrase("en"))
    )
    assert (old.status_code, old.content) == (never.status_code, never.content) == (401, old.content)


def test_new_passphrase_ends_every_other_session(house: House) -> None:
    """The session in which it was replaced goes on, still stepped up."""
    person, here = claimed(house)
    elsewhere, other = house.session(person, stepped_up=True), house.session(house.person())
    replace_passphrase(house, here.session)

    assert sessions.find_session(house.context, here.session).stepped_up
    refused(lambda: sessions.find_session(house.context, elsewhere))
    assert len(house.rows(session, session.c.subject_id == person.subject)) == 1
    sessions.find_session(house.context, other)


def test_new_passphrase_without_pin_is_refused(house: House) -> None:
    person = house.person()
    before = sessions.claim(house.context, person.claim_code, PIN)
    kept = house.rows(subject, subject.c.id == person.subject)
    for token, status in ((before.session, 403), ("no-such-token", 401), (None, 401)):
        for pin in ("", "000000"):
            assert house.my("POST", "/words", token, {"pin": pin}).status_code == status

    assert house.rows(subject, subject.c.id == person.subject) == kept
    sessions.come_in(house.context, before.passphrase)
    assert "words.replaced" not in house.kinds(person)


def test_new_passphrase_is_recorded_but_never_stored(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    person, before = claimed(house, "fr")
    made = house.my("POST", "/words", before.session, {"pin": PIN})
    passphrase = made.json()["passphrase"]

    assert made.status_code == 201
    assert house.context.secrets.could_be_passphrase(passphrase)
    assert {len(passphrase.split()), len(before.passphrase.split())} == {8}
    assert house.kinds(person) == ["registered", "claimed", "words.replaced"]
    kept = repr(house.rows(subject, subject.c.id == person.subject)) + repr(house.ledger(person)) + caplog.text
    kept += repr(house.rows(session, session.c.subject_id == person.subject))
    for phrase in (passphrase, before.passphrase):
        assert phrase not in kept
        assert not [word for word in phrase.split() if f"'{word}'" in kept]


def test_new_passphrase_without_ledger_entry_changes_nothing(own_house: House) -> None:
    """If the ledger entry cannot be written, the old passphrase and all sessions stay valid."""
    person, before = claimed(own_house)
    elsewhere = own_house.session(person)
    with without_ledger(own_house), pytest.raises(Exception, match="ledger_entry"):
        replace_passphrase(own_house, before.session)

    sessions.come_in(own_house.context, before.passphrase)
    sessions.find_session(own_house.context, elsewhere)


@pytest.mark.parametrize("sessions_used", ["one session", "two sessions"])
def test_concurrent_new_passphrases_leave_exactly_one_valid(house: House, sessions_used: str) -> None:
    person, first = claimed(house)
    second = first.session if sessions_used == "one session" else house.session(person, stepped_up=True)
    ready = threading.Barrier(2)

    def at_once(token: str) -> str | Problem:
        here = sessions.find_session(house.context, token)
        ready.wait()
        try:
            return credentials.new_passphrase(house.context, here)
        except Problem as problem:
            return problem

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(at_once, [first.session, second]))
    # The second may have started late enough to see the result of the first; then both succeed and its passphrase counts.
    passphrases = [answer for answer in told if isinstance(answer, str)]
    kept = house.rows(subject, subject.c.id == person.subject)[0].passphrase_digest

    assert [house.context.secrets.passphrase_digest(phrase) for phrase in passphrases].count(kept) == 1
    assert {answer.code for answer in told if isinstance(answer, Problem)} <= {"done-twice", "not-let-in"}
    assert house.kinds(person).count("words.replaced") == len(passphrases)
    refused(lambda: sessions.come_in(house.context, first.passphrase))


@pytest.mark.parametrize("meanwhile", ["another passphrase", "another session replaces it", "she leaves", "she erases"])
def test_new_passphrase_fails_if_state_changed_while_hashing(
    house: House, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """A change that commits during the slow hash wins, and the late passphrase is refused."""
    person, before = claimed(house)
    here, elsewhere = before.session, house.session(person, stepped_up=True)
    made = list[str]()
    acts: dict[str, Callable[[], object]] = {
        "another passphrase": lambda: made.append(replace_passphrase(house, here)),
        "another session replaces it": lambda: made.append(replace_passphrase(house, elsewhere)),
        "she leaves": lambda: sessions.leave(house.context, sessions.find_session(house.context, here)),
        "she erases": lambda: erasure.erase(house.context, person.subject),
    }

    present = sessions.find_session(house.context, here)
    during(monkeypatch, "passphrase_digest", acts[meanwhile])
    with pytest.raises(Problem) as problem:
        credentials.new_passphrase(house.context, present)

    assert problem.value.code == ("done-twice" if meanwhile == "another passphrase" else "not-let-in")
    kept = house.rows(subject, subject.c.id == person.subject)[0].passphrase_digest
    good = {"she leaves": before.passphrase, "she erases": None}.get(meanwhile, made[0] if made else None)
    assert kept == (good and house.context.secrets.passphrase_digest(good))


def test_old_passphrase_in_check_during_change_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    person, before = claimed(house)
    during(monkeypatch, "passphrase_digest", partial(replace_passphrase, house, before.session))
    refused(lambda: sessions.come_in(house.context, before.passphrase))
    assert len(house.rows(session, session.c.subject_id == person.subject)) == 1


def test_revoke_card_works_after_a_thief_replaced_passphrase(house: House) -> None:
    """Somebody who learnt passphrase and PIN cannot void the revoke card, nor claim the account again by the slip."""
    agency = house.agency()
    person = house.person(agency)
    before = sessions.claim(house.context, person.claim_code, PIN)
    grant = house.allow(person, agency)
    envelope = house.envelope(grant)
    sessions.step_up(house.context, sessions.find_session(house.context, before.session), PIN)
    replace_passphrase(house, before.session)

    refused(lambda: sessions.claim(house.context, person.claim_code, None))
    card = sessions.subject_of_card(house.context, person.revoke_code)
    assert grants.revoke_all(house.context, card) == 1
    assert house.open(agency, envelope).status_code == 404
