"""What she knows by heart or on paper: words, PIN and codes; how they are made, spelled and kept.

Each is kept as a digest that is worth nothing without the pepper, a secret outside the database. Passphrase and PIN go
through Argon2id (RFC 9106) as well; codes are random enough without.
"""

import hmac
import re
import secrets
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from mnemonic import Mnemonic

from services.common.encoding import base32, random_name

WORDS = 8
"""Of 2,048 words each: 77 bits, and a last word that follows from the others."""
CODE_CHARACTERS = 12
"""Of 32 each: 60 bits, for codes that are used once or can only take away."""
PIN_DIGITS = 6
WORD_LISTS = {"en": "english", "fr": "french"}
# RFC 9106, section 4, second recommended option: 64 MiB, 3 passes; one lane, since requests share two cores.
_PASSES, _LANES, _KIBIBYTES = 3, 1, 64 * 1024
# At most two at a time: each takes 64 MiB, and a crowd of guesses must not take the machine.
_turn = threading.Semaphore(2)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Makes and recognises secrets, with the hub's pepper (32 bytes)."""

    pepper: bytes

    def code_digest(self, kind: str, code: str) -> bytes:
        """The digest of a claim, revoke or link code, however it was typed."""
        return self._keyed(kind, re.sub(r"[^a-z2-7]", "", _plain(code)))

    def session_digest(self, token: str) -> bytes:
        """The digest of a session's token."""
        return self._keyed("session", token)

    def passphrase_digest(self, passphrase: str) -> bytes:
        """The digest by which a survivor is found from her words alone, in any case, spacing and accent."""
        words = " ".join(_plain(passphrase).split())
        with _turn:
            slow = _argon2id(self._keyed("passphrase-salt", "")[:16])
            return self._keyed("passphrase", base32(slow.derive(words.encode())))

    def pin_hash(self, pin: str) -> str:
        """A PIN as it is kept, with a salt of its own."""
        with _turn:
            slow = _argon2id(secrets.token_bytes(16))
            return str(slow.derive_phc_encoded(self._keyed("pin", pin)))

    def pin_fits(self, pin: str, kept: str) -> bool:
        """Whether this is the PIN that was kept."""
        with _turn:
            try:
                Argon2id.verify_phc_encoded(self._keyed("pin", pin), kept)
            except InvalidKey:
                return False
            return True

    def new_passphrase(self, language: str) -> str:
        """Words that are shown once. The last follows from the others and the pepper: see `could_be_words`."""
        words = _passphrase(WORD_LISTS.get(language, "english"))
        chosen = [secrets.choice(words) for _ in range(WORDS - 1)]
        return " ".join([*chosen, words[self._last(chosen)]])

    def could_be_passphrase(self, typed: str) -> bool:
        """Whether these words could be anybody's, at no cost: a guess almost never gets as far as the slow hash.

        Otherwise whoever sends guesses by the thousand would keep everybody waiting.
        """
        *first, last = _plain(typed).split() or [""]
        number = self._last(first)
        return last in {_plain(_passphrase(name)[number]) for name in WORD_LISTS.values()}

    def tag(self, kind: str, text: str) -> bytes:
        """What only this hub can compute of a text that is no secret."""
        return self._keyed(f"tag/{kind}", text)

    def _last(self, words: Sequence[str]) -> int:
        return int.from_bytes(self.tag("words", " ".join(map(_plain, words)))[:2], "big") % 2048

    def _keyed(self, kind: str, text: str) -> bytes:
        return hmac.digest(self.pepper, f"{kind}\x00{text}".encode(), "sha256")


@cache
def _passphrase(name: str) -> Sequence[str]:
    return tuple(Mnemonic(name).wordlist)


def new_code() -> str:
    """A code for paper, in groups of four."""
    code = random_name(CODE_CHARACTERS)
    return "-".join(code[start : start + 4] for start in range(0, CODE_CHARACTERS, 4))


def new_pin() -> str:
    """Six digits."""
    return "".join(secrets.choice("0123456789") for _ in range(PIN_DIGITS))


def is_pin(text: str) -> bool:
    """Whether this could be a PIN: six digits."""
    return re.fullmatch(rf"[0-9]{{{PIN_DIGITS}}}", text) is not None


def new_session_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def _argon2id(salt: bytes) -> Argon2id:
    return Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_KIBIBYTES)


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).lower()
    return "".join(character for character in decomposed if not unicodedata.combining(character))
