"""New words in place of hers: the old ones are worth nothing and other visits are over, at once and only with her PIN."""

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


def claimed(house: House, language: str = "en") -> tuple[Person, Claimed]:
    """Somebody who is in with words and has given her PIN."""
    person = house.person(language=language)
    made = sessions.claim(house.context, person.claim_code, PIN)
    sessions.step_up(house.context, sessions.find_session(house.context, made.session), PIN)
    return person, made


def make(house: House, token: str) -> str:
    """New words, by a visit."""
    return credentials.new_passphrase(house.context, sessions.find_session(house.context, token))


def test_new_words_let_her_in_and_the_old_ones_are_like_any_wrong_ones(house: House) -> None:
    person, before = claimed(house)
    words = make(house, before.session)

    assert sessions.find_session(house.context, sessions.come_in(house.context, words)).subject == person.subject
    told = refused(lambda: sessions.come_in(house.context, before.passphrase))
    wrong = refused(lambda: sessions.come_in(house.context, "eight words that nobody was ever given here"))
    assert told.as_json() == wrong.as_json()
    old, never = (
        house.my("POST", "/session", body={"passphrase": phrase})
        for phrase in (before.passphrase, house.context.secrets.new_passphrase("en"))
    )
    assert (old.status_code, old.content) == (never.status_code, never.content) == (401, old.content)


def test_every_other_visit_has_ended_and_this_one_goes_on(house: House) -> None:
    person, here = claimed(house)
    elsewhere, other = house.session(person, stepped_up=True), house.session(house.person())
    make(house, here.session)

    assert sessions.find_session(house.context, here.session).stepped_up
    refused(lambda: sessions.find_session(house.context, elsewhere))
    assert len(house.rows(session, session.c.subject_id == person.subject)) == 1
    sessions.find_session(house.context, other)


def test_without_her_pin_nothing_changes(house: House) -> None:
    person = house.person()
    before = sessions.claim(house.context, person.claim_code, PIN)
    kept = house.rows(subject, subject.c.id == person.subject)
    for token, status in ((before.session, 403), ("no-such-token", 401), (None, 401)):
        assert house.my("POST", "/words", token).status_code == status

    assert house.rows(subject, subject.c.id == person.subject) == kept
    sessions.come_in(house.context, before.passphrase)
    assert "words.replaced" not in house.kinds(person)


def test_her_ledger_says_so_and_the_words_are_kept_nowhere(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    person, before = claimed(house, "fr")
    made = house.my("POST", "/words", before.session)
    words = made.json()["passphrase"]

    assert made.status_code == 201
    assert house.context.secrets.could_be_passphrase(words)
    assert {len(words.split()), len(before.passphrase.split())} == {8}
    assert house.kinds(person) == ["registered", "claimed", "words.replaced"]
    kept = repr(house.rows(subject, subject.c.id == person.subject)) + repr(house.ledger(person)) + caplog.text
    kept += repr(house.rows(session, session.c.subject_id == person.subject))
    for phrase in (words, before.passphrase):
        assert phrase not in kept
        assert not [word for word in phrase.split() if f"'{word}'" in kept]


def test_without_its_line_no_words_are_changed_and_nobody_is_shown_out(own_house: House) -> None:
    person, before = claimed(own_house)
    elsewhere = own_house.session(person)
    with without_ledger(own_house), pytest.raises(Exception, match="ledger_entry"):
        make(own_house, before.session)

    sessions.come_in(own_house.context, before.passphrase)
    sessions.find_session(own_house.context, elsewhere)


@pytest.mark.parametrize("visits", ["of one visit", "of two visits"])
def test_two_at_once_leave_exactly_one_pair_of_words_that_works(house: House, visits: str) -> None:
    person, first = claimed(house)
    second = first.session if visits == "of one visit" else house.session(person, stepped_up=True)
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
    # Where one came late it saw what the other had left, and its words are the newer ones.
    words = [answer for answer in told if isinstance(answer, str)]
    kept = house.rows(subject, subject.c.id == person.subject)[0].passphrase_digest

    assert [house.context.secrets.passphrase_digest(phrase) for phrase in words].count(kept) == 1
    assert {answer.code for answer in told if isinstance(answer, Problem)} <= {"done-twice", "not-let-in"}
    assert house.kinds(person).count("words.replaced") == len(words)
    refused(lambda: sessions.come_in(house.context, first.passphrase))


@pytest.mark.parametrize("meanwhile", ["other words", "a visit elsewhere makes words", "she leaves", "she erases"])
def test_what_happens_while_words_are_made_leaves_no_words_that_should_not_work(
    house: House, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    person, before = claimed(house)
    here, elsewhere = before.session, house.session(person, stepped_up=True)
    made = list[str]()
    acts: dict[str, Callable[[], object]] = {
        "other words": lambda: made.append(make(house, here)),
        "a visit elsewhere makes words": lambda: made.append(make(house, elsewhere)),
        "she leaves": lambda: sessions.leave(house.context, sessions.find_session(house.context, here)),
        "she erases": lambda: erasure.erase(house.context, person.subject),
    }

    present = sessions.find_session(house.context, here)
    during(monkeypatch, "passphrase_digest", acts[meanwhile])
    with pytest.raises(Problem) as problem:
        credentials.new_passphrase(house.context, present)

    assert problem.value.code == ("done-twice" if meanwhile == "other words" else "not-let-in")
    kept = house.rows(subject, subject.c.id == person.subject)[0].passphrase_digest
    good = {"she leaves": before.passphrase, "she erases": None}.get(meanwhile, made[0] if made else None)
    assert kept == (good and house.context.secrets.passphrase_digest(good))


def test_old_words_that_were_still_being_checked_open_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    person, before = claimed(house)
    during(monkeypatch, "passphrase_digest", partial(make, house, before.session))
    refused(lambda: sessions.come_in(house.context, before.passphrase))
    assert len(house.rows(session, session.c.subject_id == person.subject)) == 1


def test_who_learnt_words_and_pin_and_changed_them_cannot_take_her_card_or_bring_her_slip_back(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    before = sessions.claim(house.context, person.claim_code, PIN)
    grant = house.allow(person, agency)
    envelope = house.envelope(grant)
    sessions.step_up(house.context, sessions.find_session(house.context, before.session), PIN)
    make(house, before.session)

    refused(lambda: sessions.claim(house.context, person.claim_code, None))
    card = sessions.subject_of_card(house.context, person.revoke_code)
    assert grants.revoke_all(house.context, card) == 1
    assert house.open(agency, envelope).status_code == 404
