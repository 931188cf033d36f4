"""Adds and suspends agencies, and finds results of events; one transaction each. Posting is in `posting`."""

from collections.abc import Mapping, Sequence
from typing import Any

from joserfc.errors import JoseError
from sqlalchemy import Connection

import schemas
from services.common.auth.jose import Untrusted, key_set, public_key
from services.common.encoding import random_name
from services.common.errors import Fault, Problem, invalid, not_found
from services.common.messaging.cloudevents import Event
from services.intake import events, store
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
    row = {
        "id": f"agency-{random_name(AGENCY_CHARACTERS)}",
        "name": name,
        "sector": sector,
        "standing": "active",
        "version": 1,
        "jwks": _usable_keys(jwks),
        "created_at": context.clock.now(),
    }
    with context.database.transaction() as connection:
        store.hold_agencies(connection)
        _refuse_known(store.list_agencies(connection), row, force=force)
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
            raise Problem(404, "unknown-agency", "No agency has this client id. `fireweed agency list` shows them all.")
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


def _announce(context: Context, connection: Connection, row: store.AnyRow) -> None:
    changed = events.agency_changed(context.clock, row)
    context.outbox.add(connection, [changed], context.clock.now())


def _refuse_known(agencies: Sequence[store.AnyRow], row: Mapping[str, Any], *, force: bool) -> None:
    """Raise a 409 problem if another agency has one of the row's keys, or a name that looks like its name."""
    mine = _thumbprints(row["jwks"])
    if holder := next((other for other in agencies if _thumbprints(other.jwks) & mine), None):
        fault = Fault("jwks", f"{holder.id} has one of these keys.", "keys that no other agency has")
        raise Problem(409, "agency-key-known", "Another agency already has this key.", [fault])
    alike = next((other for other in agencies if are_alike(other.name, row["name"])), None)
    if alike is not None and not force:
        fault = Fault("name", f"Looks like the name of {alike.id}.", "a name that cannot be mistaken, or --force")
        raise Problem(409, "agency-name-alike", "Another agency has a name that looks like this one.", [fault])


def _thumbprints(jwks: Mapping[str, Any]) -> set[str]:
    """Return the RFC 7638 thumbprint of each key in a key set."""
    return {key.thumbprint() for key in key_set(jwks["keys"]).keys}


def _usable_keys(jwks: object) -> dict[str, Any]:
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not keys:
        raise invalid(Fault("jwks", "Not a key set.", 'a JWK set: {"keys": [...]}'))
    try:
        kids = {kid for key in keys if isinstance(kid := key.get("kid"), str)}
        if len(keys) > 1 and len(kids) < len(keys):
            raise invalid(Fault("jwks kid", "Missing or given twice.", "a different kid for each key"))
        for key in keys:
            public_key(key, "jwks")
            if key.get("use", "sig") != "sig":
                raise invalid(Fault("jwks use", "Not a key for signatures.", "`sig`, or no `use` at all"))
        return dict(key_set(keys).as_dict())
    except Untrusted as reason:
        raise invalid(reason.fault) from reason
    except (JoseError, ValueError, AttributeError) as error:
        raise invalid(Fault("jwks", "Not a key set.", 'a JWK set: {"keys": [...]}')) from error
