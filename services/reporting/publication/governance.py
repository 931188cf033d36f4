"""Communities govern what is published of them: tables behind a switch exist only while the body that governs it agrees."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from services.common.errors import Fault, Problem, invalid
from services.reporting.context import Context
from services.reporting.store import publications as store

DECISIONS = ("on", "off", "veto", "seen")
NAME_LENGTH = 120


def named(member: str, given: str) -> str:
    """Return the name of a person or body normalised; raise 400 for a text that names nobody."""
    name = " ".join(given.split())
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise invalid(Fault(member, "Empty, too long, or not all printable.", f"1 to {NAME_LENGTH} characters"))
    return name


def decide(context: Context, switch: str, word: str, body: str, bundle: str | None = None) -> None:
    """Keep a decision of a named body. While a switch is on, only that body may decide about it."""
    body = named("body", body)
    with context.database.transaction() as connection:
        store.lock_publications(connection)
        must_govern(connection, switch, word, body)
        row = {"id": str(context.clock.new_id()), "switch": switch, "body": body, "word": word, "bundle": bundle}
        store.keep_decision(connection, {**row, "at": context.clock.now()})


def must_govern(connection: Connection, switch: str, word: str, body: str) -> None:
    """Refuse a decision about a switch that another body holds, or that is off."""
    holder = _holder(connection, switch)
    if holder is not None and holder.casefold() != named("body", body).casefold():
        raise Problem(409, "not-yours", f"{holder} decides about this switch.")
    if holder is None and word != "on":
        raise Problem(409, "switch-off", "This switch is off: nothing of what it governs exists.")


def switched_on(connection: Connection, switches: Iterable[str]) -> frozenset[str]:
    """Return the switches that are on. They are off unless a named body decided otherwise; a veto switches off."""
    return frozenset(switch for switch in switches if _holder(connection, switch) is not None)


def must_agree(connection: Connection, draft: Any, switches: Iterable[str]) -> None:
    """Refuse to publish what a body has switched off since, or has not seen first."""
    for switch in sorted(switches):
        holder = _holder(connection, switch)
        if holder is None:
            raise Problem(409, "switch-off", f"The switch '{switch}' is off. Build the draft again without its tables.")
        decided = [row for row in store.decisions(connection, switch) if row.bundle == draft.bundle]
        if not any(row.word == "seen" for row in decided):
            raise Problem(409, "not-seen", f"{holder} must see it first: fireweed publication govern {switch} seen.")


def _holder(connection: Connection, switch: str) -> str | None:
    """Return the body that holds a switch that is on, or None."""
    holder: str | None = None
    for row in store.decisions(connection, switch):
        if row.word == "on":
            holder = row.body
        if row.word in {"off", "veto"}:
            holder = None
    return holder
