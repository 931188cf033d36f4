"""The key-encryption keys, which live outside the database, and making and using the keys that they wrap.

A destroyed row is not a destroyed key, since its bytes stay in the write-ahead log and in backups. They become unreadable
when the key-encryption key that wrapped them is destroyed too (`handlers/operations/key_rotation`).
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from services.common.secret_files import LENGTH, Damaged, destroy_secret, found, keep_secret, whole


class KeyGone(Exception):
    """The key was destroyed or never existed."""


class KeyEncryptionKeys(Protocol):
    """The operations that a key management service must offer. Numbers grow; only the newest key wraps."""

    def newest(self) -> int:
        """Return the number of the key that wraps now; make the first one if there is none."""
        ...

    def numbers(self) -> Sequence[int]:
        """Return the numbers of the existing keys, oldest first."""
        ...

    def make_next(self) -> int:
        """Make a key newer than every other, which wraps from now on; it is durable when this returns."""
        ...

    def destroy(self, number: int) -> None:
        """Destroy a key for good, and with it all that it alone wrapped; a key that does not exist counts as destroyed."""
        ...

    def wrap(self, number: int, secret: bytes) -> bytes:
        """Wrap 32 bytes (RFC 3394)."""
        ...

    def unwrap(self, number: int, wrapped: bytes) -> bytes:
        """Return the wrapped bytes; raise `KeyGone` if key `number` was destroyed or does not fit."""
        ...


class KeyFiles:
    """Key-encryption keys as files that only this service may read, in a folder outside of database backups."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self) -> int:
        """Return the greatest number in the folder; the first key is number 1, also if two processes make it at once."""
        if numbers := self.numbers():
            return numbers[-1]
        keep_secret(self._folder / "1.key", os.urandom(LENGTH))
        return 1

    def numbers(self) -> Sequence[int]:
        """Return the numbers in the folder, in ascending order."""
        # An operator may have put a copy beside a key, under a name that is not a number.
        return sorted(int(path.stem) for path in self._folder.glob("*.key") if path.stem.isdecimal())

    def make_next(self) -> int:
        """Make a file with the next number and return that. Two calls at once make one key, and both return its number."""
        number = max(self.numbers(), default=0) + 1
        keep_secret(self._folder / f"{number}.key", os.urandom(LENGTH))
        return number

    def destroy(self, number: int) -> None:
        """Overwrite and remove the file, and any draft of it that a killed process left behind."""
        for path in [*self._folder.glob(f".{number}.key.*"), self._folder / f"{number}.key"]:
            with suppress(FileNotFoundError):
                destroy_secret(path)

    def wrap(self, number: int, secret: bytes) -> bytes:
        """Wrap with key `number`."""
        return aes_key_wrap(self._read(number), secret)

    def unwrap(self, number: int, wrapped: bytes) -> bytes:
        """Unwrap with key `number`; raise `KeyGone`."""
        try:
            return aes_key_unwrap(self._read(number), wrapped)
        except (InvalidUnwrap, Damaged) as error:
            raise KeyGone from error

    def _read(self, number: int) -> bytes:
        path = self._folder / f"{number}.key"
        try:
            return found(path, whole)
        except FileNotFoundError as error:
            raise KeyGone from error


def new_grant_key() -> tuple[bytes, bytes]:
    """Return a new key pair for a grant: private and public key, 32 bytes each (X25519)."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()
