"""The life of a referral: which state follows which, and who may bring it about; pure.

requested --> accepted | declined | waitlisted | cancelled | withdrawn
waitlisted --> accepted | declined | cancelled | withdrawn
accepted --> started | declined | cancelled | withdrawn
started --> completed | withdrawn
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import schemas


class State(StrEnum):
    """The state of a referral; each value is also a code in `schemas/codes/referral_states.json`."""

    REQUESTED = "requested"
    WAITLISTED = "waitlisted"
    ACCEPTED = "accepted"
    STARTED = "started"
    COMPLETED = "completed"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    WITHDRAWN = "withdrawn"


class Party(StrEnum):
    """The side that acts on a referral."""

    SENDER = "sender"
    RECIPIENT = "recipient"
    HUB = "hub"


FINAL = frozenset({State.COMPLETED, State.DECLINED, State.CANCELLED, State.WITHDRAWN})
_R, _S = Party.RECIPIENT, Party.SENDER
_MOVES: Mapping[State, Mapping[State, Party]] = {
    State.REQUESTED: {State.ACCEPTED: _R, State.DECLINED: _R, State.WAITLISTED: _R, State.CANCELLED: _S},
    State.WAITLISTED: {State.ACCEPTED: _R, State.DECLINED: _R, State.CANCELLED: _S},
    State.ACCEPTED: {State.STARTED: _R, State.DECLINED: _R, State.CANCELLED: _S},
    State.STARTED: {State.COMPLETED: _R},
}
# The possible first answers of the agency that was asked.
ANSWERED = frozenset(to for to, party in _MOVES[State.REQUESTED].items() if party is _R)
ANSWERS: Mapping[str, State] = {
    f"referral.{state}.v1": state for state in State if state not in {State.REQUESTED, State.WITHDRAWN}
}
"""Which state each posted type asks for."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that is not taken, with a code of `schemas/codes/refusals.json`."""

    reason: str


def move(state: State, to: State, party: Party | None) -> State | Refused:
    """Return the state after an answer, or why it is refused. For a stranger the referral does not exist."""
    if party is None:
        return Refused("unknown_referral")
    if to is State.WITHDRAWN:
        return to if party is Party.HUB and state not in FINAL else Refused("not_possible_now")
    allowed = _MOVES.get(state, {}).get(to)
    if allowed is None:
        return Refused("not_possible_now")
    return to if allowed is party else Refused("not_yours")


def party_of(agency: str, sender: str, recipient: str) -> Party | None:
    """Return which side of a referral an agency is on, or None if on neither."""
    return {recipient: Party.RECIPIENT, sender: Party.SENDER}.get(agency)


def answer_by(asked: datetime, urgency: str) -> datetime:
    """Return until when an answer is promised."""
    hours = next(code.extra["x-hours"] for code in schemas.codes("urgencies") if code.code == urgency)
    return asked + timedelta(hours=int(str(hours)))


def is_overdue(state: State, promised: datetime, now: datetime) -> bool:
    """Return whether a promised answer is late. A late answer is shown to both sides; nothing closes by itself."""
    return state is State.REQUESTED and now > promised


def wait_band(waited: timedelta) -> str:
    """Return a wait as one of the bands of `schemas/codes/waits.json`."""
    bands = ((1, "under_24h"), (3, "days_1_3"), (7, "days_4_7"), (30, "days_8_30"), (90, "days_31_90"))
    return next((band for days, band in bands if waited < timedelta(days=days)), "over_90_days")
