"""Keys: the key-encryption key that lives outside the database, and the grants' private keys wrapped by it.

A destroyed row is not a destroyed key, since its bytes stay in the write-ahead log and in backups: what makes them
unreadable is that the key-encryption key they were wrapped with is destroyed too (handlers/rotation).
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from services.common.secret_files import LENGTH, Damaged, destroy_secret, found, keep_secret, whole

_NONCE_BYTES = 12


class KeyGone(Exception):
    """The key was destroyed, or never was."""


class KeyEncryptionKeys(Protocol):
    """What a key management service must offer. Numbers grow; only the newest wraps."""

    def newest(self) -> int:
        """The number of the key that wraps now; makes the first one if there is none."""
        ...

    def numbers(self) -> Sequence[int]:
        """The keys that are there, the oldest first."""
        ...

    def make_next(self) -> int:
        """Make a key newer than every other, which from now on wraps; it is durable when this returns."""
        ...

    def destroy(self, number: int) -> None:
        """Destroy a key for good, and with it all that it alone wrapped; one that is not there is destroyed already."""
        ...

    def wrap(self, number: int, secret: bytes) -> bytes:
        """Wrap 32 bytes (RFC 3394)."""
        ...

    def unwrap(self, number: int, wrapped: bytes) -> bytes:
        """The wrapped bytes; raises `KeyGone` when key `number` was destroyed or does not fit."""
        ...


class KeyFiles:
    """Key-encryption keys as files that only this service may read, in a folder that no backup of the database holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self) -> int:
        """The greatest number in the folder; the first key is number 1, whoever makes it."""
        if numbers := self.numbers():
            return numbers[-1]
        keep_secret(self._folder / "1.key", os.urandom(LENGTH))
        return 1

    def numbers(self) -> Sequence[int]:
        """The numbers in the folder."""
        # Somebody may have laid a copy beside a key, under a name that is no number.
        return sorted(int(path.stem) for path in self._folder.glob("*.key") if path.stem.isdecimal())

    def make_next(self) -> int:
        """A file with the next number. Two that come at once make one key, and both get its number."""
        number = max(self.numbers(), default=0) + 1
        keep_secret(self._folder / f"{number}.key", os.urandom(LENGTH))
        return number

    def destroy(self, number: int) -> None:
        """Overwrite the file, then remove it, and any draft of it that a killed process left behind."""
        for path in [*self._folder.glob(f".{number}.key.*"), self._folder / f"{number}.key"]:
            with suppress(FileNotFoundError):
                destroy_secret(path)

    def wrap(self, number: int, secret: bytes) -> bytes:
        """Wrap with key `number`."""
        return aes_key_wrap(self._read(number), secret)

    def unwrap(self, number: int, wrapped: bytes) -> bytes:
        """Unwrap with key `number`."""
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


def seal(secret: bytes, content: bytes, bound_to: bytes) -> bytes:
    """Encrypt `content` with a 32-byte key (AES-GCM) and return nonce and ciphertext; it opens with `bound_to` only."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(secret).encrypt(nonce, content, bound_to)


def unseal(secret: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """Return what `seal` encrypted; raise `InvalidTag` if key, content or `bound_to` is another."""
    if len(sealed) < _NONCE_BYTES:
        raise InvalidTag
    return AESGCM(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)


def new_grant_key() -> tuple[bytes, bytes]:
    """A grant's key pair: the private and the public key, 32 bytes each (X25519)."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()
