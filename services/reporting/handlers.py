"""What reporting does with each event: the latest statement and the present state stand, so order and repeats do no harm."""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection

from services.common.database import Database
from services.common.event import Event
from services.common.periods import fiscal_quarter
from services.reporting import store


def keep_capacity(connection: Connection, event: Event) -> None:
    """Handle `capacity.declared.v1`."""
    named = {name: event.data[name] for name in ("program", "need", "region", "unit", "total", "available")}
    as_of = datetime.fromisoformat(event.data["as_of"])
    store.keep_capacity(connection, {"agency": event.source, **named, "as_of": as_of})


def count_referral(connection: Connection, event: Event) -> None:
    """Handle `referral.updated.v1`; without a statistics pseudonym nobody is counted."""
    data = event.data
    if "statistics" not in data:
        return
    asked = date.fromisoformat(data["requested_on"])
    row = {
        "referral": data["referral"],
        "statistics": data["statistics"],
        "sender": data["from"],
        "recipient": data["to"],
        **{name: data[name] for name in ("need", "stage", "region", "state")},
        "quarter": fiscal_quarter(asked),
        "reason": data.get("reason"),
        "waited": data.get("waited"),
        "requested_on": asked,
    }
    store.count_referral(connection, row)


def count_need(connection: Connection, event: Event) -> None:
    """Handle `need.counted.v1`."""
    named = {name: event.data[name] for name in ("statistics", "agency", "need", "stage", "region")}
    row = {"id": event.key, **named, "quarter": fiscal_quarter(event.time.date())}
    store.count_need(connection, row)


def withdraw(connection: Connection, event: Event) -> None:
    """Handle `statistics.withdrawn.v1`."""
    store.withdraw(connection, event.data["pseudonyms"])


def live_capacity(database: Database) -> Sequence[store.Available]:
    """What services say they can take, now."""
    with database.reading() as connection:
        return store.available(connection)
