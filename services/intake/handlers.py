"""Adds and suspends agencies, finds results of events and deletes old ones; one transaction each. Posting is in `posting`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

import schemas
from services.common.encoding import random_name
from services.common.errors import Fault, Problem, invalid, not_found
from services.common.messaging.cloudevents import Event
from services.common.retention import KEPT
from services.intake import events, store
from services.intake.agency_keys import refuse_keys_of_others, unknown_agency, usable_keys
from services.intake.context import Context
from services.intake.domain import Result
from services.intake.posting import result_of
from services.intake.similar_names import are_alike

AGENCY_CHARACTERS = 10
PAGE = 100
NAME_LENGTH = 120


def add_agency(context: Context, name: str, sector: str, jwks: object, *, force: bool = False) -> store.AnyRow:
    """Add an agency and return its row; raise a problem if its name, sector or keys cannot be used.

    A name that looks like another agency's is taken only with `force`; a key that another agency has is never taken.
    """
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise invalid(Fault("name", "Empty, too long, or not all printable.", f"1 to {NAME_LENGTH} characters"))
    if sector not in schemas.code_set("sectors"):
        raise invalid(Fault("sector", "Not one of the codes.", ", ".join(sorted(schemas.code_set("sectors")))))
    row: dict[str, Any] = {
        "id": f"agency-{random_name(AGENCY_CHARACTERS)}",
        "name": name,
        "sector": sector,
        "standing": "active",
        "version": 1,
        "jwks": usable_keys(jwks),
        "created_at": context.clock.now(),
    }
    with context.database.transaction() as connection:
        store.hold_agencies(connection)
        others = store.list_agencies(connection)
        refuse_keys_of_others(others, row["jwks"])
        _refuse_alike(others, name, force=force)
        store.add_agency(connection, row)
        kept = store.get_agency(connection, str(row["id"]))
        assert kept is not None  # noqa: S101 - inserted in the line above
        _announce(context, connection, kept)
    return kept


def set_standing(context: Context, agency: str, standing: str) -> store.AnyRow:
    """Set an agency's standing, announce it to every service and return the row; raise 404 if the agency is unknown."""
    with context.database.transaction() as connection:
        row = store.change_standing(connection, agency, standing)
        if row is None:
            raise unknown_agency()
        _announce(context, connection, row)
    return row


def list_agencies(context: Context) -> Sequence[store.AnyRow]:
    """Return every agency's row, oldest first."""
    with context.database.reading() as connection:
        return store.list_agencies(connection)


def read_agencies(context: Context, after: str) -> Sequence[store.AnyRow]:
    """Return a page of the agencies that take part, suspended ones included, from just after an id."""
    with context.database.reading() as connection:
        return store.agencies_after(connection, after, PAGE)


def find_result(context: Context, agency: str, event_id: str) -> Result:
    """Return the result of an event that this agency posted; raise 404 if there is none."""
    with context.database.reading() as connection:
        row = store.get_posted(connection, agency, [event_id]).get(event_id)
    if row is None:
        raise not_found()
    return result_of(row, row.status)


def note_refusal(connection: Connection, event: Event) -> None:
    """Handle `event.refused.v1`: record for the sender that an accepted event was refused by a later service."""
    store.reject_posted(connection, event.data["agency"], event.data["event"], event.data["reason"])


def delete_old(context: Context) -> int:
    """Delete the results of events that were posted `KEPT` ago; return how many. Posted again, such an event is new."""
    with context.database.transaction() as connection:
        return store.delete_posted(connection, context.clock.now() - KEPT)


def _announce(context: Context, connection: Connection, row: store.AnyRow) -> None:
    changed = events.agency_changed(context.clock, row)
    context.outbox.add(connection, [changed], context.clock.now())


def _refuse_alike(agencies: Sequence[store.AnyRow], name: str, *, force: bool) -> None:
    """Raise a 409 problem if another agency has a name that looks like this one."""
    alike = next((other for other in agencies if are_alike(other.name, name)), None)
    if alike is not None and not force:
        fault = Fault("name", f"Looks like the name of {alike.id}.", "a name that cannot be mistaken, or --force")
        raise Problem(409, "agency-name-alike", "Another agency has a name that looks like this one.", [fault])
