"""Key rotation keeps live keys, makes destroyed keys unrecoverable, and survives a kill at any step."""

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


def test_rotation_keeps_live_keys_and_ends_destroyed_ones(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    kept, ended = house.allow(person, agency), house.allow(person, agency, "contact")
    copies = house.rows(grant_key)  # as a backup would keep them
    grants.revoke_grant(house.context, person.subject, ended)

    done = rotate(house.context)
    assert (done.number, done.rewrapped, done.destroyed) == (2, 2, (1,))
    assert house.open(agency, house.envelope(kept)).status_code == 200
    assert [entry.kind for entry in house.ledger(person)][:2] == ["registered", "grant.given"]
    for copy in copies:
        for number in (copy.key_encryption_key, *house.context.keys.numbers()):
            with pytest.raises(KeyGone):
                house.context.keys.unwrap(number, copy.wrapped)
    assert [row.wrapped for row in house.rows(grant_key, grant_key.c.grant_id == ended)] == [None]
    assert [(row.number, bool(row.destroyed_at)) for row in house.rows(key_encryption_key)] == [(2, False)]


def test_rewrapping_covers_live_keys_and_is_in_ledger(own_house: House) -> None:
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


def test_rotation_works_in_batches_and_reports_progress(own_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house, agency = own_house, own_house.agency()
    monkeypatch.setattr(key_rotation, "BATCH", 4)
    for _ in range(5):
        house.allow(house.person(agency), agency)
    before, told = secrets(house), list[tuple[int, int]]()

    rotate(house.context, lambda done, of: told.append((done, of)))
    assert told == [(4, 10), (5, 10), (9, 10), (10, 10)]
    assert secrets(house) == before


def test_rotation_is_due_after_erasure_a_day_or_interruption(own_house: House) -> None:
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


class StartedRotation(KeyFiles):
    """Key files of a rotation that has made its new key already."""

    def make_next(self) -> int:
        return self.newest()


def test_erasure_during_rotation_makes_another_due(own_house: House) -> None:
    """A key of the survivor may be wrapped by the new key, which the current rotation keeps."""
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    house.context.keys.make_next()
    house.allow(person, agency)
    copy = house.rows(grant_key)[0]
    erasure.erase(house.context, person.subject)
    rotate(replaced(house, StartedRotation(house.service.settings.keys_folder / "consent" / "key-encryption")))
    assert house.context.keys.numbers() == [2] == [copy.key_encryption_key]

    assert rotated(house) == 3
    for number in (2, 3):
        with pytest.raises(KeyGone):
            house.context.keys.unwrap(number, copy.wrapped)


def test_unopenable_live_key_stops_rotation_before_destruction(own_house: House) -> None:
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


def test_key_wrapped_by_missing_key_stops_rotation(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    name = house.allow(house.person(agency), agency)
    with house.context.database.transaction() as connection:
        connection.execute(update(grant_key).where(grant_key.c.grant_id == name).values(key_encryption_key=9))

    with pytest.raises(KeyLost):
        rotate(house.context)
    assert 1 in house.context.keys.numbers()


class FaultyKeys(KeyFiles):
    """Key files whose new key wraps other bytes than the secret."""

    def wrap(self, number: int, secret: bytes) -> bytes:
        return super().wrap(number, bytes(32) if number > 1 else secret)


def test_faulty_new_key_stops_rotation(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    name = house.allow(house.person(agency), agency)
    faulty = FaultyKeys(house.service.settings.keys_folder / "consent" / "key-encryption")
    before = secrets(house)

    with pytest.raises(KeyLost):
        rotate(replaced(house, faulty))
    assert secrets(house) == before
    assert house.open(agency, house.envelope(name)).status_code == 200


def test_wrapping_during_rotation_loses_no_live_key(own_house: House) -> None:
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


def test_concurrent_rotations_lose_no_key(own_house: House) -> None:
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


def test_uncommitted_wrapping_holds_rotation_up(own_house: House) -> None:
    """The rotation waits for an act that has chosen its key and not yet committed."""
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
def test_stalled_act_blocks_rotation_only(own_house: House) -> None:
    """Its process may be frozen. The rotation must give up, or every grant and erasure would wait behind it."""
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


# In this order: make the new key, rewrap two tables, destroy the old key, record it.
STEPS = (
    *("sync-file-1", "link", "unlink-draft", "sync-folder-1"),
    *("commit-1", "commit-2", "commit-3", "commit-4", "commit-5"),
    *("sync-file-2", "unlink", "sync-folder-2", "commit-6"),
)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_rotation_killed_at_any_step_is_finished_by_next(own_house: House, step: str) -> None:
    house, agency = own_house, own_house.agency()
    name = house.allow(house.person(agency), agency)
    gone = house.allow(house.person(agency), agency)
    copy = house.rows(grant_key, grant_key.c.grant_id == gone)[0]
    grants.revoke_all(house.context, copy.subject_id)
    before = secrets(house)

    command = [sys.executable, "-m", "tests.support.crash_in_rotation", step]
    ended = subprocess.run(command, env=environment(house.service.settings), check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL, "it never came to this step"
    assert secrets(house) == before
    assert house.open(agency, house.envelope(name)).status_code == 200

    rotate_if_due(house.context)
    for _ in range(2):  # The first may use the number of a leftover draft, which the second removes.
        rotate(house.context)
    assert secrets(house) == before
    folder = house.service.settings.keys_folder / "consent" / "key-encryption"
    newest = house.context.keys.newest()
    assert [path.name for path in folder.iterdir()] == [f"{newest}.key"], "not even a draft is left"
    with pytest.raises(KeyGone):
        KeyFiles(folder).unwrap(newest, copy.wrapped)


def test_destroyed_key_is_overwritten_in_place(tmp_path: Path) -> None:
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


def test_revocation_works_without_key_files(own_house: House) -> None:
    """Revoking must never need a key."""
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    name = house.allow(person, agency)
    for path in (house.service.settings.keys_folder / "consent" / "key-encryption").iterdir():
        path.unlink()
    grants.revoke_grant(house.context, person.subject, name)

    assert house.kinds(person) == ["registered", "grant.given", "grant.ended", "key.destroyed"]
    assert {entry.agency for entry in house.ledger(person)} == {None}


def rotate_then(house: House, done: Event) -> None:
    rotate(house.context)
    done.set()


def rotated(house: House) -> int:
    done = rotate_if_due(house.context)
    assert done is not None
    return done.number


def settled_rotation(house: House) -> Any:
    """Rotate; return None if a concurrent rotation made this one fail."""
    try:
        return rotate(house.context)
    except KeyLost:
        return None


def replaced(house: House, keys: KeyFiles) -> Any:
    return replace(house.context, keys=keys)


def secrets(house: House) -> dict[str, dict[UUID, bytes]]:
    """Return every live key, unwrapped, by table and id."""
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
