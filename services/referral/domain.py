"""The life of a referral: which state follows which, who may bring it about, and which promise runs; pure.

`MOVES` is the one table; the table and the diagram in docs/referrals.md are made of it.
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
    ON_HOLD = "on_hold"
    ACCEPTED = "accepted"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    WITHDRAWN = "withdrawn"


class Party(StrEnum):
    """The side that acts on a referral."""

    SENDER = "sender"
    RECIPIENT = "recipient"
    HUB = "hub"


FINAL = frozenset({State.COMPLETED, State.FAILED, State.DECLINED, State.CANCELLED, State.WITHDRAWN})
TAKEN_ON = frozenset({State.ACCEPTED, State.STARTED})
"""States in which a referral goes on without content when its grant ends by its date."""
_R, _S, _H = Party.RECIPIENT, Party.SENDER, Party.HUB
MOVES: Mapping[State, Mapping[State, Party]] = {
    State.REQUESTED: {
        State.ACCEPTED: _R,
        State.WAITLISTED: _R,
        State.ON_HOLD: _R,
        State.DECLINED: _R,
        State.CANCELLED: _S,
        State.WITHDRAWN: _H,
    },
    State.WAITLISTED: {
        State.WAITLISTED: _R,
        State.ACCEPTED: _R,
        State.ON_HOLD: _R,
        State.DECLINED: _R,
        State.CANCELLED: _S,
        State.WITHDRAWN: _H,
    },
    State.ACCEPTED: {
        State.STARTED: _R,
        State.ON_HOLD: _R,
        State.FAILED: _R,
        State.DECLINED: _R,
        State.CANCELLED: _S,
        State.WITHDRAWN: _H,
    },
    State.STARTED: {
        State.COMPLETED: _R,
        State.ACCEPTED: _R,
        State.ON_HOLD: _R,
        State.FAILED: _R,
        State.WITHDRAWN: _H,
    },
    State.ON_HOLD: {
        State.REQUESTED: _R,
        State.WAITLISTED: _R,
        State.ACCEPTED: _R,
        State.STARTED: _R,
        State.FAILED: _R,
        State.DECLINED: _R,
        State.CANCELLED: _S,
        State.WITHDRAWN: _H,
    },
}
"""By state, which states may follow, and which side brings each about. A hold ends in the state before it, or for good."""
RESUMED = "referral.resumed.v1"
# The possible first answers of the agency that was asked.
ANSWERED = frozenset({State.ACCEPTED, State.DECLINED, State.WAITLISTED})
ANSWERS: Mapping[str, State | None] = {
    **{
        f"referral.{state}.v1": state
        for state in State
        if state not in {State.REQUESTED, State.WITHDRAWN, State.ON_HOLD}
    },
    "referral.held.v1": State.ON_HOLD,
    RESUMED: None,
}
"""Which state each posted type asks for; None for the one before the hold."""
UNDO = timedelta(days=1)
"""Time within which a start by mistake can be taken back."""
RESTATE = timedelta(days=14)
"""Time within which word about a waiting list or a hold is promised."""
REMINDERS = (1, 2, 4)
"""Both sides are told when a promised time has passed so many times."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that is not taken, with a code of `schemas/codes/refusals.json`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """An answer that says what holds already; nothing happens."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides about an answer: the state, when help began if it did, and the state before a hold."""

    state: State
    started_at: datetime | None = None
    before_hold: State | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """A promise that runs: about what (a code of `referral_clocks`), from when, and for how long."""

    about: str
    since: datetime
    promise: timedelta

    def due(self, times: int) -> datetime:
        """Return when the promised time has passed so many times."""
        return self.since + times * self.promise

    def late(self, now: datetime) -> int:
        """Return the greatest of `REMINDERS` that has come by now, 0 if none has."""
        return max((times for times in REMINDERS if now >= self.due(times)), default=0)

    def next_due(self, told: int) -> datetime | None:
        """Return when the next reminder after `told` is due, None after the last."""
        return next((self.due(times) for times in REMINDERS if times > told), None)


def move(state: State, to: State, party: Party | None) -> State | Refused:
    """Return the state after an answer, or why it is refused. For a stranger the referral does not exist."""
    if party is None:
        return Refused("unknown_referral")
    allowed = MOVES.get(state, {}).get(to)
    if allowed is None or (allowed is not party and Party.HUB in {party, allowed}):
        return Refused("not_possible_now")
    return to if allowed is party else Refused("not_yours")


def answered(
    now_is: Standing, to: State | None, party: Party | None, now: datetime, *, same: bool = True
) -> State | Refused | Repeated:
    """Return the state after an agency's answer, why it is refused, or that it repeats what holds already.

    `to` is None for the end of a hold. A waiting list may be restated with another wait, a start taken back for a day.
    `same` tells whether reason and outcome are those that are kept: an answer that says something else is no repetition.
    """
    if party is None:
        return Refused("unknown_referral")
    state = now_is.state
    if to is None:
        return _resumed(now_is, party)
    if to is state and party is _author(state) and same:
        # Of a list, the same wait again is also word about it.
        return to if state is State.WAITLISTED else Repeated()
    if to is State.ACCEPTED and now_is.started_at is not None and party is Party.RECIPIENT:
        # A start by mistake, also if it rests since.
        return to if now - now_is.started_at <= UNDO and state is State.STARTED else Refused("not_possible_now")
    if state is State.ON_HOLD:
        return _out_of_hold(now_is.before_hold or State.REQUESTED, to, party)
    return move(state, to, party)


def _resumed(now_is: Standing, party: Party) -> State | Refused:
    """Return the state after the end of a hold, or why there is none to end."""
    if now_is.state is State.ON_HOLD:
        return move(now_is.state, now_is.before_hold or State.REQUESTED, party)
    return Refused("not_possible_now") if party is Party.RECIPIENT else Refused("not_yours")


def _out_of_hold(before: State, to: State, party: Party) -> State | Refused:
    """Return the state after an answer during a hold: what the state before it allows, or that state itself."""
    if to is State.ON_HOLD:
        return Refused("not_possible_now")
    return to if to is before and party is Party.RECIPIENT else move(before, to, party)


def clock_of(state: State, since: datetime, requested_at: datetime, urgency: str, need: str) -> Clock | None:
    """Return the promise that runs in a state, which began to run at `since`; None where none does.

    Hours are real hours, also across a change of clocks: all times are in UTC.
    """
    if state is State.REQUESTED:
        return Clock("answer", requested_at, _promise("urgencies", urgency, "x-hours"))
    if state is State.ACCEPTED:
        return Clock("start", since, _promise("needs", need, "x-answer-hours"))
    if state is State.WAITLISTED:
        return Clock("restate", since, RESTATE)
    if state is State.ON_HOLD:
        return Clock("hold", since, RESTATE)
    return None


def party_of(agency: str, sender: str, recipient: str) -> Party | None:
    """Return which side of a referral an agency is on, or None if on neither."""
    return {recipient: Party.RECIPIENT, sender: Party.SENDER}.get(agency)


def answer_by(asked: datetime, urgency: str) -> datetime:
    """Return until when an answer is promised."""
    return asked + _promise("urgencies", urgency, "x-hours")


@dataclass(frozen=True, slots=True)
class Answering:
    """What decides about an answer to an offer: who answers, when, and what they were asked and have answered."""

    is_opener: bool
    is_asked: bool
    at: datetime
    has_claimed: bool = False
    can_give: bool = True
    """Whether something is free, or a wait was stated."""


def offer_refusal(answer: Answering, ends: datetime, closed: datetime | None) -> Refused | None:
    """Return why an answer to an offer is refused, None if it is taken; to those who did not get it, it is unknown."""
    if answer.is_opener:
        return Refused("not_yours")
    if not answer.is_asked:
        return Refused("unknown_offer")
    if closed is not None or answer.at >= ends:
        return Refused("offer_closed")
    if answer.has_claimed:
        return Refused("not_possible_now")
    return None if answer.can_give else Refused("nothing_free")


def wait_band(waited: timedelta) -> str:
    """Return a wait as one of the bands of `schemas/codes/waits.json`."""
    bands = ((1, "under_24h"), (3, "days_1_3"), (7, "days_4_7"), (30, "days_8_30"), (90, "days_31_90"))
    return next((band for days, band in bands if waited < timedelta(days=days)), "over_90_days")


def _promise(codes: str, value: str, hours: str) -> timedelta:
    return timedelta(hours=int(str(next(code.extra[hours] for code in schemas.codes(codes) if code.code == value))))


def _author(state: State) -> Party:
    """Return the side whose answer leads to a state."""
    return Party.SENDER if state is State.CANCELLED else Party.HUB if state is State.WITHDRAWN else Party.RECIPIENT
