"""The consistency token `Consent-Epoch`: how much of a survivor's consent an agency has seen, signed by the hub.

A decision is never made below a token that is presented: a database that lags, or was brought back from a copy, answers 503
instead of reviving what has ended. The handle in it is pairwise, so that two agencies' tokens for one survivor have
nothing in common; the numbers are plain, so that an agency can tell which of two is newer.
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
    """What this database knows of a survivor towards an agency."""

    agency: str
    subject: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What an agency has seen, by the handles of survivors; and the newest policy it has seen a decision by."""

    epochs: Mapping[str, int] = field(default_factory=dict)

    def is_ahead_of(self, context: Context, known: Known) -> bool:
        """Whether to decide on this would go back behind what the agency has seen."""
        return bool(self.epochs) and self.epochs.get(_handle(context, known.agency, known.subject), 0) > known.epoch


NOTHING = Seen()


def issue(context: Context, known: Known) -> str:
    """The token for one survivor's present epoch, for one agency."""
    signed = f"{_handle(context, known.agency, known.subject)}.{known.epoch}.{context.policy.version}"
    return f"{signed}.{_mac(context, signed)}"


def read(context: Context, headers: Sequence[str]) -> Seen:
    """What the presented tokens say; raises a 400 problem for one that is not ours, 503 for one of a newer policy."""
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
    """The answer while this database has seen less than was presented."""
    return unavailable("The hub is catching up. Please try again in a moment.", 1)


def _handle(context: Context, agency: str, subject: UUID) -> str:
    return base32(context.secrets.tag("epoch-handle", f"{agency}\x00{subject}")[:16])


def _mac(context: Context, signed: str) -> str:
    return base32(context.secrets.tag("epoch", signed))
