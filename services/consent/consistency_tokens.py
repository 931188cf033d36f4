"""The consistency token `Consent-Epoch`: how much of a survivor's consent an agency has seen, signed by the hub.

No decision is made on a database that is older than a presented token: one that lags, or was restored from a copy, answers
503 instead of reviving a grant that has ended. The handle in a token is pairwise, so that two agencies' tokens for one
survivor have nothing in common; its numbers are plain, so that an agency can tell which of two tokens is newer.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.common.encoding import base32
from services.common.errors import Fault, Problem, invalid, unavailable
from services.consent.context import Context

HEADER = "Consent-Epoch"
MOST = 200
_FORM = re.compile(r"([a-z2-7]{26})\.([0-9]{1,15})\.([0-9]{1,6})\.([a-z2-7]{52})")
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

    epochs: Mapping[str, int] = field(default_factory=dict)

    def is_ahead_of(self, context: Context, known: Known) -> bool:
        """Tell whether the agency has seen a newer epoch than this database has: then nothing may be decided on it."""
        return bool(self.epochs) and self.epochs.get(_handle(context, known.agency, known.subject), 0) > known.epoch


NOTHING = Seen()


def issue(context: Context, known: Known) -> str:
    """Return the token of a survivor's present epoch for one agency."""
    signed = f"{_handle(context, known.agency, known.subject)}.{known.epoch}.{context.policy.version}"
    return f"{signed}.{_mac(context, signed)}"


def read(context: Context, headers: Sequence[str]) -> Seen:
    """Read presented tokens; raise 400 for one that this hub did not sign, 503 for one of a newer policy."""
    tokens = [token.strip() for header in headers for token in header.split(",")]
    if len(tokens) > MOST:
        raise invalid(_FAULT)
    epochs: dict[str, int] = {}
    for token in tokens:
        found = _FORM.fullmatch(token)
        if found is None or not hmac.compare_digest(found[4], _mac(context, token.rpartition(".")[0])):
            raise invalid(_FAULT)
        if int(found[3]) > int(context.policy.version):
            raise catching_up()
        epochs[found[1]] = max(epochs.get(found[1], 0), int(found[2]))
    return Seen(epochs)


def catching_up() -> Problem:
    """Return the 503 problem for a database that has seen less than the caller presented."""
    return unavailable("The hub is catching up. Please try again in a moment.", 1)


def _handle(context: Context, agency: str, subject: UUID) -> str:
    return base32(context.secrets.tag("epoch-handle", f"{agency}\x00{subject}")[:16])


def _mac(context: Context, signed: str) -> str:
    return base32(context.secrets.tag("epoch", signed))
