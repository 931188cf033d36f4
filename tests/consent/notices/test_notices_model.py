"""Test notices against a model over random histories: an agency that has read them all knows exactly what flows."""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.common.auth.jose import verify
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from services.consent.handlers.notices import poll
from services.consent.handlers.notices.poll import Poll
from services.consent.models import notice
from services.consent.store import permissions
from services.consent.store.snapshots import read_snapshots
from tests.support.consent import Agency, House
from tests.support.notice_receiver import Receiver

CATEGORIES = ("health", "legal", "summary")
LATE = timedelta(hours=24)


class History(RuleBasedStateMachine):
    """Two agencies, one survivor, and every act that changes what flows to the agencies."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house, self.context = house, house.context
        self.paused = False
        self.restricted: dict[UUID, str] = {}
        self.live: dict[UUID, tuple[int, frozenset[str]]] = {}
        self.given: dict[UUID, frozenset[str]] = {}

    @initialize()
    def begin(self) -> None:
        self.agencies: list[Agency] = [self.house.agency(), self.house.agency()]
        self.receivers = [Receiver(), Receiver()]
        self.person = self.house.person(self.agencies[0])
        for to in (0, 1):
            self.give(to, set(CATEGORIES), 60)

    def flows(self, grant: UUID) -> frozenset[str]:
        """Return the categories that the model permits under a grant."""
        if grant not in self.live or self.paused:
            return frozenset()
        return self.live[grant][1] - set(self.restricted.values())

    @rule(to=st.integers(0, 1), categories=st.sets(st.sampled_from(CATEGORIES), min_size=1), days=st.integers(5, 9))
    def give(self, to: int, categories: set[str], days: int) -> None:
        name = self.house.allow(self.person, self.agencies[to], *categories, days=days)
        if name not in self.live:
            self.live[name] = to, frozenset(categories)
            self.given[name] = self.flows(name)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.live)))
        grants.revoke_grant(self.context, self.person.subject, name)
        del self.live[name]

    @rule()
    def pause(self) -> None:
        grants.pause(self.context, self.person.subject)
        self.paused = True

    @rule()
    def resume(self) -> None:
        grants.resume(self.context, self.person.subject)
        self.paused = False

    @rule(category=st.sampled_from(CATEGORIES))
    def restrict(self, category: str) -> None:
        self.restricted[grants.restrict(self.context, self.person.subject, Rule(category=category))] = category

    @precondition(lambda self: self.restricted)
    @rule(data=st.data())
    def lift(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.restricted)))
        grants.lift_restriction(self.context, self.person.subject, name)
        del self.restricted[name]

    @rule(who=st.integers(0, 1), some=st.sampled_from([1, 10]), seed=st.randoms(use_true_random=False))
    def read_and_acknowledge(self, who: int, some: int, seed: Any) -> None:
        """Read a few notices, in any order and each of them twice; acknowledge what was read."""
        read = poll.poll(self.context, self.agencies[who].id, Poll(at_most=some)).sets
        order = list(read.values()) * 2
        seed.shuffle(order)
        for token in order:
            self.receivers[who].take(verify(token, self.context.signer.key, "notice").claims)
        poll.poll(self.context, self.agencies[who].id, Poll([UUID(name) for name in read], at_most=0))

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        self.house.clock.move(timedelta(hours=hours))
        for name in list(self.live):
            with self.context.database.reading() as connection:
                row = permissions.get_grant(connection, name)
            if row is not None and row.valid_until <= self.house.clock.now():
                del self.live[name]
        grants.end_lapsed(self.context, 10_000)

    @invariant()
    def agency_that_read_everything_may_use_exactly_what_flows(self) -> None:
        for who, receiver in enumerate(self.receivers):
            if not self.waiting(who):
                for name, opened in self.given.items():
                    if self.to(name) == who:
                        assert receiver.usable(str(name), opened) == self.flows(name)

    @invariant()
    def notice_waits_for_every_stop_an_agency_has_not_read(self) -> None:
        """Whenever an agency may use more than flows, a waiting notice for that grant will stop it."""
        for who, receiver in enumerate(self.receivers):
            waiting = self.waiting(who)
            for name, opened in self.given.items():
                if self.to(name) == who and receiver.usable(str(name), opened) - self.flows(name):
                    assert [row for row in waiting if row.grant_id == name]

    @invariant()
    def overdue_ack_stops_delivery(self) -> None:
        for who, agency in enumerate(self.agencies):
            late = any(row.made_at + LATE <= self.house.clock.now() for row in self.waiting(who))
            with self.context.database.reading() as connection:
                snapshots = read_snapshots(connection, self.context.roster, [self.person.subject], [agency.id])
            recipient = snapshots.of(self.person.subject, agency.id).recipient
            assert recipient is not None
            assert (recipient.standing == "active") is not late

    @invariant()
    def one_notice_for_a_grant_and_epoch(self) -> None:
        rows = self.house.rows(notice, notice.c.subject_id == self.person.subject)
        assert len({(row.grant_id, row.epoch) for row in rows}) == len(rows)
        assert all(row.categories for row in rows)

    def to(self, name: UUID) -> int:
        with self.context.database.reading() as connection:
            row = permissions.get_grant(connection, name)
        assert row is not None
        return [agency.id for agency in self.agencies].index(row.agency)

    def waiting(self, who: int) -> list[Any]:
        agency = self.agencies[who].id
        return self.house.rows(notice, notice.c.agency == agency, notice.c.acknowledged_at.is_(None))


def test_notices_agree_with_a_simple_model(house: House) -> None:
    quick = settings(max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(partial(History, house), settings=quick)  # type: ignore[arg-type]
