"""Test key files: a grant's key cannot be used without the key that wraps it, and that key can be destroyed."""

import os
import stat
from pathlib import Path
from threading import Barrier, Thread

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from services.common.secret_files import Damaged
from services.consent.key_encryption import KeyFiles, KeyGone, new_grant_key

SECRET = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "key-encryption"


def test_first_key_is_made_on_demand_and_kept(folder: Path) -> None:
    assert KeyFiles(folder).newest() == 1
    before = (folder / "1.key").read_bytes()

    assert KeyFiles(folder).newest() == 1
    assert (folder / "1.key").read_bytes() == before
    assert len(before) == 32


def test_stray_copy_of_a_key_file_is_ignored(folder: Path) -> None:
    keys = KeyFiles(folder)
    keys.newest()
    (folder / "1-before.key").write_bytes((folder / "1.key").read_bytes())

    assert (keys.newest(), keys.numbers(), keys.make_next()) == (1, [1], 2)


def test_key_files_are_readable_by_their_owner_only(folder: Path) -> None:
    KeyFiles(folder).newest()

    assert stat.S_IMODE((folder / "1.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["1.key"]


def test_concurrent_starts_agree_on_the_first_key(folder: Path) -> None:
    ready, wrapped = Barrier(8), list[bytes]()

    def start() -> None:
        keys = KeyFiles(folder)
        ready.wait()
        wrapped.append(keys.wrap(keys.newest(), SECRET))

    threads = [Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [KeyFiles(folder).unwrap(1, each) for each in wrapped] == [SECRET] * 8


def test_newest_key_wraps_and_older_keys_still_unwrap(folder: Path) -> None:
    keys = KeyFiles(folder)
    old = keys.wrap(keys.newest(), SECRET)
    for number in (2, 10):
        (folder / f"{number}.key").write_bytes(os.urandom(32))

    assert keys.newest() == 10
    assert keys.unwrap(10, keys.wrap(10, SECRET)) == SECRET
    assert keys.unwrap(1, old) == SECRET


def test_wrapped_bytes_do_not_contain_the_secret(folder: Path) -> None:
    keys = KeyFiles(folder)
    assert SECRET[:8] not in keys.wrap(keys.newest(), SECRET)


def test_unwrapping_with_another_key_raises_key_gone(folder: Path, tmp_path: Path) -> None:
    keys, other = KeyFiles(folder), KeyFiles(tmp_path / "other")
    wrapped = keys.wrap(keys.newest(), SECRET)
    other.newest()

    with pytest.raises(KeyGone):
        other.unwrap(1, wrapped)


@pytest.mark.parametrize("left", [0, 16, 31])
def test_truncated_key_file_neither_unwraps_nor_wraps(folder: Path, left: int) -> None:
    keys = KeyFiles(folder)
    wrapped = keys.wrap(keys.newest(), SECRET)
    (folder / "1.key").write_bytes((folder / "1.key").read_bytes()[:left])

    with pytest.raises(KeyGone):
        keys.unwrap(1, wrapped)
    with pytest.raises(Damaged):
        keys.wrap(1, SECRET)


@pytest.mark.parametrize("damage", [bytes(40), b"", b"short"])
def test_altered_wrapped_bytes_raise_key_gone(folder: Path, damage: bytes) -> None:
    keys = KeyFiles(folder)
    wrapped = keys.wrap(keys.newest(), SECRET)

    with pytest.raises(KeyGone):
        keys.unwrap(1, damage)
    for place in (0, 20, 39):
        with pytest.raises(KeyGone):
            keys.unwrap(1, wrapped[:place] + bytes([wrapped[place] ^ 1]) + wrapped[place + 1 :])


def test_bytes_wrapped_by_a_destroyed_key_raise_key_gone(folder: Path) -> None:
    """A new key that gets the same number opens nothing old either."""
    keys = KeyFiles(folder)
    wrapped = keys.wrap(keys.newest(), SECRET)
    (folder / "1.key").unlink()

    with pytest.raises(KeyGone):
        keys.unwrap(1, wrapped)
    assert keys.newest() == 1  # made anew under the same number
    with pytest.raises(KeyGone):
        keys.unwrap(1, wrapped)


def test_each_grant_gets_its_own_key_pair() -> None:
    pairs = [new_grant_key() for _ in range(50)]

    assert len({private for private, _ in pairs}) == 50
    for private, public in pairs:
        assert X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw() == public
