"""Answers what the asking agency may have now, without opening anything: nothing leaves, nothing is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.consent import consistency_tokens
from services.consent.consistency_tokens import Known, Seen
from services.consent.context import Context
from services.consent.domain import Decision, Request, Snapshot, decide
from services.consent.speaking import Act, Speech, may_speak
from services.consent.store.snapshots import read_snapshots
from services.consent.store.subjects import linked

NOBODY = Snapshot(state="erased", epoch=0, recipient=None)


@dataclass(frozen=True, slots=True)
class Question:
    """One question: may the agency, for this purpose, have these categories of the survivor with this ppid?"""

    ppid: str
    purpose: str
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer: whether all categories are permitted, the decision, and a token only where something is permitted.

    With a token, an agency that may have nothing could count her changes of mind, or tell that she exists.
    """

    decision: Decision
    whole: bool
    consent_epoch: str | None


def evaluate(
    context: Context,
    agency: str,
    questions: Sequence[Question],
    until: datetime,
    seen: Seen = consistency_tokens.NOTHING,
) -> list[Evaluation]:
    """Answer each question, in order, all at one instant on the primary; raise 503 below a presented token.

    `until` is the end of the agency's access token.
    """
    now = context.clock.now()
    with context.database.reading() as connection:
        pairs = linked(connection, sorted({(agency, question.ppid) for question in questions}))
        snapshots = read_snapshots(connection, context.roster, set(pairs.values()), [agency])

    def answer(question: Question) -> Evaluation:
        subject = pairs.get((agency, question.ppid))
        snapshot = snapshots.of(subject, agency) if subject else NOBODY
        speech = Speech(Act.READ_OWN_ACCESS, question.purpose)
        if may_speak(snapshot, agency, speech, context.policy, linked=subject is not None) is None:
            snapshot = replace(NOBODY, epoch=snapshot.epoch)
        known = Known(agency, subject, snapshot.epoch) if subject else None
        if known and seen.is_ahead_of(context, known):
            raise consistency_tokens.catching_up()
        request = Request(agency, question.purpose, question.categories, until=until)
        decision = decide(snapshot, request, now, context.policy)
        token = consistency_tokens.issue(context, known) if known and decision.permitted else None
        # A question without categories is not permitted.
        whole = bool(question.categories) and decision.permitted == question.categories
        return Evaluation(decision, whole, token)

    return [answer(question) for question in questions]
