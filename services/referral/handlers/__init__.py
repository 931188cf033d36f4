"""Handles each event and question of the referral service, in one transaction each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from services.common.errors import not_found
from services.common.instants import read_instant
from services.common.messaging.cloudevents import Event
from services.common.messaging.consumer import INBOX_DAYS
from services.referral import events, store
from services.referral.context import Context
from services.referral.domain import (
    ANSWERED,
    ANSWERS,
    FINAL,
    TAKEN_ON,
    Party,
    Refused,
    Repeated,
    Standing,
    State,
    answer_by,
    answered,
    move,
    party_of,
    wait_band,
)
from services.referral.handlers import clocks, feed, offers
from services.referral.store.feed import Listed, add_to_lists

PAGE = 100


def open_referral(context: Context, connection: Connection, event: Event) -> None:
    """Handle `referral.sealed.v1`: a referral begins, and its envelope waits for the recipient."""
    data, now = event.data, context.clock.now()
    gone = store.hold_grant(connection, data["grant"])
    erased = gone and store.is_erased(connection, data["grant"])
    row = {
        "id": data["referral"],
        "sender": data["from"],
        "recipient": data["to"],
        **{name: data[name] for name in events.ROUTING},
        "grant_id": data["referral"] if erased else data["grant"],
        "state": State.WITHDRAWN if gone else State.REQUESTED,
        "statistics": None if erased else data.get("statistics"),
        # The time at which intake took it: it counts in the fiscal year of her pseudonym, even if it arrives here
        # later.
        "requested_at": event.time,
        # Also from that time: a delay on the bus is no excuse.
        "answer_by": answer_by(event.time, data["urgency"]),
        "promise_since": event.time,
        "due_at": None if gone else answer_by(event.time, data["urgency"]),
        "changed_at": now,
    }
    kept = store.add_referral(connection, row, None if gone else data["envelope"])
    add_to_lists(connection, Listed(kept.id, kept.sender, kept.recipient))
    _tell_sides(context, connection, kept)
    context.outbox.add(connection, [events.updated(context.clock, kept, None)], now)
    if not gone and "offer" in data:
        offers.close_for(context, connection, data["offer"], data["from"], event.time)


def answer(context: Context, connection: Connection, event: Event) -> None:
    """Handle `referral.accepted.v1` and the other answers; an answer that is not possible goes back to its sender."""
    row = store.get_referral(connection, event.data["referral"], lock=True)
    party = party_of(event.source, row.sender, row.recipient) if row else None
    outcome = _answered(context, connection, row, party, event) if row else Refused("unknown_referral")
    if row and party and store.still_since(connection, row.grant_id, event.source):
        # Shut out, an agency acts on nothing of hers any more; the answer is one that a late act would get.
        outcome = Refused("not_possible_now")
    if isinstance(outcome, Refused) or row is None:
        reason = outcome.reason if isinstance(outcome, Refused) else "unknown_referral"
        feed.refuse(context, connection, event, reason)
        return
    if isinstance(outcome, Repeated):
        return
    _enter(context, connection, row, outcome, event.data)


def withdraw(context: Context, connection: Connection, event: Event) -> None:
    """Handle `grant.ended.v1`: withdraw every open referral under the grant, and delete its envelope.

    If its date came, what was accepted or started goes on without content (DESIGN, section 6). If she was erased, the
    referrals also lose what joins them to each other and to her pseudonym.
    """
    grant = event.data["grant"]
    store.end_grant(connection, grant, context.clock.now())
    rows = store.under_grant(connection, grant)
    if event.data["reason"] == "erased":
        store.erase_grant(connection, grant)
    for row in rows:
        if event.data["reason"] == "expired" and _taken_on(row):
            store.remove_envelope(connection, row.id)
            _tell_sides(context, connection, row)
            continue
        if not isinstance(move(State(row.state), State.WITHDRAWN, Party.HUB), Refused):
            _enter(context, connection, row, State.WITHDRAWN, {})


def stand_still(context: Context, connection: Connection, event: Event) -> None:
    """Handle `sender.shut_out.v1`: let the referrals under a grant stand still for an agency, or move again."""
    grant, agency = event.data["grant"], event.data["agency"]
    if event.data["shut_out"]:
        store.stand_still(connection, grant, agency, context.clock.now())
    elif (since := store.still_since(connection, grant, agency)) is not None:
        store.move_again(connection, grant, agency)
        for row in store.under_grant(connection, grant):
            if row.changed_at > since and party_of(agency, row.sender, row.recipient):
                feed.tell(context, connection, [agency], feed.UPDATED, row.id, row.state)


def forget_pseudonyms(connection: Connection, event: Event) -> None:
    """Handle `statistics.withdrawn.v1`: the referrals stay, and count for nobody any more."""
    store.forget_pseudonyms(connection, event.data["pseudonyms"])


def forget_erased(context: Context) -> None:
    """Remove grants of the erased for which no event can still be on its way."""
    with context.database.transaction() as connection:
        store.forget_erased(connection, context.clock.now() - INBOX_DAYS)


def note_disclosure(connection: Connection, event: Event) -> None:
    """Handle `disclosure.made.v1`: both sides may see that the envelope has been opened."""
    if event.data["outcome"] != "refused":
        store.note_opened(connection, event.data["referral"], event.time)


def keep_service(connection: Connection, event: Event) -> None:
    """Handle `capacity.declared.v1`: keep who offers which service where."""
    named = {name: event.data[name] for name in ("program", "need", "region", "unit", "available")}
    # When it was true, not when it was posted: statements may be posted in another order.
    as_of = read_instant(event.data["as_of"]) or event.time
    store.keep_service(connection, {"agency": event.source, **named, "as_of": as_of})


def read_inbox(context: Context, agency: str, after: int = 0) -> Sequence[store.AnyRow]:
    """Return a page of what waits for an agency, from just after a place in its list."""
    with context.database.reading() as connection:
        return store.inbox(connection, agency, after, PAGE)


@dataclass(frozen=True, slots=True)
class View:
    """A referral as one of its sides may see it: as it is, or as it was when the hub made it stand still for that side."""

    row: store.AnyRow
    state: str
    opened_at: datetime | None
    steps: Sequence[store.AnyRow]
    wait: str | None
    outcome: str | None
    promise_since: datetime | None


def read_referral(context: Context, agency: str, referral: str) -> View:
    """Return a referral with its history, for its two sides only; raise 404 for anybody else."""
    with context.database.reading() as connection:
        row = store.get_referral(connection, referral)
        if row is None or party_of(agency, row.sender, row.recipient) is None:
            raise not_found()
        steps = store.steps_of(connection, referral)
        since = store.still_since(connection, row.grant_id, agency)
    if since is None:
        return View(row, row.state, row.opened_at, steps, row.wait, row.outcome, row.promise_since)
    # Its first step is always seen: it may have come after she shut the agency out.
    seen = [step for step in steps if step.at <= since] or steps[:1]
    opened = row.opened_at if row.opened_at and row.opened_at <= since else None
    wait = next((step.wait for step in reversed(seen) if step.wait), None)
    outcome = row.outcome if len(seen) == len(steps) else None
    begun = [step.at for step in seen if step.state == State.ACCEPTED]
    promised = begun[0] if seen[-1].state == State.ACCEPTED else seen[-1].at
    return View(row, seen[-1].state, opened, seen, wait, outcome, promised)


def _enter(context: Context, connection: Connection, row: store.AnyRow, state: State, data: object) -> None:
    """Bring a referral into a state that `move` has allowed, and send the event."""
    now = context.clock.now()
    told = dict(data) if isinstance(data, dict) else {}
    reason = told.get("reason")
    if state in FINAL:
        store.remove_envelope(connection, row.id)
    values = {
        "state": state,
        "changed_at": now,
        **clocks.begin(connection, row, state, now),
        "before_hold": row.state if state is State.ON_HOLD else None,
        "wait": told.get("wait", row.wait),
        "outcome": told.get("outcome", row.outcome),
    }
    changed = store.change_referral(connection, row.id, **values)
    store.add_step(connection, row.id, state, reason, now, told.get("wait"))
    why = {
        "reason": reason if state is State.DECLINED else None,
        "cancellation": reason if state is State.CANCELLED else None,
        "hold": reason if state is State.ON_HOLD else None,
        "failure": reason if state is State.FAILED else None,
        "wait": told.get("wait"),
        "outcome": told.get("outcome"),
        "answered": wait_band(now - row.requested_at) if _unanswered(row) and state in ANSWERED else None,
        "waited": wait_band(now - row.requested_at) if state is State.STARTED else None,
    }
    context.outbox.add(connection, [events.updated(context.clock, changed, row.state, **why)], now)
    _tell_sides(context, connection, changed)


def _answered(
    context: Context, connection: Connection, row: store.AnyRow, party: Party | None, event: Event
) -> State | Refused | Repeated:
    """Return what an answer does. The hub's clock counts: an agency writes the time of its event itself."""
    steps = store.steps_of(connection, row.id)
    state, before = State(row.state), State(row.before_hold) if row.before_hold else None
    begun: datetime | None = None
    for step in steps:
        if step.state == State.STARTED:
            begun = begun or step.at  # not anew after a hold
        elif step.state == State.ACCEPTED:
            begun = None
    said, kept = event.data.get("reason", event.data.get("outcome")), steps[-1].reason or row.outcome
    standing = Standing(state, begun, before)
    return answered(standing, ANSWERS[event.type], party, context.clock.now(), same=said is None or said == kept)


def _unanswered(row: store.AnyRow) -> bool:
    """Return whether a request has had no answer so far, also if it rests."""
    return State.REQUESTED in {row.state, row.before_hold if row.state == State.ON_HOLD else None}


def _taken_on(row: store.AnyRow) -> bool:
    """Return whether a referral was accepted or started, also if it rests since."""
    return (row.before_hold if row.state == State.ON_HOLD else row.state) in TAKEN_ON


def _tell_sides(context: Context, connection: Connection, row: store.AnyRow) -> None:
    """Tell both sides of a referral its state, except one for which it stands still."""
    still = store.still_for(connection, row.grant_id)
    feed.tell(context, connection, {row.sender, row.recipient} - still, feed.UPDATED, row.id, row.state)
