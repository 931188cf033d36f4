"""Decides before sealing: which parts of an event may be sealed, under which grant, to which key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from services.consent.context import Context
from services.consent.domain import Decision, Request, best_grant, decide
from services.consent.handlers.rights.statistics import statistics_pseudonym
from services.consent.speaking import Act, Speech, may_speak
from services.consent.store.snapshots import Snapshots, read_snapshots
from services.consent.store.subjects import linked


@checked(frozen=True, slots=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class Sending:
    """An event that an agency is about to send, about whom it knows as `ppid`; without `to` it only asks for statistics."""

    agency: str
    ppid: str
    to: str | None
    purpose: str | None
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class Seal:
    """The grant to seal under, its public key, and the categories that may be sealed, in alphabetical order.

    `epoch` is the grant's own: the recipient can read it.
    """

    grant: str
    public_key: bytes
    categories: tuple[str, ...]
    epoch: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What may be sealed, if anything, and her pseudonym if she is counted.

    An agency that may not speak for her gets the empty answer, as one that was never linked to her: intake cannot tell why.
    """

    seal: Seal | None = None
    statistics: str | None = None


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
    return [_answer(context, snapshots, pairs, sending, now) for sending in sendings]


def _answer(
    context: Context, snapshots: Snapshots, pairs: Mapping[tuple[str, str], UUID], sending: Sending, now: datetime
) -> Answer:
    subject = pairs.get((sending.agency, sending.ppid))
    row = snapshots.subjects.get(subject) if subject else None
    if subject is None or row is None:
        return NOTHING
    about_a_need = sending.to is None or sending.purpose is None
    act = Act.POST_NEED if about_a_need else Act.POST_REFERRAL
    speech = Speech(act, sending.purpose, frozenset() if about_a_need else sending.categories)
    snapshot = snapshots.of(subject, sending.agency)
    allowed = may_speak(snapshot, sending.agency, speech, context.policy, linked=True)
    if allowed is None:
        return NOTHING
    statistics = statistics_pseudonym(row, now.date())
    if sending.to is None or sending.purpose is None:
        return Answer(statistics=statistics)
    snapshot = snapshots.of(subject, sending.to)
    decision = decide(snapshot, Request(sending.to, sending.purpose, allowed), now, context.policy)
    chosen = best_grant(decision, snapshot.grants)
    if chosen is None:
        return Answer(statistics=statistics)
    key, epoch = snapshots.public_keys[chosen.id], snapshots.epochs[chosen.id]
    seal = Seal(str(chosen.id), key, _under(decision, chosen.id), epoch)
    return Answer(seal, statistics)


def _under(decision: Decision, grant: object) -> tuple[str, ...]:
    # Sorted, since it goes into an answer: equal questions get equal bytes.
    return tuple(sorted(category for category, verdict in decision.verdicts.items() if grant in verdict.grants))
