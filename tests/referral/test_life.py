"""Referrals, answers and ends of grants in any order: a simple model and the referral service agree at every step."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from services.common.database.engine import Database
from services.common.database.migrations import upgrade
from services.referral import handlers, models
from services.referral.context import Context
from services.referral.handlers import clocks
from tests.support.clocks import StillClock
from tests.support.sorting import RECIPIENT, SENDER, STRANGER, answered, ended, sealed, take

KINDS = ("accepted", "declined", "waitlisted", "started", "completed", "cancelled", "held", "resumed", "failed")
# Written out again on purpose, apart from the code: who may bring a referral from which state to which.
NEXT = {
    RECIPIENT: {
        "requested": {"accepted", "declined", "waitlisted", "held"},
        "waitlisted": {"accepted", "declined", "waitlisted", "held"},
        "accepted": {"started", "declined", "held", "failed"},
        "started": {"completed", "accepted", "held", "failed"},
    },
    SENDER: {state: {"cancelled"} for state in ("requested", "waitlisted", "accepted")},
    STRANGER: {},
}
WORKING = {"accepted", "started"}
OVER = {"completed", "declined", "cancelled", "withdrawn", "failed"}


class Life(RuleBasedStateMachine):
    """The model: the history of each referral, and which grants have ended."""

    context: Context
    referrals, grants = Bundle("referrals"), Bundle("grants")

    @initialize()
    def begin(self) -> None:
        self.histories: dict[str, list[str]] = {}
        self.grant_of: dict[str, str] = {}
        self.ended: set[str] = set()
        self.closed: set[str] = set()
        self.started: dict[str, datetime] = {}

    @rule(target=grants)
    def grant(self) -> str:
        return str(uuid4())

    @rule(target=referrals, grant=grants)
    def refer(self, grant: str) -> str:
        event = sealed(grant=grant)
        take(self.context, event)
        self.grant_of[event.key] = grant
        self.histories[event.key] = ["withdrawn" if grant in self.ended else "requested"]
        return event.key

    @rule(referral=referrals, kind=st.sampled_from(KINDS), by=st.sampled_from((SENDER, RECIPIENT, STRANGER)))
    def answer(self, referral: str, kind: str, by: str) -> None:
        take(self.context, answered(kind, referral, by))
        history = self.histories[referral]
        before = history[-2] if history[-1] == "on_hold" else history[-1]
        if history[-1] == "on_hold" and by == RECIPIENT and kind in {"resumed", before}:
            history.append(before)
        elif (before, kind) == ("started", "accepted"):
            if by == RECIPIENT and history[-1] == "started" and self.is_fresh(referral):
                history.append("accepted")
        elif kind in NEXT[by].get(before, set()) and (history[-1], kind) != ("on_hold", "held"):
            history.append({"held": "on_hold"}.get(kind, kind))
        if history[-1] == "accepted":
            self.started.pop(referral, None)
        if history[-1] == "started":
            self.started.setdefault(referral, self.context.clock.now())

    def is_fresh(self, referral: str) -> bool:
        return self.context.clock.now() - self.started[referral] <= timedelta(days=1)

    @rule(hours=st.integers(1, 40))
    def wait(self, hours: int) -> None:
        """Promises become late, and that changes no state."""
        assert isinstance(self.context.clock, StillClock)
        self.context.clock.move(timedelta(hours=hours))
        clocks.tell_overdue(self.context)

    @rule(grant=grants, reason=st.sampled_from(("revoked", "expired", "erased", "restored")))
    def end(self, grant: str, reason: str) -> None:
        if grant in self.ended:
            return
        take(self.context, ended(grant, reason))
        self.ended.add(grant)
        for referral, history in self.histories.items():
            if self.grant_of[referral] != grant or history[-1] in OVER:
                continue
            if reason == "expired" and (history[-2] if history[-1] == "on_hold" else history[-1]) in WORKING:
                self.closed.add(referral)
            else:
                history.append("withdrawn")

    @invariant()
    def both_agree(self) -> None:
        for referral, history in self.histories.items():
            view = handlers.read_referral(self.context, SENDER, referral)
            assert [step.state for step in view.steps] == history
            assert view.state == view.row.state == history[-1]

    @invariant()
    def an_envelope_waits_exactly_while_its_referral_is_open(self) -> None:
        with self.context.database.reading() as connection:
            kept = set(connection.execute(models.envelope.select()).scalars())
        mine = {name for name, history in self.histories.items() if history[-1] not in OVER} - self.closed
        assert kept & self.histories.keys() == mine


@contextmanager
def _context(url: str) -> Iterator[Context]:
    database = Database(url)
    upgrade("referral", database)
    yield Context(database, models.plumbing.outbox, StillClock())
    database.close()


@pytest.mark.slow
def test_service_follows_the_model_in_any_order_of_events(database_url: str) -> None:
    with _context(database_url) as context:
        Life.context = context
        few = settings(max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
        run_state_machine_as_test(Life, settings=few)
