"""Events as the referral service receives them, and the events it has sent."""

import json
from typing import Any
from uuid import uuid4

from services.common.messaging import contracts
from services.common.messaging.cloudevents import Event
from services.referral import handlers
from services.referral.context import Context
from services.referral.domain import ANSWERS
from services.referral.handlers import offers
from services.referral.models import roster
from tests.support.clocks import NOON

SENDER, RECIPIENT, STRANGER = "agency-samplesend", "agency-samplehome", "agency-sampleclin"
ENVELOPE = "fw1.eyJzYW1wbGUiOiJub3QgYSByZWFsIGJveCJ9"
NEEDED: dict[str, dict[str, str]] = {
    "declined": {"reason": "no_capacity"},
    "waitlisted": {"wait": "days_8_30"},
    "completed": {"outcome": "needs_met"},
    "cancelled": {"reason": "no_longer_needed"},
    "held": {"reason": "staff_shortage"},
    "failed": {"reason": "place_lost"},
}


def sealed(referral: str | None = None, grant: str | None = None, **changed: Any) -> Event:
    """Return a sealed referral as intake passes it on."""
    data = {
        "referral": referral or str(uuid4()),
        "from": SENDER,
        "to": RECIPIENT,
        "purpose": "referral",
        "need": "N02",
        "stage": "crisis",
        "region": "toronto",
        "urgency": "24h",
        "grant": grant or str(uuid4()),
        "epoch": 4,
        "categories": ["summary"],
        "envelope": ENVELOPE,
        **changed,
    }
    return made("referral.sealed.v1", "intake", data, data["referral"])


def answered(kind: str, referral: str, by: str = RECIPIENT) -> Event:
    """Return an agency's answer, with the member that its type needs."""
    return made(f"referral.{kind}.v1", by, {"referral": referral, **NEEDED.get(kind, {})}, referral)


def ended(grant: str, reason: str = "revoked") -> Event:
    """Return the event that a grant has ended."""
    return made("grant.ended.v1", "consent", {"grant": grant, "agency": RECIPIENT, "reason": reason, "epoch": 5}, grant)


def withdrawn(*pseudonyms: str) -> Event:
    """Return the event that pseudonyms must be forgotten."""
    return made("statistics.withdrawn.v1", "consent", {"pseudonyms": list(pseudonyms)}, str(uuid4()))


def shut_out(grant: str, agency: str = SENDER, *, is_out: bool = True) -> Event:
    """Return the event that an agency is shut out, or let in again, for the referrals under a grant."""
    return made("sender.shut_out.v1", "consent", {"grant": grant, "agency": agency, "shut_out": is_out}, grant)


def take(context: Context, event: Event) -> None:
    """Have one event handled in a transaction, as the worker does."""
    with context.database.transaction() as connection:
        if event.type in ANSWERS:
            handlers.answer(context, connection, event)
        elif (with_context := _WITH_CONTEXT.get(event.type)) is not None:
            with_context(context, connection, event)
        else:
            _PLAIN[event.type](connection, event)


_WITH_CONTEXT = {
    "referral.sealed.v1": handlers.open_referral,
    "grant.ended.v1": handlers.withdraw,
    "sender.shut_out.v1": handlers.stand_still,
    "offer.opened.v1": offers.open_offer,
    "offer.claimed.v1": offers.claim_offer,
    "offer.declined.v1": offers.decline_offer,
    "offer.closed.v1": offers.close_offer,
}
_PLAIN = {
    "statistics.withdrawn.v1": handlers.forget_pseudonyms,
    "disclosure.made.v1": handlers.note_disclosure,
    "capacity.declared.v1": handlers.keep_service,
    "agency.changed.v1": roster.take,
}


def sent(context: Context) -> list[tuple[str, dict[str, Any]]]:
    """Return types and data of the events in the outbox, oldest first; each of them keeps its contract."""
    with context.database.reading() as connection:
        rows = context.outbox.oldest(connection, 0, 100_000)
    told = [(str(row.type), dict(json.loads(row.payload))) for row in rows]
    for event_type, data in told:
        assert contracts.faults(event_type, data) == [], (event_type, data)
    return told


def made(event_type: str, source: str, data: dict[str, Any], key: str) -> Event:
    """Return any event, dated noon."""
    return Event(str(uuid4()), source, event_type, NOON, data, key)
