"""A secret is created once, completely, and only its owner can read it."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from errno import ENOSPC
from pathlib import Path

import pytest

from services.common.secret_files import Damaged, keep_secret, kept, secret

TIMEOUT = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "intake" / "digest.key"


def make(path: Path) -> bytes:
    return secret(path)


def test_a_secret_is_made_on_first_use_and_stays(path: Path) -> None:
    made = secret(path)
    assert len(made) == 32
    assert secret(path) == made
    assert path.read_bytes() == made


def test_secret_may_be_made_by_a_given_function(path: Path) -> None:
    assert kept(path, lambda: b"own", bytes) == b"own"
    assert kept(path, lambda: b"another", bytes) == b"own"


@pytest.mark.parametrize("content", [b"", b"a" * 16, b"a" * 33])
def test_truncated_secret_is_never_used(path: Path, content: bytes) -> None:
    keep_secret(path, content)
    with pytest.raises(Damaged, match=path.name):
        secret(path)
    assert path.read_bytes() == content


def test_existing_secret_is_kept(path: Path) -> None:
    assert keep_secret(path, b"first") == b"first"
    assert keep_secret(path, b"second") == b"first"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_can_read_a_secret(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        secret(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_no_draft_is_left_beside_a_secret(path: Path) -> None:
    secret(path)
    keep_secret(path, b"another")
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_no_draft_is_left_when_the_disk_is_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        secret(path)
    assert list(path.parent.iterdir()) == []


def test_processes_that_start_at_once_get_one_secret(path: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        assert len(set(pool.map(make, [path] * 4))) == 1


def test_callers_with_one_process_id_get_one_secret(tmp_path: Path) -> None:
    # Two containers that share a folder of keys both run as process 1; two threads stand for them here.
    for turn in range(50):
        path, together = tmp_path / f"{turn}.key", threading.Barrier(4)

        def make_together(content: bytes, path: Path = path, together: threading.Barrier = together) -> bytes:
            together.wait(TIMEOUT)
            return keep_secret(path, content)

        with ThreadPoolExecutor(4) as pool:
            got = set(pool.map(make_together, [bytes([n]) * 32 for n in range(4)]))
        assert len(got) == 1
        assert got == {path.read_bytes()}


def test_draft_left_by_a_crash_does_no_harm(path: Path) -> None:
    path.parent.mkdir(parents=True)
    (path.parent / f".{path.name}.{os.getpid()}").write_bytes(b"half")
    assert len(secret(path)) == 32
