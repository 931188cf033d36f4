"""Openings: content leaves through here only. Decided, recorded and sent under a shared lock on each survivor.

The order matters, and each step has a counter-example when it is left out (docs/adr/0004): lock, decide for the very grant
that the envelope names, commit the ledger's intent, open, send, record the outcome, unlock. A batch goes this way all
together; one envelope is a batch of one. An envelope that stands in a batch twice is opened once and answered twice.
"""

import json
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection

from services.common import metrics
from services.common.database.engine import transaction_on
from services.common.errors import unavailable
from services.consent import consistency_tokens, events
from services.consent.agency_quotas import SharedPlaces
from services.consent.consistency_tokens import Seen
from services.consent.context import Context
from services.consent.domain import Decision, Request, Snapshot, decide
from services.consent.envelopes import RequestedEnvelope, Unopenable, as_delivered, open_envelope, read_envelope
from services.consent.handlers.grants import approved_texts, notes
from services.consent.handlers.grants.approved_texts import Approved
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.locks import Busy
from services.consent.store import keys as key_store
from services.consent.store import permissions, subjects
from services.consent.store.snapshots import read_snapshots

AT_ONCE = 24
"""Openings at once in one process: fewer than its threads and connections, so that a revocation finds one free."""
BATCHES_AT_ONCE = 4
"""Batches among these: each may lock many survivors and hold much content in memory."""
_places, _batch_places = SharedPlaces(AT_ONCE), SharedPlaces(BATCHES_AT_ONCE)


@dataclass(slots=True)
class Opening:
    """Envelopes during an opening: what may leave is ready to be sent, and the locks are held until `finish`."""

    context: Context
    held: ExitStack
    agency: str
    envelopes: Sequence[RequestedEnvelope]
    """Every envelope once."""
    asked: Sequence[RequestedEnvelope]
    """The envelopes as they were asked for, in order and perhaps more than once."""
    connection: Connection | None = None
    whole: bool = True
    """Whether this is a single envelope, whose answer is the whole answer."""

    @property
    def content(self) -> bytes:
        """The bytes that leave: JSON."""
        told = [_result(envelope) for envelope in self.asked]
        return json.dumps(self.envelopes[0].answer if self.whole else {"openings": told}).encode()

    @property
    def opened(self) -> bool:
        """Whether any content is about to leave."""
        return any(envelope.opened for envelope in self.envelopes)

    def finish(self, outcome: str) -> None:
        """Record the outcome, then release the locks; they are released even if recording fails."""
        with self.held:
            _record_outcomes(self, outcome)
        for envelope in self.asked:
            metrics.openings.add(1, {"outcome": outcome if envelope.opened else "refused"})


def begin_opening(context: Context, agency: str, text: str, seen: Seen = consistency_tokens.NOTHING) -> Opening:
    """Do everything up to the first byte of one envelope; raise the uniform 404 for whatever may not be opened."""
    opening = _begin(context, agency, [text], seen)
    if not opening.opened:
        raise opening.envelopes[0].refusal
    return opening


def begin_openings(
    context: Context, agency: str, texts: Sequence[str], seen: Seen = consistency_tokens.NOTHING
) -> Opening:
    """Do everything up to the first byte of several envelopes; each has its own result, in order."""
    opening = _begin(context, agency, texts, seen)
    opening.whole = False
    return opening


def _begin(context: Context, agency: str, texts: Sequence[str], seen: Seen) -> Opening:
    context.refusals.check(agency)
    with ExitStack() as held:
        held.enter_context(_places.hold(agency))
        if len(texts) > 1:
            held.enter_context(_batch_places.hold(agency))
        envelopes = {text: read_envelope(text) for text in texts}
        opening = Opening(context, held, agency, list(envelopes.values()), [envelopes[text] for text in texts])
        _find_subjects(opening)
        _refuse_closed(opening, seen)
        others = [envelope for envelope in opening.envelopes if not envelope.closed]
        free = _lock(opening, others)
        if opening.connection is not None:
            with transaction_on(opening.connection):
                _decide_and_record(
                    opening, opening.connection, [envelope for envelope in others if envelope.subject in free], seen
                )
        opening.held = held.pop_all()
    _fill(opening)
    context.refusals.spend(agency, sum(envelope.refused for envelope in opening.envelopes))
    if not opening.opened:
        opening.finish("refused")
    return opening


def _find_subjects(opening: Opening) -> None:
    with opening.context.database.reading() as connection:
        owners = permissions.owners(connection, [envelope.grant for envelope in opening.envelopes])
        unknown = {envelope.grant for envelope in opening.envelopes} - owners.keys()
        digests = {grant: opening.context.secrets.erased_grant(grant) for grant in unknown}
        erased = permissions.erased_among(connection, digests.values()) if digests else set()
    for envelope in opening.envelopes:
        if envelope.grant in owners:
            envelope.subject, recipient, ended = owners[envelope.grant]
            envelope.closed = ended or recipient != opening.agency
        elif digests[envelope.grant] in erased:
            envelope.subject, envelope.closed = key_store.NOBODY, True


def _refuse_closed(opening: Opening, seen: Seen) -> None:
    """Record refusals that need no lock: an answer that waited would tell that she is just changing something."""
    closed = [envelope for envelope in opening.envelopes if envelope.closed]
    if closed:
        with opening.context.database.transaction() as connection:
            subjects.hold(connection, {envelope.owner for envelope in closed})
            _decide_and_record(opening, connection, closed, seen)


def _lock(opening: Opening, envelopes: Sequence[RequestedEnvelope]) -> Collection[UUID | None]:
    """Lock the survivors and return those who could be locked; envelopes of the others get a problem to try again."""
    wanted = {envelope.subject for envelope in envelopes if envelope.subject}
    locks, held = opening.context.locks, opening.held
    free: Collection[UUID] = wanted
    if len(wanted) > 1:
        opening.connection, free = held.enter_context(locks.opening_free(wanted))
    elif wanted:
        try:
            opening.connection = held.enter_context(locks.opening(list(wanted)))
        except Busy:
            free = ()
    for envelope in envelopes:
        if envelope.subject and envelope.subject not in free:
            envelope.problem = unavailable("Her permissions are just changing. Please try again in a moment.", 1)
    return free


def _decide_and_record(
    opening: Opening, connection: Connection, envelopes: Sequence[RequestedEnvelope], seen: Seen
) -> None:
    """Decide on the primary and record intents and refusals in the ledger, in the caller's transaction."""
    context, now = opening.context, opening.context.clock.now()
    owners = {envelope.owner for envelope in envelopes}
    snapshots = read_snapshots(connection, context.roster, owners, [opening.agency])
    terms = permissions.terms_of(connection, [envelope.grant for envelope in envelopes])
    entries = {}
    for place, envelope in enumerate(envelopes):
        recipient, purpose, epoch, envelope.only_this = terms.get(envelope.grant, ("", "", 0, True))
        snapshot = snapshots.of(envelope.owner, opening.agency)
        envelope.epoch = epoch
        if snapshot.state == "erased":
            # Perhaps a moment ago: the refusal is recorded, and tied to nobody.
            envelope.subject = key_store.NOBODY
        if recipient == opening.agency and _is_behind(opening, connection, envelope, snapshot, seen):
            # Only the recipient is told so; for others the envelope is absent.
            envelope.problem = consistency_tokens.catching_up()
            continue
        request = Request(opening.agency, purpose, context.policy.categories & envelope.parts, envelope.grant)
        entries[place] = _entry(opening, envelope, decide(snapshot, request, now, context.policy))
    if entries:
        ledger.append(connection, list(entries.values()), now)


def _is_behind(
    opening: Opening, connection: Connection, envelope: RequestedEnvelope, snapshot: Snapshot, seen: Seen
) -> bool:
    """Tell whether this database is older than the envelope's epoch, or than what the agency has seen.

    To decide on it could revive a grant that has ended.
    """
    known = consistency_tokens.Known(opening.agency, envelope.owner, snapshot.epoch)
    was_ahead = envelope.epoch < envelope.header.epoch and _is_as_sealed(opening, connection, envelope)
    return was_ahead or seen.is_ahead_of(opening.context, known)


def _is_as_sealed(opening: Opening, connection: Connection, envelope: RequestedEnvelope) -> bool:
    """Tell whether the epoch on an envelope is genuine: with made-up ones, an agency could count her changes of mind."""
    secret = key_store.grant_secrets(connection, opening.context.keys, [envelope.grant]).get(envelope.grant)
    try:
        open_envelope(envelope, X25519PrivateKey.from_private_bytes(secret) if secret else None)
    except Unopenable:
        return False
    return True


def _entry(opening: Opening, envelope: RequestedEnvelope, decision: Decision) -> Entry:
    """Return the ledger entry, of an intent or of a refusal, and note on the envelope which it is."""
    header, agency = envelope.header, opening.agency
    envelope.opening = opening.context.clock.new_id()
    facts = {"opening": str(envelope.opening), "referral": header.id, "grant": header.grant, "epoch": decision.epoch}
    facts |= {"policy": decision.policy_version, "rules": _rules(decision)}
    foreign = header.recipient != agency
    if foreign or envelope.closed or not decision.permitted:
        return Entry("opening.refused", envelope.subject, agency, facts | ({"foreign": True} if foreign else {}))
    envelope.categories = decision.permitted
    token = consistency_tokens.issue(opening.context, consistency_tokens.Known(agency, envelope.owner, decision.epoch))
    envelope.answer = {
        "grant": header.grant,
        "decision": _told(decision),
        "epoch": envelope.epoch,
        "consent_epoch": token,
        # Not the position in the ledger: from two of them, an agency could count the acts of everybody between.
        "ledger": str(envelope.opening),
    }
    return Entry("opening.intended", envelope.subject, agency, facts | {"categories": sorted(envelope.categories)})


def _fill(opening: Opening) -> None:
    """Unwrap the grants' keys and open the parts; whatever cannot be opened is refused like what may not be."""
    envelopes = [envelope for envelope in opening.envelopes if envelope.answer is not None]
    if not envelopes:
        return
    assert opening.connection is not None  # noqa: S101 - on which the intents of these envelopes were committed
    try:
        with transaction_on(opening.connection):
            ppids = subjects.ppids(opening.connection, opening.agency, {envelope.owner for envelope in envelopes})
            secrets = key_store.grant_secrets(
                opening.connection, opening.context.keys, [envelope.grant for envelope in envelopes]
            )
            hers = notes.approved(opening.connection, secrets)
            bound = {envelope.grant for envelope in envelopes if envelope.only_this}
            approved = approved_texts.read(opening.context, opening.connection, bound)
        privates = {grant: X25519PrivateKey.from_private_bytes(secret) for grant, secret in secrets.items()}
        for envelope in envelopes:
            _fill_one(envelope, privates.get(envelope.grant), hers.get(envelope.grant), approved)
            if envelope.answer is not None:
                envelope.answer["ppid"] = ppids.get(envelope.owner)
    except BaseException:
        opening.finish("indeterminate")
        raise


def _fill_one(
    envelope: RequestedEnvelope, private: X25519PrivateKey | None, hers: str | None, approved: Approved
) -> None:
    try:
        parts = open_envelope(envelope, private)
    except Unopenable:
        parts = {}
    if envelope.only_this and not approved_texts.are_approved(approved, envelope.grant, parts):
        # Intake seals no such text. Whatever did, it does not leave.
        parts = {}
    delivered = as_delivered(parts, hers)
    envelope.answer = {"parts": delivered, "ppid": None, **(envelope.answer or {})} if delivered else None


def _record_outcomes(opening: Opening, outcome: str) -> None:
    context, now = opening.context, opening.context.clock.now()
    intended = [envelope for envelope in opening.envelopes if envelope.categories]
    if not intended:
        return
    assert opening.connection is not None  # noqa: S101 - on which the intents of these envelopes were committed
    entries, made = [], []
    for envelope in intended:
        header, became = envelope.header, outcome if envelope.opened else "refused"
        facts: dict[str, Any] = {"opening": str(envelope.opening), "referral": header.id, "grant": header.grant}
        facts |= {"categories": sorted(envelope.categories)} if became != "refused" else {}
        entries.append(Entry(f"opening.{became}", envelope.subject, header.recipient, facts))
        if became != "refused":
            disclosed = events.Disclosure(
                envelope.opening, header.id, header.grant, header.recipient, envelope.categories
            )
            made.append(events.disclosure_made(context.clock, disclosed, became))
    with transaction_on(opening.connection):
        context.outbox.add(opening.connection, made, now)
        ledger.append(opening.connection, entries, now)


def _result(envelope: RequestedEnvelope) -> dict[str, object]:
    """Return one envelope's result among those of a batch."""
    return {"status": 200, **envelope.answer} if envelope.answer is not None else envelope.refusal.as_json()


def _rules(decision: Decision) -> dict[str, str]:
    return {category: verdict.rule for category, verdict in decision.verdicts.items()}


def _told(decision: Decision) -> dict[str, object]:
    """Return what the recipient learns of the decision: what it may have, and not why it may not have the rest."""
    until = decision.valid_until.isoformat() if decision.valid_until else None
    return {"permitted": sorted(decision.permitted), "policy": decision.policy_version, "valid_until": until}
