"""Rules for posted events and the results that senders get; pure functions, no database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.common.errors import Fault
from services.common.instants import read_instant
from services.common.messaging import contracts
from services.common.messaging.cloudevents import MAX_FUTURE, Event

# The member of the data that names the thread (referral or offer) to which an event belongs.
THREAD_MEMBERS = ("referral", "offer")
POLICE = "police"
LONGEST_CLAIM = timedelta(days=30)
NOT_AS_APPROVED = "not_as_approved"
"""The reason for a part that is not, word for word, one that she has said yes to."""
STARTS_A_THREAD = frozenset({"referral.requested.v1", "offer.opened.v1"})


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one event, as its sender gets it."""

    id: str | None
    status: str
    parts: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    thread: str | None = None
    faults: tuple[Fault, ...] = ()
    dry_run: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why single parts were withheld, where the sender may know."""

    def as_json(self) -> dict[str, object]:
        """Return the result as a member of the answer, without empty members."""
        told: dict[str, object] = {"id": self.id, "status": self.status, "parts": dict(self.parts)}
        if self.reason:
            told["reason"] = self.reason
        if self.reasons:
            told["reasons"] = dict(self.reasons)
        if self.thread:
            told["thread"] = self.thread
        if self.dry_run:
            told["dry_run"] = True
        if self.faults:
            told["errors"] = [fault.as_json() for fault in self.faults]
        return told


def faults_of(event: Event, agency: str, now: datetime) -> list[Fault]:
    """Return every fault of an event from this agency, except those of its CloudEvents attributes."""
    if event.type not in contracts.posted_types():
        return [Fault("/type", "Not a type that agencies post.", ", ".join(sorted(contracts.posted_types())))]
    faults = contracts.faults(event.type, event.data)
    if event.source != agency:
        faults.append(Fault("/source", "Not you.", "the client id with which you got your token"))
    if contracts.needs_subject(event.type) and not event.subject:
        faults.append(Fault("/subject", "This event is about one person.", "your ppid for her"))
    if not contracts.needs_subject(event.type) and event.subject is not None:
        faults.append(Fault("/subject", "This event is not about a person.", "no subject"))
    if event.data.get("to") == agency:
        faults.append(Fault("/data/to", "You cannot refer to yourself.", "another agency's id"))
    return faults or _contradictions(event, now)


def _contradictions(event: Event, now: datetime) -> list[Fault]:
    """Return the faults that no schema can see, because each member is valid by itself."""
    faults = []
    if event.type == "capacity.declared.v1":
        # The latest statement counts, so one from the future would hide every later one.
        as_of = read_instant(event.data["as_of"])
        if as_of is None or as_of > now + MAX_FUTURE:
            faults.append(Fault("/data/as_of", "Not a time that has been.", "when this was true, with an offset"))
        if event.data["available"] > event.data["total"]:
            faults.append(Fault("/data/available", "More is free than there is.", "at most the total"))
    if event.type == "offer.claimed.v1" and "until" in event.data:
        until = read_instant(event.data["until"])
        if until is None or not now < until <= now + LONGEST_CLAIM:
            faults.append(Fault("/data/until", "Not a time to come.", "at most 30 days from now, with an offset"))
    if event.type == "training.attested.v1" and event.data["units_trained"] > event.data["units_total"]:
        faults.append(Fault("/data/units_trained", "More are trained than there are.", "at most the total"))
    return faults


def is_of_offers(event_type: str) -> bool:
    """Return whether an event opens, answers or closes an offer."""
    return event_type.startswith("offer.")


def refused_by_roster(event: Event, known: Mapping[str, Any]) -> Result | None:
    """Return the result of an event that the agencies of the hub forbid; None if they do not.

    `known` holds the row of the sender and of each known recipient, by id.
    """
    sender, to = known.get(event.source), event.data.get("to")
    if is_of_offers(event.type) and (sender is None or sender.sector == POLICE):
        fault = Fault("/type", "The police take no part in offers.", "a referral to an agency that you name")
        return Result(event.id, "rejected", reason="not_for_police", faults=(fault,))
    recipient = known.get(to) if to else sender
    if recipient is None:
        fault = Fault("/data/to", "No agency has this id.", "the id of an active agency")
        return Result(event.id, "rejected", reason="unknown_recipient", faults=(fault,))
    if recipient.standing != "active":
        fault = Fault("/data/to", "That agency may not act here now.", "the id of an active agency")
        return Result(event.id, "rejected", reason="recipient_suspended", faults=(fault,))
    return None


def thread_of(event: Event) -> str | None:
    """Return the referral or offer to which an event belongs; None if it begins one or belongs to none."""
    if event.type in STARTS_A_THREAD:
        return None
    return next((str(event.data[name]) for name in THREAD_MEMBERS if name in event.data), None)


def parts_told(parts: Mapping[str, Any], sealed: frozenset[str]) -> dict[str, str]:
    """Return `sealed` or `withheld` for each posted category."""
    return {category: "sealed" if category in sealed else "withheld" for category in sorted(parts)}
