"""Files that only their owner can read, and secrets in such files: created once, never half written."""

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
    """A file exists, but its content is damaged."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is damaged")
        self.path = path


class Missing(Damaged):
    """A file is missing, and must not be created now."""


_may_make: ContextVar[bool] = ContextVar("may_make", default=True)


@contextmanager
def making_none() -> Iterator[None]:
    """Create no secret within the block, since a new secret would hide the loss of the old one; raise `Missing` instead."""
    before = _may_make.set(False)
    try:
        yield
    finally:
        _may_make.reset(before)


def own_folder(folder: Path) -> None:
    """Create a folder, with its parents, that only its owner can enter; an existing folder is not changed."""
    if not folder.is_dir():
        own_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def own_file(file: Path) -> None:
    """Create an empty file that only its owner can read, unless it exists."""
    # An existing file must not even be opened: closing it again would release this process's locks on it, which are SQLite's
    # (https://sqlite.org/howtocorrupt.html, 2.2).
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def keep_secret(path: Path, content: bytes) -> bytes:
    """Write a secret unless the file exists; return the content of the file.

    If two processes or threads call this at once, exactly one wins and both get the same secret: a link to a finished file
    appears whole or not at all.
    """
    own_folder(path.parent)
    # Each caller has its own draft, readable by this user only: a draft that was linked must never be written again.
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
    """Overwrite a secret in place, then remove it, both durably; raises `FileNotFoundError`.

    A disk or file system that does not write in place may keep the old bytes: there, keys belong into a key management
    service.
    """
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Make links and unlinks in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def secret(path: Path) -> bytes:
    """Return the random bytes in a file, which is created on first use; raises `Damaged` if bytes are missing."""
    return kept(path, lambda: os.urandom(LENGTH), whole)


def kept(path: Path, make: Callable[[], bytes], read: Callable[[bytes], Read]) -> Read:
    """Return a file's content as parsed by `read`; create the file on first use. Raises `Damaged` and `Missing`."""
    try:
        return found(path, read)
    except FileNotFoundError:
        if not _may_make.get():
            raise Missing(path) from None
        keep_secret(path, make())
        return found(path, read)


def found(path: Path, read: Callable[[bytes], Read]) -> Read:
    """Return a file's content as parsed by `read`; raises `FileNotFoundError`, and `Damaged` for a `ValueError` of `read`."""
    content = path.read_bytes()
    try:
        return read(content)
    except ValueError:
        # Without its cause, whose class is stored with parked events and could tell something about the secret.
        raise Damaged(path) from None


def whole(content: bytes) -> bytes:
    """Return a secret of random bytes unchanged; raises `ValueError` if it was cut short, since it would protect less."""
    if len(content) != LENGTH:
        raise ValueError("not as long as it was made")
    return content
