"""Her secrets: passphrase, PIN and codes; how they are made, spelled and kept.

Each is kept as a digest, which is worth nothing without the pepper, a secret outside the database. Passphrase and PIN also
go through Argon2id (RFC 9106); codes are random enough without it.
"""

import hmac
import re
import secrets
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from mnemonic import Mnemonic

from services.common.encoding import base32, random_name

WORDS = 8
"""Words of a passphrase, each of 2,048: 77 bits, and a last word that follows from the others."""
CODE_CHARACTERS = 12
"""Characters of a code, each of 32: 60 bits, for codes that work once or can only take away."""
PIN_DIGITS = 6
WORD_LISTS = {"en": "english", "fr": "french"}
# RFC 9106, section 4, second recommended option: 64 MiB, 3 passes; one lane, since requests share two cores.
SLOW = {"iterations": 3, "memory_cost": 64 * 1024}
# At most two at a time: each takes 64 MiB, and many guesses at once must not exhaust the memory.
_slow_hashes = threading.Semaphore(2)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Makes and checks secrets with the hub's pepper (32 bytes)."""

    pepper: bytes

    def code_digest(self, kind: str, code: str) -> bytes:
        """Return the digest of a claim, revoke or link code, in any spelling of case, spaces and dashes."""
        return self._keyed(kind, re.sub(r"[^a-z2-7]", "", _plain(code)))

    def session_digest(self, token: str) -> bytes:
        """Return the digest of a session's token."""
        return self._keyed("session", token)

    def passphrase_digest(self, passphrase: str) -> bytes:
        """Return the digest that finds a survivor by her passphrase alone, in any case, spacing and accents."""
        spelled = " ".join(_plain(passphrase).split())
        with _slow_hashes:
            slow = _argon2id(self._keyed("passphrase-salt", "")[:16])
            return self._keyed("passphrase", base32(slow.derive(spelled.encode())))

    def pin_hash(self, pin: str) -> str:
        """Return a PIN's hash for storage, with a salt of its own (PHC string)."""
        with _slow_hashes:
            slow = _argon2id(secrets.token_bytes(16))
            return str(slow.derive_phc_encoded(self._keyed("pin", pin)))

    def pin_fits(self, pin: str, kept: str) -> bool:
        """Tell whether a PIN fits a stored hash."""
        with _slow_hashes:
            try:
                Argon2id.verify_phc_encoded(self._keyed("pin", pin), kept)
            except InvalidKey:
                return False
            return True

    def new_passphrase(self, language: str) -> str:
        """Return a new passphrase; its last word follows from the others and the pepper (see `could_be_passphrase`)."""
        known = _word_list(WORD_LISTS.get(language, "english"))
        chosen = [secrets.choice(known) for _ in range(WORDS - 1)]
        return " ".join([*chosen, known[self._last(chosen)]])

    def could_be_passphrase(self, typed: str) -> bool:
        """Tell whether the last word fits the others; it costs nothing, and almost no guess passes.

        Otherwise thousands of guesses would each take a slow hash, and everybody would wait.
        """
        *first, last = _plain(typed).split() or [""]
        number = self._last(first)
        return last in {_plain(_word_list(name)[number]) for name in WORD_LISTS.values()}

    def tag(self, kind: str, text: str) -> bytes:
        """Return a keyed hash of a text that need not be secret; only this hub can compute it."""
        return self._keyed(f"tag/{kind}", text)

    def erased_grant(self, grant: UUID) -> str:
        """Return the digest under which the hub remembers a grant of an erased survivor."""
        return base32(self.tag("erased-grant", str(grant)))

    def _last(self, first: Sequence[str]) -> int:
        return int.from_bytes(self.tag("words", " ".join(map(_plain, first)))[:2], "big") % 2048

    def _keyed(self, kind: str, text: str) -> bytes:
        return hmac.digest(self.pepper, f"{kind}\x00{text}".encode(), "sha256")


@cache
def _word_list(name: str) -> Sequence[str]:
    return tuple(Mnemonic(name).wordlist)


def new_code() -> str:
    """Return a new code for paper, in groups of four characters."""
    code = random_name(CODE_CHARACTERS)
    return "-".join(code[start : start + 4] for start in range(0, CODE_CHARACTERS, 4))


def new_pin() -> str:
    """Return a new PIN of six random digits."""
    return "".join(secrets.choice("0123456789") for _ in range(PIN_DIGITS))


def is_pin(text: str) -> bool:
    """Tell whether a text has the form of a PIN: six digits."""
    return re.fullmatch(rf"[0-9]{{{PIN_DIGITS}}}", text) is not None


def new_session_token() -> str:
    """Return a new session token of 256 random bits."""
    return secrets.token_urlsafe(32)


def _argon2id(salt: bytes) -> Argon2id:
    return Argon2id(salt=salt, length=32, lanes=1, iterations=SLOW["iterations"], memory_cost=SLOW["memory_cost"])


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).lower()
    return "".join(character for character in decomposed if not unicodedata.combining(character))
