"""Repeats: which entries say again what an agency's earlier entry says, and how often that was (docs/adr/0033).

The first act of a run is an entry like any other. A repeat within a day is counted on it, in the transaction of the act, and
becomes an entry of its own only when the count reaches a power of ten, or when the day is over and a new run begins.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from services.common.encoding import base64url, canonical

INTENDED = "opening.intended"
MEMBERS: Mapping[str, Sequence[str]] = {
    INTENDED: ("grant", "referral", "categories"),
    "opening.delivered": ("grant", "referral"),
    "opening.indeterminate": ("grant", "referral"),
    "opening.refused": ("grant", "foreign", "rules"),
    "nothing.to.end": (),
    "notice.attested": ("notice", "done"),
    "age.stated": ("age_band",),
    "sent.read": ("grant",),
}
"""Kinds that can repeat, and the members of the detail that are equal in one run, besides the agency.

Of a refusal neither the referral nor the categories count: the asker writes both, and could make each refusal a new one.
"""


def run_of(kind: str, agency: str | None, detail: Mapping[str, Any], secret: bytes | None) -> str | None:
    """Return the name of the run that an act belongs to; None if it cannot repeat, or nobody holds the key of the ledger.

    The name is keyed with her ledger key: without it, a row tells neither the agency nor the grant.
    """
    if kind not in MEMBERS or not secret:
        return None
    same = {name: _plain(detail.get(name)) for name in MEMBERS[kind]}
    return base64url(hmac.digest(hmac.digest(secret, b"run", "sha256"), canonical([kind, agency, same]), "sha256"))


def outcomes_of(agency: str | None, detail: Mapping[str, Any], secret: bytes | None) -> list[str]:
    """Return the names of the runs in which the outcome of such an intent would have been recorded before."""
    refused = {"grant": detail.get("grant")}
    asked = [("opening.delivered", detail), ("opening.indeterminate", detail), ("opening.refused", refused)]
    return [name for kind, known in asked if (name := run_of(kind, agency, known, secret))]


def _plain(value: Any) -> Any:
    """Return a member in the form in which it is compared: of rules by category, the set of rules."""
    return sorted(set(value.values())) if isinstance(value, Mapping) else value
