"""The fold: order and repeats change nothing, one survivor counts once, and a withdrawal leaves nothing behind."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select, text

from services.common.messaging.cloudevents import Event
from services.reporting import handlers
from services.reporting.models import journal
from services.reporting.store.counts import HALF
from tests.support.clocks import NOON
from tests.support.counted import AGENCIES, Asked, CountingContext, asked, events_of, pseudonym, withdrawal

some = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
many = settings(some, max_examples=150)
histories = st.lists(asked, max_size=8)
BED = Asked(
    1, "N02", "toronto", "crisis", AGENCIES[0], AGENCIES[1], date(2026, 4, 1), ("requested", "accepted", "started")
)


class Crash(Exception):
    """The process dies before it commits."""


def any_order(counting: CountingContext, told: Sequence[Asked], dice: Random, size: int) -> None:
    events = events_of(told)
    counting.empty()
    counting.take(events)
    expected, tables = counting.state(), counting.every_table()
    shuffled = [*events, *dice.choices(events, k=len(events))] if events else []
    dice.shuffle(shuffled)
    counting.empty()
    counting.take(shuffled, size)
    assert counting.state() == expected
    assert counting.every_table() == tables


@some
@given(told=histories, dice=st.randoms(), size=st.integers(1, 7))
def test_i14_any_order_repetition_and_batches_give_the_same(
    counting: CountingContext, told: Sequence[Asked], dice: Random, size: int
) -> None:
    any_order(counting, told, dice, size)


@pytest.mark.soak
@many
@given(told=histories, dice=st.randoms(), size=st.integers(1, 7))
def test_i14_any_order_gives_the_same_at_length(
    counting: CountingContext, told: Sequence[Asked], dice: Random, size: int
) -> None:
    """Any order, any repetition and any batches, with many histories."""
    any_order(counting, told, dice, size)


def withdrawal_anywhere(counting: CountingContext, told: Sequence[Asked], who: int, dice: Random) -> None:
    counting.empty()
    counting.take(events_of([history for history in told if history.who != who]))
    expected, tables = counting.state(), counting.every_table()
    events = [*events_of(told), withdrawal(1, who)]
    # Topics have no order among each other: the withdrawal may come first, last or in between, and come again.
    dice.shuffle(events)
    counting.empty()
    counting.take([*events, *events], 3)
    assert counting.state() == expected
    assert counting.every_table() == tables


@some
@given(told=histories, who=st.integers(1, 6), dice=st.randoms())
def test_i10_withdrawal_leaves_a_history_without_her(
    counting: CountingContext, told: Sequence[Asked], who: int, dice: Random
) -> None:
    withdrawal_anywhere(counting, told, who, dice)


@pytest.mark.soak
@many
@given(told=histories, who=st.integers(1, 6), dice=st.randoms())
def test_i10_withdrawal_leaves_a_history_without_her_at_length(
    counting: CountingContext, told: Sequence[Asked], who: int, dice: Random
) -> None:
    withdrawal_anywhere(counting, told, who, dice)


def her_weight(counting: CountingContext, told: Sequence[Asked], who: int) -> None:
    counting.empty()
    counting.take(events_of(told))
    with_her, sums = counting.every_table(), counting.state().sums
    counting.take([withdrawal(1, who)])
    without, left = counting.every_table(), counting.state().sums
    weights = Counter[tuple[str, str]]()
    for cell, sum_ in sums.items():
        change = sum_.persons - (left[cell].persons if cell in left else 0)
        assert change in {0, 1}
        weights[cell.quarter, cell.family] += change
    assert set(weights.values()) <= {0, 1}
    families = len({history.need for history in told if history.who == who})
    for name, table in with_her.items():
        changes = [count.persons - without[name].cells[key].persons for key, count in table.cells.items()]
        assert set(changes) <= {0, 1}
        # In each family she is in one cell of a table; a code and one that holds it may both be listed, as in
        # `declines`.
        assert sum(changes) <= 2 * families


@some
@given(told=histories, who=st.integers(1, 6))
def test_i8_one_survivor_changes_few_cells_by_one(counting: CountingContext, told: Sequence[Asked], who: int) -> None:
    """No cell changes by more than one."""
    her_weight(counting, told, who)


@pytest.mark.soak
@many
@given(told=histories, who=st.integers(1, 6))
def test_i8_one_survivor_changes_few_cells_by_one_at_length(
    counting: CountingContext, told: Sequence[Asked], who: int
) -> None:
    her_weight(counting, told, who)


def rebuilt(counting: CountingContext, told: Sequence[Asked], chunk: int) -> None:
    counting.empty()
    counting.take(events_of(told), 4)
    folded, tables = counting.state(), counting.every_table()
    with counting.database.transaction() as connection:
        connection.execute(text("DELETE FROM contribution"))
        connection.execute(text("UPDATE cell SET persons = persons + 3, low = 7"))
    assert handlers.rebuild(counting.context, lambda _done, _total: None, chunk) == len(folded.journal)
    assert counting.state() == folded
    assert counting.every_table() == tables


@some
@given(told=histories, chunk=st.integers(1, 5))
def test_i15_fold_equals_a_full_rebuild(counting: CountingContext, told: Sequence[Asked], chunk: int) -> None:
    rebuilt(counting, told, chunk)


@pytest.mark.soak
@many
@given(told=histories, chunk=st.integers(1, 5))
def test_i15_fold_equals_a_full_rebuild_at_length(counting: CountingContext, told: Sequence[Asked], chunk: int) -> None:
    rebuilt(counting, told, chunk)


class Life(RuleBasedStateMachine):
    """Events, repeats, crashes, withdrawals and rebuilds in any order, beside a list of what should still count."""

    counting: CountingContext

    def __init__(self) -> None:
        super().__init__()
        self.counting.empty()
        self.past: list[Event] = []
        self.told: list[Asked] = []
        self.gone: set[int] = set()

    @rule(history=asked, dice=st.randoms())
    def come(self, history: Asked, dice: Random) -> None:
        events = history.events(len(self.told))
        dice.shuffle(events)
        self.told.append(history)
        self.past += events
        self.counting.take(events, 2)

    @rule(dice=st.randoms())
    def come_again(self, dice: Random) -> None:
        if self.past:
            self.counting.take(dice.choices(self.past, k=5))

    @rule(who=st.integers(1, 6))
    def say_no(self, who: int) -> None:
        self.gone.add(who)
        self.past.append(withdrawal(who, who))
        self.counting.take(self.past[-1:])

    @rule()
    def die_in_the_middle(self) -> None:
        with pytest.raises(Crash):
            self._take_and_die()

    def _take_and_die(self) -> None:
        keys = self.counting.context.contributors
        with self.counting.database.transaction() as connection:
            handlers.fold(keys, BED.events(99))(connection)
            handlers.withdraw(keys, [withdrawal(9, 1, 2, 3)])(connection)
            raise Crash

    @rule()
    def rebuild(self) -> None:
        handlers.rebuild(self.counting.context, lambda _done, _total: None, 3)

    @invariant()
    def only_what_should_counts(self) -> None:
        found = self.counting.state()
        people = {pseudonym(history.who) for history in self.told if history.who not in self.gone}
        assert {row[0] for row in found.journal} == people == {group.statistics for group in found.places}
        # The sums are those of the places, by hand.
        keys = self.counting.context.contributors
        persons, total = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        for group, place in found.places.items():
            persons[group.quarter, group.family, place.region, place.stage, str(place.result)] += 1
            total[group.quarter, group.family, place.region, place.stage, str(place.result)] += keys(
                group.statistics, group.quarter
            )
        sums = {(*cell[:4], str(cell.result)): sum_ for cell, sum_ in found.sums.items()}
        assert {cell: sum_.persons for cell, sum_ in sums.items()} == persons
        assert {cell: (sum_.high << HALF) + sum_.low for cell, sum_ in sums.items()} == total


def live(counting: CountingContext, lives: int, steps: int) -> None:
    machine = type("ThisLife", (Life,), {"counting": counting})
    run_state_machine_as_test(machine, settings=settings(some, max_examples=lives, stateful_step_count=steps))


def test_i10_i14_life_of_events_crashes_and_withdrawals(counting: CountingContext) -> None:
    """With rebuilds in between."""
    live(counting, 4, 10)


@pytest.mark.soak
def test_i10_i14_many_lives_of_events_and_crashes(counting: CountingContext) -> None:
    """With withdrawals and rebuilds in between."""
    live(counting, 60, 30)


def test_need_without_a_referral_counts_as_not_started(counting: CountingContext) -> None:
    """Its recorder is on both sides."""
    data = {"need": "N02", "stage": "crisis", "region": "toronto", "agency": AGENCIES[1], "statistics": pseudonym(1)}
    counting.take([Event("n1", "intake", "need.counted.v1", NOON, data, "n1")])
    count = {table.table: table for table in counting.tables("2026-Q1")}["need-result"].cells["F2", "not_started"]
    assert (count.persons, count.by_agency) == (1, {AGENCIES[1]: 1})


def test_event_without_a_pseudonym_leaves_nothing(counting: CountingContext) -> None:
    data = {name: value for name, value in BED.events(1)[0].data.items() if name != "statistics"}
    counting.take([Event("e1", "referral", "referral.updated.v1", NOON, data, "r1")])
    assert counting.state().journal == frozenset()


def test_only_quarters_and_no_referral_ids_are_kept(counting: CountingContext) -> None:
    counting.take(BED.events(1))
    with counting.database.reading() as connection:
        kept = [str(value) for row in connection.execute(select(journal)) for value in row]
    assert sorted(kept) == sorted(
        [pseudonym(1), "2026-Q1", "N02", "toronto", "crisis", *AGENCIES[:2], "", "72", "24", "1"]
    )


def test_uncountable_event_is_parked_and_blocks_no_other(counting: CountingContext) -> None:
    broken = Event("x1", "referral", "referral.updated.v1", NOON, {**BED.events(2)[0].data, "need": "N99"}, "r2")
    counting.take([broken, *BED.events(1)])
    assert len(counting.state().journal) == 1
    with counting.database.reading() as connection:
        assert [item.key for item in counting.consumer.parking.summary(connection)] == ["r2"]


def test_two_workers_at_once_lose_and_double_nothing(counting: CountingContext) -> None:
    asks = [replace(BED, who=who, states=("requested", "accepted", "started")) for who in range(1, 9)]
    events = events_of(asks)
    halves = (events[::2] + events[1::3], events[1::2] + events[::3])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda half: counting.take(half, 2), halves))
    found = counting.state()
    assert len(found.places) == 8
    assert [sum_.persons for sum_ in found.sums.values()] == [8]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_batch_never_scans_all_places(counting: CountingContext) -> None:
    """Its cost must not grow with what was counted before."""
    everyone = [replace(BED, who=who) for who in range(1, 1201)]
    counting.take(events_of(everyone[:1000]))
    before = scans(counting)
    counting.take(events_of(everyone[1000:]))
    assert scans(counting) == before


def scans(counting: CountingContext) -> list[tuple[str, int]]:
    """Return how often each table was read from its beginning to its end."""
    query = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('journal', 'contribution') ORDER BY 1"
    with counting.consumer.database.reading() as connection:
        # The session that did it reports it at once.
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        return [(row.relname, row.seq_scan) for row in connection.execute(text(query))]
