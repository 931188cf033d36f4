"""Decides before sealing: which parts of an event may be sealed, under which grant, to which key.

Intake sends the digest of each part, and is answered with the digests that may be sealed: so this service alone compares a
text with what she has read, no clear part comes here, and intake never holds a digest of a text that was not posted to it.
An opening compares once more (`openings`), so that nothing else leaves even if intake sealed it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from services.consent.context import Context
from services.consent.domain import Decision, Grant, Request, Snapshot, best_grant, decide
from services.consent.handlers.grants import approved_texts
from services.consent.handlers.grants.approved_texts import HERS, Approved
from services.consent.handlers.rights.statistics import statistics_pseudonym
from services.consent.speaking import Act, Speech, may_speak
from services.consent.store.snapshots import Snapshots, read_snapshots
from services.consent.store.subjects import linked


@checked(frozen=True, slots=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class Sending:
    """An event that an agency is about to send, about whom it knows as `ppid`; without `to` it only asks for statistics.

    `texts` holds the digest of each part (`services.common.part_texts`).
    """

    agency: str
    ppid: str
    to: str | None
    purpose: str | None
    categories: frozenset[str]
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seal:
    """The grant to seal under, its public key, and the categories that may be sealed, in alphabetical order.

    Of each category only the text with the digest in `texts` may be sealed; in those of `hers` she wrote herself, and no
    posted text is sealed at all. `epoch` is the grant's own: the recipient can read it.
    """

    grant: str
    public_key: bytes
    categories: tuple[str, ...]
    epoch: int
    texts: Mapping[str, str] = field(default_factory=dict)
    hers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What may be sealed, if anything, and her pseudonym if she is counted.

    `not_as_approved` holds the withheld categories where she allows this agency certain texts only, word for word. An agency
    that may not speak for her gets the empty answer, as one that was never linked to her: intake cannot tell why.
    """

    seal: Seal | None = None
    statistics: str | None = None
    not_as_approved: tuple[str, ...] = ()


NOTHING = Answer()


def decide_sendings(context: Context, sendings: Sequence[Sending]) -> list[Answer]:
    """Answer each sending, in order, all at one instant.

    No lock is taken: what is sealed here still cannot be opened once its grant has ended, since the grant's key is destroyed.
    """
    now = context.clock.now()
    with context.database.reading() as connection:
        pairs = linked(connection, sorted({(sending.agency, sending.ppid) for sending in sendings}))
        agencies = {name for sending in sendings for name in (sending.agency, sending.to) if name}
        snapshots = read_snapshots(connection, context.roster, set(pairs.values()), agencies)
        receiving = {sending.to for sending in sendings}
        noted = {one.id for owned in snapshots.grants.values() for one in owned if _may_carry_note(one, receiving)}
        approved = approved_texts.read(context, connection, snapshots.bound, noted)
    return [_answer(context, _Known(snapshots, pairs, approved), sending, now) for sending in sendings]


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything that was read for one request."""

    snapshots: Snapshots
    pairs: Mapping[tuple[str, str], UUID]
    approved: Approved


def _answer(context: Context, known: _Known, sending: Sending, now: datetime) -> Answer:
    subject = known.pairs.get((sending.agency, sending.ppid))
    row = known.snapshots.subjects.get(subject) if subject else None
    if subject is None or row is None:
        return NOTHING
    about_a_need = sending.to is None or sending.purpose is None
    act = Act.POST_NEED if about_a_need else Act.POST_REFERRAL
    speech = Speech(act, sending.purpose, frozenset() if about_a_need else sending.categories)
    snapshot = known.snapshots.of(subject, sending.agency)
    allowed = may_speak(snapshot, sending.agency, speech, context.policy, linked=True)
    if sending.to is None or sending.purpose is None:
        return NOTHING if allowed is None else Answer(statistics=statistics_pseudonym(row, now.date()))
    if allowed is None and not _may_speak_at_all(context, snapshot, sending):
        return NOTHING
    statistics = None if allowed is None else statistics_pseudonym(row, now.date())
    request = Request(sending.to, sending.purpose, allowed or frozenset())
    snapshot = known.snapshots.of(subject, sending.to)
    seal = _seal(context, known, replace(snapshot, grants=_as_posted(known, snapshot, sending)), request, now)
    if seal is not None:
        seal = replace(seal, texts={name: told for name, told in sending.texts.items() if name in seal.categories})
    withheld = sending.categories - frozenset(seal.categories if seal else ())
    bound = bool(withheld) and _allows_certain_texts(context, known, snapshot, request, now)
    return Answer(seal, statistics, tuple(sorted(withheld)) if bound else ())


def _may_speak_at_all(context: Context, snapshot: Snapshot, sending: Sending) -> bool:
    """Tell whether the agency may post anything about her for this purpose, though not these categories."""
    speech = Speech(Act.POST_REFERRAL, sending.purpose, context.policy.categories)
    return may_speak(snapshot, sending.agency, speech, context.policy, linked=True) is not None


def _as_posted(known: _Known, snapshot: Snapshot, sending: Sending) -> list[Grant]:
    """Return her grants, those bound to texts without the categories in which something else was posted."""

    def fitting(grant: Grant) -> Grant:
        if grant.id not in known.snapshots.bound:
            return grant
        return replace(grant, categories=grant.categories & known.approved.fitting(grant.id, sending.texts))

    return [fitting(grant) for grant in snapshot.grants]


def _seal(context: Context, known: _Known, snapshot: Snapshot, request: Request, now: datetime) -> Seal | None:
    decision = decide(snapshot, request, now, context.policy)
    chosen = best_grant(decision, snapshot.grants)
    if chosen is None:
        return None
    categories = _under(decision, chosen.id)
    hers = (HERS,) if HERS in categories and chosen.id in known.approved.with_note else ()
    key, epoch = known.snapshots.public_keys[chosen.id], known.snapshots.epochs[chosen.id]
    return Seal(str(chosen.id), key, categories, epoch, hers=hers)


def _allows_certain_texts(context: Context, known: _Known, snapshot: Snapshot, request: Request, now: datetime) -> bool:
    """Tell whether she allows this recipient certain texts for this purpose, whichever categories were posted.

    It does not depend on them: otherwise the reason would tell what she has forbidden.
    """
    every = context.policy.categories
    wide = [replace(grant, categories=every) for grant in snapshot.grants if grant.id in known.snapshots.bound]
    asked = replace(request, categories=every)
    return bool(wide) and bool(decide(replace(snapshot, grants=wide), asked, now, context.policy).permitted)


def _may_carry_note(grant: Grant, receiving: Collection[str | None]) -> bool:
    return grant.agency in receiving and HERS in grant.categories


def _under(decision: Decision, grant: object) -> tuple[str, ...]:
    # Sorted, since it goes into an answer: equal questions get equal bytes.
    return tuple(sorted(category for category, verdict in decision.verdicts.items() if grant in verdict.grants))
