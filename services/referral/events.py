"""The events that the referral service sends, all of them routing facts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.common.clock import Clock
from services.common.messaging.cloudevents import Event

SOURCE = "referral"
ROUTING = ("purpose", "need", "stage", "region", "urgency")


def updated(clock: Clock, row: Any, previous: str | None, **why: str | None) -> Event:
    """Return the event of a referral's new state; `why` may hold the reasons of the state, and times as bands."""
    data: dict[str, object] = {
        "referral": row.id,
        "from": row.sender,
        "to": row.recipient,
        **{name: getattr(row, name) for name in ROUTING},
        "state": row.state,
        "requested_on": row.requested_at.date().isoformat(),
        "changed_on": row.changed_at.date().isoformat(),
    }
    optional = {"previous": previous, "statistics": row.statistics, **why}
    data |= {name: value for name, value in optional.items() if value is not None}
    return _event(clock, "referral.updated.v1", row.id, data)


def overdue(clock: Clock, row: Any, about: str, times: int) -> Event:
    """Return the event that a promise of a referral is late, for the `times`-th time."""
    data = {"referral": row.id, "from": row.sender, "to": row.recipient, "clock": about, "times": times}
    return _event(clock, "referral.overdue.v1", row.id, data)


def refused(clock: Clock, event: Event, reason: str) -> Event:
    """Return the event of a refusal; intake shows it to the agency when it asks."""
    data = {"agency": event.source, "event": event.id, "reason": reason}
    return _event(clock, "event.refused.v1", str(clock.new_id()), data)


def _event(clock: Clock, event_type: str, key: str, data: Mapping[str, object]) -> Event:
    now: datetime = clock.now()
    return Event(str(clock.new_id()), SOURCE, event_type, now, data, key)
