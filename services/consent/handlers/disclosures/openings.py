"""Openings: the only way in which content leaves. Decided, recorded and sent under a shared lock on each survivor.

The order is the point, and each step of it has a counter-example when it is left out (see docs/adr/0004): lock, decide
for the very grant the envelope names, commit the ledger's intent, open, send, record the outcome, unlock. A batch goes
the same way all together; one box is a batch of one.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection

from services.common import metrics
from services.common.database.engine import transaction_on
from services.common.errors import unavailable
from services.consent import consistency_tokens, events
from services.consent.consistency_tokens import Seen
from services.consent.context import Context
from services.consent.domain import Decision, Request, Snapshot, decide
from services.consent.envelopes import Box, Unopenable, open_box, read_box
from services.consent.handlers.grants import notes
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.locks import Busy
from services.consent.store import keys as key_store
from services.consent.store import permissions, subjects
from services.consent.store.snapshots import read_snapshots

AT_ONCE = 24
"""Openings under way in one process: fewer than it has threads and connections, so that a revocation finds one free."""
BATCHES_AT_ONCE = 4
"""Of these, batches: each may hold many survivors still, and much content in memory."""
_places, _batch_places = BoundedSemaphore(AT_ONCE), BoundedSemaphore(BATCHES_AT_ONCE)


@dataclass(slots=True)
class Opening:
    """Boxes under way: what may leave is ready to be sent, and the locks are held until `finish`."""

    context: Context
    held: ExitStack
    agency: str
    boxes: Sequence[Box]
    connection: Connection | None = None
    whole: bool = True
    """Whether this is one box asked for by itself, of which the answer is the whole answer."""

    @property
    def content(self) -> bytes:
        """The bytes that leave."""
        told = [_result(box) for box in self.boxes]
        return json.dumps(self.boxes[0].answer if self.whole else {"openings": told}).encode()

    @property
    def opened(self) -> bool:
        """Whether any content is about to leave."""
        return any(box.opened for box in self.boxes)

    def finish(self, outcome: str) -> None:
        """Record what became of it, then let go of the locks; they go even when recording fails."""
        with self.held:
            _record_outcomes(self, outcome)
        for box in self.boxes:
            metrics.openings.add(1, {"outcome": outcome if box.opened else "refused"})


def begin_opening(context: Context, agency: str, text: str, seen: Seen = consistency_tokens.NOTHING) -> Opening:
    """Do everything up to the first byte. Raises the one 404 for whatever may not be opened."""
    opening = _begin(context, agency, [text], seen)
    if not opening.opened:
        raise opening.boxes[0].refusal
    return opening


def begin_openings(
    context: Context, agency: str, texts: Sequence[str], seen: Seen = consistency_tokens.NOTHING
) -> Opening:
    """The same for several boxes; each has its own result, in order, and one that stays closed keeps no other back."""
    opening = _begin(context, agency, texts, seen)
    opening.whole = False
    return opening


def _begin(context: Context, agency: str, texts: Sequence[str], seen: Seen) -> Opening:
    with ExitStack() as held:
        held.enter_context(_place(_places))
        if len(texts) > 1:
            held.enter_context(_place(_batch_places))
        opening = Opening(context, held, agency, [read_box(text) for text in texts])
        _find_subjects(opening)
        _refuse_closed(opening, seen)
        others = [box for box in opening.boxes if not box.closed]
        free = _lock(opening, others)
        if opening.connection is not None:
            with transaction_on(opening.connection):
                _decide_and_record(opening, opening.connection, [box for box in others if box.subject in free], seen)
        opening.held = held.pop_all()
    _fill(opening)
    if not opening.opened:
        opening.finish("refused")
    return opening


@contextmanager
def _place(places: BoundedSemaphore) -> Iterator[None]:
    if not places.acquire(blocking=False):
        raise unavailable("Too many boxes are being opened. Please try again in a moment.", 1)
    try:
        yield
    finally:
        places.release()


def _find_subjects(opening: Opening) -> None:
    with opening.context.database.reading() as connection:
        owners = permissions.owners(connection, [box.grant for box in opening.boxes])
    for box in opening.boxes:
        if box.grant in owners:
            box.subject, recipient, ended = owners[box.grant]
            box.closed = ended or recipient != opening.agency


def _refuse_closed(opening: Opening, seen: Seen) -> None:
    """Record the refusals for which nobody need hold still: who waited would learn that she is just changing something."""
    closed = [box for box in opening.boxes if box.closed]
    if closed:
        with opening.context.database.transaction() as connection:
            subjects.hold(connection, {box.owner for box in closed})
            _decide_and_record(opening, connection, closed, seen)


def _lock(opening: Opening, boxes: Sequence[Box]) -> Collection[UUID | None]:
    """Take everybody's lock; who could be locked. Boxes of those who are just changing something may be asked for again."""
    wanted = {box.subject for box in boxes if box.subject}
    locks, held = opening.context.locks, opening.held
    free: Collection[UUID] = wanted
    if len(wanted) > 1:
        opening.connection, free = held.enter_context(locks.opening_free(wanted))
    elif wanted:
        try:
            opening.connection = held.enter_context(locks.opening(list(wanted)))
        except Busy:
            free = ()
    for box in boxes:
        if box.subject and box.subject not in free:
            box.problem = unavailable("Her permissions are just changing. Please try again in a moment.", 1)
    return free


def _decide_and_record(opening: Opening, connection: Connection, boxes: Sequence[Box], seen: Seen) -> None:
    """Decide on the primary and commit the ledger's lines, of intents and of refusals, in the caller's transaction."""
    context, now = opening.context, opening.context.clock.now()
    owners = {box.owner for box in boxes}
    snapshots = read_snapshots(connection, context.roster, owners, [opening.agency])
    terms = permissions.terms_of(connection, [box.grant for box in boxes])
    entries = {}
    for place, box in enumerate(boxes):
        recipient, purpose = terms.get(box.grant, ("", ""))
        snapshot = snapshots.of(box.owner, opening.agency)
        if recipient == opening.agency and _is_behind(opening, connection, box, snapshot, seen):
            # Nobody else is told so: for them there is nothing here.
            box.problem = consistency_tokens.catching_up()
            continue
        request = Request(opening.agency, purpose, context.policy.categories & box.parts, box.grant)
        entries[place] = _entry(opening, box, decide(snapshot, request, now, context.policy))
    first = ledger.append(connection, list(entries.values()), now) if entries else 0
    for position, place in enumerate(entries, first):
        if (answer := boxes[place].answer) is not None:
            answer["ledger"] = position


def _is_behind(opening: Opening, connection: Connection, box: Box, snapshot: Snapshot, seen: Seen) -> bool:
    """Whether this database has not yet seen what the box was sealed after, or what the agency has seen.

    To decide on it could revive a grant that has ended.
    """
    known = consistency_tokens.Known(opening.agency, box.owner, snapshot.epoch)
    was_ahead = snapshot.epoch < box.header.epoch and _is_as_sealed(opening, connection, box)
    return was_ahead or seen.is_ahead_of(opening.context, known)


def _is_as_sealed(opening: Opening, connection: Connection, box: Box) -> bool:
    """Whether nobody wrote another epoch on a box: with made-up ones, an agency could count her changes of mind."""
    secret = key_store.grant_secrets(connection, opening.context.keys, [box.grant]).get(box.grant)
    try:
        open_box(box, X25519PrivateKey.from_private_bytes(secret) if secret else None)
    except Unopenable:
        return False
    return True


def _entry(opening: Opening, box: Box, decision: Decision) -> Entry:
    """The ledger's line, of an intent or of a refusal; the box knows from here on which it is."""
    header, agency = box.header, opening.agency
    box.opening = opening.context.clock.new_id()
    facts = {"opening": str(box.opening), "referral": header.id, "grant": header.grant, "epoch": decision.epoch}
    facts |= {"policy": decision.policy_version, "rules": _rules(decision)}
    foreign = header.recipient != agency
    if foreign or box.closed or not decision.permitted:
        return Entry("opening.refused", box.subject, agency, facts | ({"foreign": True} if foreign else {}))
    box.categories = decision.permitted
    token = consistency_tokens.issue(opening.context, consistency_tokens.Known(agency, box.owner, decision.epoch))
    box.answer = {"grant": header.grant, "decision": _told(decision), "epoch": decision.epoch, "consent_epoch": token}
    return Entry("opening.intended", box.subject, agency, facts | {"categories": sorted(box.categories)})


def _fill(opening: Opening) -> None:
    """Unwrap the grants' keys and open the parts; whatever cannot be opened is refused like what may not be."""
    boxes = [box for box in opening.boxes if box.answer is not None]
    if not boxes:
        return
    assert opening.connection is not None  # noqa: S101 - on which the intents of these boxes were committed
    try:
        with transaction_on(opening.connection):
            ppids = subjects.ppids(opening.connection, opening.agency, {box.owner for box in boxes})
            secrets = key_store.grant_secrets(opening.connection, opening.context.keys, [box.grant for box in boxes])
            hers = notes.approved(opening.connection, secrets)
        privates = {grant: X25519PrivateKey.from_private_bytes(secret) for grant, secret in secrets.items()}
        for box in boxes:
            _fill_one(box, privates.get(box.grant), ppids.get(box.owner), hers.get(box.grant))
    except BaseException:
        opening.finish("indeterminate")
        raise


def _fill_one(box: Box, private: X25519PrivateKey | None, ppid: str | None, hers: str | None) -> None:
    try:
        parts = open_box(box, private)
    except Unopenable:
        box.answer = None
        return
    if hers is not None and "summary" in parts:
        # What she wrote for this agency herself stands in place of what somebody sent as her words.
        parts = {**parts, "summary": {"text": hers}}
    box.answer = {"parts": parts, "ppid": ppid, **(box.answer or {})}


def _record_outcomes(opening: Opening, outcome: str) -> None:
    context, now = opening.context, opening.context.clock.now()
    intended = [box for box in opening.boxes if box.categories]
    if not intended:
        return
    assert opening.connection is not None  # noqa: S101 - on which the intents of these boxes were committed
    entries, made = [], []
    for box in intended:
        header, became = box.header, outcome if box.opened else "refused"
        facts = {"opening": str(box.opening), "referral": header.id}
        entries.append(Entry(f"opening.{became}", box.subject, header.recipient, facts))
        if became != "refused":
            disclosed = events.Disclosure(box.opening, header.id, header.grant, header.recipient, box.categories)
            made.append(events.disclosure_made(context.clock, disclosed, became))
    with transaction_on(opening.connection):
        context.outbox.add(opening.connection, made, now)
        ledger.append(opening.connection, entries, now)


def _result(box: Box) -> dict[str, object]:
    """One box's result among those of a batch."""
    return {"status": 200, **box.answer} if box.answer is not None else box.refusal.as_json()


def _rules(decision: Decision) -> dict[str, str]:
    return {category: verdict.rule for category, verdict in decision.verdicts.items()}


def _told(decision: Decision) -> dict[str, object]:
    """What the recipient learns of the decision: what it may have. Why it may not have the rest is not its business."""
    until = decision.valid_until.isoformat() if decision.valid_until else None
    return {"permitted": sorted(decision.permitted), "policy": decision.policy_version, "valid_until": until}
