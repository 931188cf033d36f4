"""Files for their owner only; and secrets as files: made once, never half written."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from tempfile import mkstemp
from typing import TypeVar

LENGTH = 32
Read = TypeVar("Read")


class Damaged(ValueError):
    """A file that is there, but does not hold what was written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is damaged")
        self.path = path


class Missing(Damaged):
    """A file that is not there, and must not be made now."""


_may_make: ContextVar[bool] = ContextVar("may_make", default=True)


@contextmanager
def making_none() -> Iterator[None]:
    """In this block no secret is made: a new one in place of one that was lost would hide that; raises `Missing`."""
    before = _may_make.set(False)
    try:
        yield
    finally:
        _may_make.reset(before)


def own_folder(folder: Path) -> None:
    """Make a folder that nobody but its owner can enter, and so those on the way to it; one that is there stays as it is."""
    if not folder.is_dir():
        own_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def own_file(file: Path) -> None:
    """Make an empty file that nobody but its owner can read, unless it is there."""
    # One that is there must not even be opened: to close it again would take from this process its locks on it, which are
    # SQLite's (https://sqlite.org/howtocorrupt.html, 2.2).
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def keep_secret(path: Path, content: bytes) -> bytes:
    """Write a secret unless there is one already; return the one that is there afterwards.

    Of two processes or threads that come at once exactly one wins, and both get the same secret: a link to a finished
    file either appears whole or not at all.
    """
    own_folder(path.parent)
    # A draft of its own for each caller, readable by this user only: one that is linked must never be written again.
    descriptor, draft = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
    _settle(path.parent)
    return path.read_bytes()


def destroy_secret(path: Path) -> None:
    """Overwrite a secret where it lies, then remove it, both durably; raises `FileNotFoundError`.

    A disk or file system that writes elsewhere than where it was told to may keep the old bytes: there, keys belong into a
    key management service.
    """
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Make what was linked and unlinked in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def secret(path: Path) -> bytes:
    """The random bytes in a file, made on first use; raises `Damaged` when they are no longer all there."""
    return kept(path, lambda: os.urandom(LENGTH), whole)


def kept(path: Path, make: Callable[[], bytes], read: Callable[[bytes], Read]) -> Read:
    """What `read` makes of a file, which is made on first use; raises `Damaged` when it can make nothing of it."""
    try:
        return found(path, read)
    except FileNotFoundError:
        if not _may_make.get():
            raise Missing(path) from None
        keep_secret(path, make())
        return found(path, read)


def found(path: Path, read: Callable[[bytes], Read]) -> Read:
    """What `read` makes of a file; raises `FileNotFoundError`, and `Damaged` where `read` raises a `ValueError`."""
    content = path.read_bytes()
    try:
        return read(content)
    except ValueError:
        # Without what raised it, which is named where events wait for a person, and could tell of the secret.
        raise Damaged(path) from None


def whole(content: bytes) -> bytes:
    """A secret of random bytes; raises `ValueError` when it was cut short: an empty one would protect nothing."""
    if len(content) != LENGTH:
        raise ValueError("not as long as it was made")
    return content
