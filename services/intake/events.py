"""Builds the events that intake puts on the bus; it reads only `event.refused.v1`."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.common.clock import Clock
from services.common.fiscal_periods import fiscal_year
from services.common.messaging.cloudevents import Event
from services.intake.consent_client import Seal

SOURCE = "intake"


def sealed_referral(
    event: Event, referral: str, seal: Seal, categories: list[str], envelope: str, statistics: str | None
) -> Event:
    """Return a posted `referral.requested.v1` with its parts sealed and without the person's ppid."""
    routing = {name: event.data[name] for name in ("to", "purpose", "need", "stage", "region", "urgency")}
    data: dict[str, object] = {
        "referral": referral,
        "from": event.source,
        **routing,
        "grant": seal.grant,
        "epoch": seal.epoch,
        "categories": categories,
        "envelope": envelope,
    }
    if "offer" in event.data:
        data["offer"] = event.data["offer"]
    if statistics:
        data["statistics"] = statistics
    return Event(event.id, event.source, "referral.sealed.v1", event.time, data, referral, None, event.traceparent)


def counted_need(event: Event, key: str, statistics: str, now: datetime) -> Event:
    """Return a posted `need.recorded.v1` with the statistics pseudonym of a survivor who agreed to be counted."""
    data = {**event.data, "agency": event.source, "statistics": statistics}
    # Her pseudonym is that of the present fiscal year. Counted in another year, she would be one person more.
    time = event.time if fiscal_year(event.time.date()) == fiscal_year(now.date()) else now
    return replace(event, type="need.counted.v1", time=time, data=data, key=key, subject=None)


def passed_on(event: Event, key: str) -> Event:
    """Return an event without a subject as it was posted, under this key."""
    return replace(event, key=key, subject=None)


def agency_changed(clock: Clock, row: Any) -> Event:
    """Return the whole present state of an agency, since its topic keeps only the latest record of each key."""
    data = {"agency": row.id, **{name: getattr(row, name) for name in ("name", "sector", "standing", "version")}}
    return Event(str(clock.new_id()), SOURCE, "agency.changed.v1", clock.now(), data, row.id)
