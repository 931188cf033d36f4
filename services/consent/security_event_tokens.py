"""Notices as security event tokens (RFC 8417): each contains all that an agency needs to act on it."""

from typing import Any

from services.common.auth.jose import Signer

TYPE = "secevent+jwt"
STOP = "urn:fireweed:event:consent-revoked"
AGAIN = "urn:fireweed:event:consent-restored"


def as_set(signer: Signer, notice: Any) -> str:
    """Return a notice as a signed SET; one notice gives the same token each time."""
    again = notice.action == "use_again"
    said: dict[str, Any] = {
        "grant": str(notice.grant_id),
        "purpose": notice.purpose,
        "categories": notice.categories,
        "epoch": notice.epoch,
    }
    if not again:
        said |= {"action": notice.action, "due": notice.act_by.isoformat()}
    claims = {
        "aud": notice.agency,
        "jti": str(notice.id),
        "iat": int(notice.made_at.timestamp()),
        "events": {AGAIN if again else STOP: said},
    }
    if notice.ppid:
        claims["sub_id"] = {"format": "opaque", "id": notice.ppid}
    return signer.sign(TYPE, claims)
