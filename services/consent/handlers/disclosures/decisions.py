"""Deciding before sealing: which parts of an event may be sealed, under which grant, to which key."""

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
    """An event about to be sent by an agency that knows her as `ppid`. Without `to` it only asks whether she is counted."""

    agency: str
    ppid: str
    to: str | None
    purpose: str | None
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class Seal:
    """Under which grant, to which key, and which categories may be sealed, in alphabetical order."""

    grant: str
    public_key: bytes
    categories: tuple[str, ...]
    epoch: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the agency is linked to her, what may be sealed if anything, and her statistics pseudonym if she is counted."""

    linked: bool
    seal: Seal | None = None
    statistics: str | None = None


def decide_sendings(context: Context, sendings: Sequence[Sending]) -> list[Answer]:
    """Answer for each sending, in order, all at one instant.

    No lock is taken: what is sealed here can still not be opened once its grant has ended, since the grant's key is gone.
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
            # As if she had paused: it would otherwise learn that she shut it out, and whom she allows what.
            return Answer(linked=True, statistics=statistics)
        decision = decide(snapshot, Request(sending.to, sending.purpose, sending.categories), now, context.policy)
        chosen = best_grant(decision, snapshot.grants)
        if chosen is None:
            return Answer(linked=True, statistics=statistics)
        seal = Seal(str(chosen.id), snapshots.public_keys[chosen.id], _under(decision, chosen.id), decision.epoch)
        return Answer(linked=True, seal=seal, statistics=statistics)

    return [answer(sending) for sending in sendings]


def _under(decision: Decision, grant: object) -> tuple[str, ...]:
    # In order, since it is written into an answer: the same question gets the same bytes.
    return tuple(sorted(category for category, verdict in decision.verdicts.items() if grant in verdict.grants))
