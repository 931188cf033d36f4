"""Decides before sealing: which parts of an event may be sealed, under which grant, to which key."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from services.consent.context import Context
from services.consent.domain import Decision, Request, best_grant, decide, is_shut_out
from services.consent.handlers.rights.statistics import statistics_pseudonym
from services.consent.store.snapshots import read_snapshots
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
    """Whether the agency is linked to her, what may be sealed if anything, and her pseudonym if she is counted."""

    linked: bool
    seal: Seal | None = None
    statistics: str | None = None


def decide_sendings(context: Context, sendings: Sequence[Sending]) -> list[Answer]:
    """Answer each sending, in order, all at one instant.

    No lock is taken: what is sealed here still cannot be opened once its grant has ended, since the grant's key is destroyed.
    """
    now = context.clock.now()
    with context.database.reading() as connection:
        pairs = linked(connection, sorted({(sending.agency, sending.ppid) for sending in sendings}))
        recipients = {sending.to for sending in sendings if sending.to}
        snapshots = read_snapshots(connection, context.roster, set(pairs.values()), recipients)

    def answer(sending: Sending) -> Answer:
        subject = pairs.get((sending.agency, sending.ppid))
        row = snapshots.subjects.get(subject) if subject else None
        if subject is None or row is None or row.state == "erased":
            return Answer(linked=False)
        statistics = statistics_pseudonym(row, now.date())
        if sending.to is None or sending.purpose is None:
            return Answer(linked=True, statistics=statistics)
        snapshot = snapshots.of(subject, sending.to)
        if is_shut_out(snapshot, sending.agency):
            # Like a pause: otherwise it would learn that she shut it out, and what she allows to whom.
            return Answer(linked=True, statistics=statistics)
        decision = decide(snapshot, Request(sending.to, sending.purpose, sending.categories), now, context.policy)
        chosen = best_grant(decision, snapshot.grants)
        if chosen is None:
            return Answer(linked=True, statistics=statistics)
        seal = Seal(
            str(chosen.id), snapshots.public_keys[chosen.id], _under(decision, chosen.id), snapshots.epochs[chosen.id]
        )
        return Answer(linked=True, seal=seal, statistics=statistics)

    return [answer(sending) for sending in sendings]


def _under(decision: Decision, grant: object) -> tuple[str, ...]:
    # Sorted, since it goes into an answer: equal questions get equal bytes.
    return tuple(sorted(category for category, verdict in decision.verdicts.items() if grant in verdict.grants))
