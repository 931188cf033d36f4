"""The events that the consent service sends; it reads only `agency.changed.v1`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from services.common.clock import Clock
from services.common.messaging.cloudevents import Event

SOURCE = "consent"


def grant_ended(clock: Clock, grant: UUID, agency: str, reason: str, epoch: int) -> Event:
    """Return the event that tells that nothing under this grant may be used any more; `epoch` is the grant's own."""
    data = {"grant": str(grant), "agency": agency, "reason": reason, "epoch": epoch}
    return _event(clock, "grant.ended.v1", str(grant), data)


def sender_shut_out(clock: Clock, grant: UUID, agency: str, *, shut_out: bool) -> Event:
    """Make the event that lets referrals under a grant stand still for an agency, or lets it follow them again."""
    data = {"grant": str(grant), "agency": agency, "shut_out": shut_out}
    return _event(clock, "sender.shut_out.v1", str(grant), data)


def notice_made(clock: Clock, notice: UUID, agency: str) -> Event:
    """Return the event that tells that a notice waits for an agency; it names neither the survivor nor the grant."""
    return _event(clock, "notice.made.v1", str(notice), {"agency": agency, "notice": str(notice)})


def statistics_withdrawn(clock: Clock, pseudonyms: Sequence[str]) -> Event:
    """Return the event that tells to remove these pseudonyms from all counts."""
    return _event(clock, "statistics.withdrawn.v1", str(clock.new_id()), {"pseudonyms": list(pseudonyms)})


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The facts of a disclosure: which categories went to whom, never their content."""

    opening: UUID
    referral: str
    grant: str
    agency: str
    categories: frozenset[str]


def disclosure_made(clock: Clock, made: Disclosure, outcome: str) -> Event:
    """Return the event that tells that an agency has opened an envelope."""
    data = {**asdict(made), "opening": str(made.opening), "categories": sorted(made.categories), "outcome": outcome}
    return _event(clock, "disclosure.made.v1", made.referral, data)


def _event(clock: Clock, event_type: str, key: str, data: Mapping[str, object]) -> Event:
    now: datetime = clock.now()
    return Event(str(clock.new_id()), SOURCE, event_type, now, data, key)
