"""Rotation: what was destroyed before is dead after it, what lives goes on living, and no kill comes at a bad moment."""

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import update

from services.consent.handlers.grants import grants
from services.consent.handlers.operations import key_rotation
from services.consent.handlers.operations.key_rotation import KeyLost, StillWrapping, rotate, rotate_if_due
from services.consent.handlers.rights import erasure
from services.consent.key_encryption import KeyFiles, KeyGone
from services.consent.ledger import entries as ledger
from services.consent.models import audit_key, grant, grant_key, key_encryption_key, ledger_entry
from services.consent.store import keys as store
from tests.support.consent import House
from tests.support.hubs import environment


def test_after_a_rotation_what_lives_opens_and_what_was_destroyed_never_will(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    kept, ended = house.allow(person, agency), house.allow(person, agency, "contact")
    copies = house.rows(grant_key)  # as a backup has them
    grants.revoke_grant(house.context, person.subject, ended)

    done = rotate(house.context)
    assert (done.number, done.rewrapped, done.destroyed) == (2, 2, (1,))
    assert house.open(agency, house.envelope(kept)).status_code == 200
    assert [line.kind for line in house.ledger(person)][:2] == ["registered", "grant.given"]
    for copy in copies:
        for number in (copy.key_encryption_key, *house.context.keys.numbers()):
            with pytest.raises(KeyGone):
                house.context.keys.unwrap(number, copy.wrapped)
    assert [row.wrapped for row in house.rows(grant_key, grant_key.c.grant_id == ended)] == [None]
    assert [(row.number, bool(row.destroyed_at)) for row in house.rows(key_encryption_key)] == [(2, False)]


def test_rewrapping_preserves_live_keys_only_and_says_so_in_the_ledger(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    for _ in range(3):
        person = house.person(agency)
        for category in ("summary", "contact"):
            house.allow(person, agency, category)
        grants.revoke_all(house.context, person.subject, only_to=None)
        house.allow(person, agency, "housing")
    before = secrets(house)
    for number in (2, 3):
        assert rotate(house.context).rewrapped == 6

        assert secrets(house) == before
        live = [row for table in store.LIVE for row in house.rows(table) if row.wrapped]
        assert {row.key_encryption_key for row in live} == {number}
        assert house.rows(ledger_entry)[-1].kind == "keys.rotated"
    assert house.context.keys.numbers() == [3]


def test_rotation_goes_by_batches_and_tells_how_far_it_is(own_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house, agency = own_house, own_house.agency()
    monkeypatch.setattr(key_rotation, "BATCH", 4)
    for _ in range(5):
        house.allow(house.person(agency), agency)
    before, told = secrets(house), list[tuple[int, int]]()

    rotate(house.context, lambda done, of: told.append((done, of)))
    assert told == [(4, 10), (5, 10), (9, 10), (10, 10)]
    assert secrets(house) == before


def test_it_is_due_after_an_erasure_after_a_day_and_after_a_rotation_that_was_cut_short(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person, other = house.person(agency), house.person(agency)
    house.allow(person, agency)
    assert rotate_if_due(house.context) is None

    erasure.erase(house.context, person.subject)
    assert rotated(house) == 2
    assert rotate_if_due(house.context) is None
    house.clock.move(timedelta(hours=22, minutes=50))
    assert rotate_if_due(house.context) is None
    house.clock.move(timedelta(minutes=10))
    assert rotated(house) == 3
    assert rotate_if_due(house.context) is None

    house.context.keys.make_next()
    assert rotated(house) == 5
    assert house.context.keys.numbers() == [5]
    assert house.ledger(other)
    assert rotate_if_due(house.context) is None


class UnderWay(KeyFiles):
    """Keys of a rotation that has made its new key already."""

    def make_next(self) -> int:
        return self.newest()


def test_it_is_due_for_whoever_is_erased_while_one_is_under_way(own_house: House) -> None:
    """A key of hers may be wrapped with the new key already, which that rotation leaves."""
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    house.context.keys.make_next()
    house.allow(person, agency)
    copy = house.rows(grant_key)[0]
    erasure.erase(house.context, person.subject)
    rotate(replaced(house, UnderWay(house.service.settings.keys_folder / "consent" / "key-encryption")))
    assert house.context.keys.numbers() == [2] == [copy.key_encryption_key]

    assert rotated(house) == 3
    for number in (2, 3):
        with pytest.raises(KeyGone):
            house.context.keys.unwrap(number, copy.wrapped)


def test_a_live_key_that_cannot_be_opened_stops_it_before_anything_is_destroyed(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    names = [house.allow(house.person(agency), agency) for _ in range(3)]
    damaged = {"wrapped": bytes(40)}
    with house.context.database.transaction() as connection:
        connection.execute(update(grant_key).where(grant_key.c.grant_id == names[1]).values(damaged))

    with pytest.raises(KeyLost):
        rotate(house.context)
    assert house.context.keys.numbers() == [1, 2]
    assert house.open(agency, house.envelope(names[0])).status_code == 200
    assert house.open(agency, house.envelope(names[2])).status_code == 200


def test_a_key_wrapped_elsewhere_with_a_key_that_is_not_here_stops_it(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    name = house.allow(house.person(agency), agency)
    with house.context.database.transaction() as connection:
        connection.execute(update(grant_key).where(grant_key.c.grant_id == name).values(key_encryption_key=9))

    with pytest.raises(KeyLost):
        rotate(house.context)
    assert 1 in house.context.keys.numbers()


class Lying(KeyFiles):
    """Keys that wrap what they will not open."""

    def wrap(self, number: int, secret: bytes) -> bytes:
        return super().wrap(number, bytes(32) if number > 1 else secret)


def test_a_new_key_that_does_not_give_back_what_it_wrapped_stops_it(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    name = house.allow(house.person(agency), agency)
    lying = Lying(house.service.settings.keys_folder / "consent" / "key-encryption")
    before = secrets(house)

    with pytest.raises(KeyLost):
        rotate(replaced(house, lying))
    assert secrets(house) == before
    assert house.open(agency, house.envelope(name)).status_code == 200


def test_wrapping_goes_on_while_keys_rotate_and_no_live_key_is_lost(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    people = [house.person(agency) for _ in range(4)]
    ready, stop = Event(), Event()

    def live(number: int) -> None:
        person = people[number]
        while not stop.is_set():
            name = house.allow(person, agency)
            ready.set()
            assert house.open(agency, house.envelope(name)).status_code == 200
            if len(house.rows(grant_key, grant_key.c.subject_id == person.subject)) % 3:
                grants.revoke_grant(house.context, person.subject, name)

    with ThreadPoolExecutor(4) as pool:
        lives = [pool.submit(live, number) for number in range(4)]
        ready.wait(20)
        try:
            rounds = [rotate(house.context) for _ in range(6)]
        finally:
            stop.set()
        for each in lives:
            each.result(30)
    assert [done.number for done in rounds] == [2, 3, 4, 5, 6, 7]
    assert house.context.keys.numbers() == [7]
    fits = {row.id: row.public_key for row in house.rows(grant)}
    for name, secret in secrets(house)["grant_key"].items():
        assert X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw() == fits[name]
    for person in people:
        assert len(house.ledger(person)) > 4


def test_several_rotations_at_once_lose_nothing(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    for _ in range(6):
        house.allow(house.person(agency), agency)
    before = secrets(house)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(settled_rotation, house) for _ in range(3)]:
            done.result(60)
    rotate(house.context)
    assert secrets(house) == before
    assert len(house.context.keys.numbers()) == 1


def test_nothing_is_wrapped_with_a_key_that_is_about_to_go(own_house: House) -> None:
    """An act that has chosen its key and not yet committed holds the rotation up."""
    house = own_house
    person = house.person()
    done = Event()
    with house.context.database.transaction() as connection:
        assert store.newest_for(connection, house.context.keys) == 1
        rotating = Thread(target=rotate_then, args=(house, done))
        rotating.start()
        assert not done.wait(0.7)
        assert 1 in house.context.keys.numbers()
        ledger.append(connection, [ledger.Entry("sample", house.context.clock.new_id())], house.clock.now())
    assert done.wait(20)
    rotating.join()

    assert house.context.keys.numbers() == [2]
    assert len(secrets(house)["audit_key"]) == 2
    assert house.ledger(person)


@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_an_act_that_stands_still_holds_up_a_rotation_and_nobody_else(own_house: House) -> None:
    """Its process may be frozen in the middle of it. Every yes, and every erasing, would wait behind the rotation."""
    house, agency = own_house, own_house.agency()
    keys = house.context.keys
    with house.context.database.transaction() as standing, ThreadPoolExecutor(2) as threads:
        store.newest_for(standing, keys)
        rotating = threads.submit(rotate, house.context)
        others = threads.submit(lambda: [house.person(agency) for _ in range(20)])
        try:
            assert len(others.result(20)) == 20
            with pytest.raises(StillWrapping):
                rotating.result(20)
            assert keys.numbers() == [1], "each try would leave a key"
        finally:
            standing.rollback()

    assert rotate(house.context).number == 2


# In the order in which they come: the new key, wrapping anew in two tables, the old key's end, and writing it down.
STEPS = (
    *("sync-file-1", "link", "unlink-draft", "sync-folder-1"),
    *("commit-1", "commit-2", "commit-3", "commit-4", "commit-5"),
    *("sync-file-2", "unlink", "sync-folder-2", "commit-6"),
)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_loses_no_live_key_and_the_next_one_finishes(own_house: House, step: str) -> None:
    house, agency = own_house, own_house.agency()
    name = house.allow(house.person(agency), agency)
    gone = house.allow(house.person(agency), agency)
    copy = house.rows(grant_key, grant_key.c.grant_id == gone)[0]
    grants.revoke_all(house.context, copy.subject_id)
    before = secrets(house)

    command = [sys.executable, "-m", "tests.support.rotating", step]
    ended = subprocess.run(command, env=environment(house.service.settings), check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL, "it never came to this step"
    assert secrets(house) == before
    assert house.open(agency, house.envelope(name)).status_code == 200

    rotate_if_due(house.context)
    for _ in range(2):  # The first may take up the number for which a draft was left, which the second removes.
        rotate(house.context)
    assert secrets(house) == before
    folder = house.service.settings.keys_folder / "consent" / "key-encryption"
    newest = house.context.keys.newest()
    assert [path.name for path in folder.iterdir()] == [f"{newest}.key"], "not even a draft is left"
    with pytest.raises(KeyGone):
        KeyFiles(folder).unwrap(newest, copy.wrapped)


def test_a_destroyed_key_is_overwritten_where_it_lay(tmp_path: Path) -> None:
    keys = KeyFiles(tmp_path)
    keys.newest()
    secret = (tmp_path / "1.key").read_bytes()
    (tmp_path / "same-inode").hardlink_to(tmp_path / "1.key")
    (tmp_path / ".1.key.draft").write_bytes(secret)
    keys.make_next()
    keys.destroy(1)
    keys.destroy(1)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.key", "same-inode"]
    assert len((tmp_path / "same-inode").read_bytes()) == 32
    assert (tmp_path / "same-inode").read_bytes() != secret


def test_everybody_is_still_heard_when_the_key_files_are_gone(own_house: House) -> None:
    """Taking away must never need a key."""
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    name = house.allow(person, agency)
    for path in (house.service.settings.keys_folder / "consent" / "key-encryption").iterdir():
        path.unlink()
    grants.revoke_grant(house.context, person.subject, name)

    assert house.kinds(person) == ["registered", "grant.given", "grant.ended", "key.destroyed"]
    assert {line.agency for line in house.ledger(person)} == {None}


def rotate_then(house: House, done: Event) -> None:
    rotate(house.context)
    done.set()


def rotated(house: House) -> int:
    done = rotate_if_due(house.context)
    assert done is not None
    return done.number


def settled_rotation(house: House) -> Any:
    """A rotation that another one may have overtaken."""
    try:
        return rotate(house.context)
    except KeyLost:
        return None


def replaced(house: House, keys: KeyFiles) -> Any:
    return replace(house.context, keys=keys)


def secrets(house: House) -> dict[str, dict[UUID, bytes]]:
    """Every live key, opened."""
    found: dict[str, Callable[[Any], UUID]] = {
        "grant_key": lambda row: row.grant_id,
        "audit_key": lambda row: row.subject_id,
    }
    return {
        table.name: {
            found[table.name](row): house.context.keys.unwrap(row.key_encryption_key, row.wrapped)
            for row in house.rows(table)
            if row.wrapped
        }
        for table in (grant_key, audit_key)
    }
