"""The tables that every service has besides its own, defined in one call."""

from dataclasses import dataclass

from sqlalchemy import MetaData, Table

from services.common.inbox import Inbox, define_inbox
from services.common.outbox import Outbox, define_outbox
from services.common.parking import Parking, define_parking
from services.common.replay import define_replay


@dataclass(frozen=True, slots=True)
class Plumbing:
    """A service's ways in and out."""

    outbox: Outbox
    inbox: Inbox
    parking: Parking
    replay: Table


def define_plumbing(metadata: MetaData) -> Plumbing:
    """Add outbox, inbox, parking and single-use identifiers to a service's tables."""
    return Plumbing(
        outbox=Outbox(define_outbox(metadata)),
        inbox=Inbox(define_inbox(metadata)),
        parking=Parking(define_parking(metadata)),
        replay=define_replay(metadata),
    )
