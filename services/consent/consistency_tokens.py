"""The consistency token `Consent-Epoch`: how much of a survivor's consent an agency has seen, signed by the hub.

No decision is made on a database that is older than a presented token: one that lags, or was restored from a copy, answers
503 instead of reviving a grant that has ended. The handle in a token is pairwise, so that two agencies' tokens for one
survivor have nothing in common. Tokens are sealed and all of one length, each with a nonce of its own: from the number
inside, an agency could count acts of hers that do not concern it, and from two equal tokens tell that there was none.
"""

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag

from services.common.authenticated_encryption import seal, unseal
from services.common.encoding import base64url, from_base64url
from services.common.errors import Fault, Problem, invalid, unavailable
from services.consent.context import Context

HEADER = "Consent-Epoch"
MOST = 200
LENGTH = 88
"""Characters of a token."""
# A handle, an epoch and the version of a policy.
_INSIDE = struct.Struct(">16sQQ")
# Each token has a key of its own: a nonce that came twice among very many tokens would give a common key away.
_SALT_BYTES = 6
_FAULT = Fault(
    HEADER, "Not tokens that this hub has given out.", f"tokens as they came, up to {MOST}, with commas between"
)


@dataclass(frozen=True, slots=True)
class Known:
    """A survivor's epoch in this database, for one agency."""

    agency: str
    subject: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The epochs that an agency has seen, by pairwise handle of the survivor."""

    epochs: Mapping[bytes, int] = field(default_factory=dict)

    def is_ahead_of(self, context: Context, known: Known) -> bool:
        """Tell whether the agency has seen a newer epoch than this database has: then nothing may be decided on it."""
        return bool(self.epochs) and self.epochs.get(_handle(context, known.agency, known.subject), 0) > known.epoch


NOTHING = Seen()


def issue(context: Context, known: Known) -> str:
    """Return a token of a survivor's present epoch for one agency; each call makes another one."""
    handle, salt = _handle(context, known.agency, known.subject), os.urandom(_SALT_BYTES)
    inside = _INSIDE.pack(handle, known.epoch, int(context.policy.version))
    return base64url(salt + seal(_key(context, salt), inside, b""))


def read(context: Context, headers: Sequence[str]) -> Seen:
    """Read presented tokens; raise 400 for one that this hub did not make, 503 for one of a newer policy."""
    tokens = [token.strip() for header in headers for token in header.split(",")]
    if len(tokens) > MOST:
        raise invalid(_FAULT)
    epochs: dict[bytes, int] = {}
    for token in tokens:
        handle, epoch, version = _opened(context, token)
        if version > int(context.policy.version):
            raise catching_up()
        epochs[handle] = max(epochs.get(handle, 0), epoch)
    return Seen(epochs)


def catching_up() -> Problem:
    """Return the 503 problem for a database that has seen less than the caller presented."""
    return unavailable("The hub is catching up. Please try again in a moment.", 1)


def _opened(context: Context, token: str) -> tuple[bytes, int, int]:
    """Return handle, epoch and policy version of a token; raise 400."""
    if len(token) != LENGTH:  # decoding skips strange characters, and would take a token in many spellings
        raise invalid(_FAULT)
    try:
        sealed = from_base64url(token)
        salt = sealed[:_SALT_BYTES]
        handle, epoch, version = _INSIDE.unpack(unseal(_key(context, salt), sealed[_SALT_BYTES:], b""))
    except (ValueError, InvalidTag, struct.error) as error:
        raise invalid(_FAULT) from error
    return handle, epoch, version


def _handle(context: Context, agency: str, subject: UUID) -> bytes:
    return context.secrets.tag("epoch-handle", f"{agency}\x00{subject}")[:16]


def _key(context: Context, salt: bytes) -> bytes:
    return context.secrets.tag("epoch", salt.hex())
