"""The tables that every service has besides its own: outbox, inbox, parking and single-use identifiers."""

from dataclasses import dataclass

from sqlalchemy import MetaData, Table

from services.common.auth.replay import define_replay
from services.common.messaging.inbox import Inbox, define_inbox
from services.common.messaging.outbox import Outbox, define_outbox
from services.common.messaging.parking import Parking, define_parking


@dataclass(frozen=True, slots=True)
class Plumbing:
    """The shared tables of one service: its events out and in, parked events, and identifiers used once."""

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
