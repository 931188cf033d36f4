"""The life of a referral: only possible moves happen, only the right party makes them, and a final state stays final."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from services.referral.domain import (
    ANSWERS,
    FINAL,
    Clock,
    Party,
    Refused,
    Repeated,
    Standing,
    State,
    answer_by,
    answered,
    clock_of,
    is_overdue,
    move,
    party_of,
    wait_band,
)

STATES, PARTIES = st.sampled_from(State), st.sampled_from([*Party, None])
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
POSSIBLE = {
    ("requested", "on_hold", "recipient"),
    ("waitlisted", "waitlisted", "recipient"),
    ("waitlisted", "on_hold", "recipient"),
    ("accepted", "on_hold", "recipient"),
    ("accepted", "failed", "recipient"),
    ("started", "accepted", "recipient"),
    ("started", "on_hold", "recipient"),
    ("started", "failed", "recipient"),
    ("on_hold", "requested", "recipient"),
    ("on_hold", "waitlisted", "recipient"),
    ("on_hold", "accepted", "recipient"),
    ("on_hold", "started", "recipient"),
    ("on_hold", "failed", "recipient"),
    ("on_hold", "declined", "recipient"),
    ("on_hold", "cancelled", "sender"),
    ("on_hold", "withdrawn", "hub"),
    ("requested", "accepted", "recipient"),
    ("requested", "declined", "recipient"),
    ("requested", "waitlisted", "recipient"),
    ("requested", "cancelled", "sender"),
    ("waitlisted", "accepted", "recipient"),
    ("waitlisted", "declined", "recipient"),
    ("waitlisted", "cancelled", "sender"),
    ("accepted", "started", "recipient"),
    ("accepted", "declined", "recipient"),
    ("accepted", "cancelled", "sender"),
    ("started", "completed", "recipient"),
    ("requested", "withdrawn", "hub"),
    ("waitlisted", "withdrawn", "hub"),
    ("accepted", "withdrawn", "hub"),
    ("started", "withdrawn", "hub"),
}


def test_only_the_written_moves_are_possible() -> None:
    taken = {
        (state.value, to.value, party.value)
        for state, to, party in product(State, State, Party)
        if move(state, to, party) is to
    }
    assert taken == POSSIBLE


@given(STATES, STATES)
def test_stranger_is_told_that_no_referral_exists(state: State, to: State) -> None:
    """The answer does not depend on the state of the referral."""
    assert move(state, to, None) == Refused("unknown_referral")


@given(STATES, STATES, PARTIES)
def test_every_refusal_has_a_reason_from_the_code_list(state: State, to: State, party: Party | None) -> None:
    outcome = move(state, to, party)
    assert outcome is to or (isinstance(outcome, Refused) and outcome.reason in schemas.code_set("refusals"))


@given(st.sampled_from(sorted(FINAL)), STATES, PARTIES)
def test_nothing_follows_a_final_state(state: State, to: State, party: Party | None) -> None:
    assert isinstance(move(state, to, party), Refused)


@given(st.sampled_from(sorted(set(State) - FINAL)))
def test_only_the_hub_withdraws_and_any_open_referral(state: State) -> None:
    assert move(state, State.WITHDRAWN, Party.HUB) is State.WITHDRAWN
    assert {type(move(state, State.WITHDRAWN, party)) for party in (Party.SENDER, Party.RECIPIENT, None)} == {Refused}


def test_states_are_the_codes_and_each_answer_asks_for_one() -> None:
    assert {str(state) for state in State} == set(schemas.code_set("referral_states"))
    assert set(ANSWERS.values()) == {*State, None} - {State.REQUESTED, State.WITHDRAWN}
    assert set(ANSWERS) < set(schemas.event_types())


def test_agency_on_neither_side_has_no_party() -> None:
    assert [party_of(name, "a", "b") for name in ("a", "b", "c")] == [Party.SENDER, Party.RECIPIENT, None]


@pytest.mark.parametrize(("urgency", "hours"), [("1h", 1), ("3h", 3), ("24h", 24), ("72h", 72), ("14d", 336)])
def test_urgency_is_a_promise_to_answer(urgency: str, hours: int) -> None:
    assert answer_by(NOON, urgency) == NOON + timedelta(hours=hours)
    assert {urgency} <= set(schemas.code_set("urgencies"))


@given(STATES, st.timedeltas(min_value=-timedelta(days=20), max_value=timedelta(days=20)))
def test_only_a_late_unanswered_request_is_overdue(state: State, late: timedelta) -> None:
    assert is_overdue(state, NOON, NOON + late) == (state is State.REQUESTED and late > timedelta())


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=4000)))
def test_every_wait_falls_into_one_band_of_the_code_list(waited: timedelta) -> None:
    assert wait_band(waited) in schemas.code_set("waits")


@pytest.mark.parametrize(
    ("days", "before", "at"),
    [
        (1, "under_24h", "days_1_3"),
        (3, "days_1_3", "days_4_7"),
        (7, "days_4_7", "days_8_30"),
        (30, "days_8_30", "days_31_90"),
        (90, "days_31_90", "over_90_days"),
    ],
)
def test_band_ends_where_the_next_begins(days: int, before: str, at: str) -> None:
    assert wait_band(timedelta(days=days) - timedelta(seconds=1)) == before
    assert wait_band(timedelta(days=days)) == at


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


@pytest.mark.parametrize("state", sorted(set(State) - {State.REQUESTED, State.WAITLISTED}))
def test_repeated_answer_is_no_error(state: State) -> None:
    by = Party.SENDER if state is State.CANCELLED else Party.HUB if state is State.WITHDRAWN else Party.RECIPIENT
    assert answered(Standing(state), state, by, at(1)) == Repeated()


def test_waiting_list_can_be_restated() -> None:
    assert answered(Standing(State.WAITLISTED), State.WAITLISTED, Party.RECIPIENT, at(1)) is State.WAITLISTED


@pytest.mark.parametrize(("hours", "taken"), [(0, True), (24, True), (24.01, False)])
def test_start_can_be_taken_back_for_a_day(hours: float, taken: bool) -> None:
    outcome = answered(Standing(State.STARTED, NOON), State.ACCEPTED, Party.RECIPIENT, at(hours))
    assert outcome == (State.ACCEPTED if taken else Refused("not_possible_now"))


@pytest.mark.parametrize("before", [State.REQUESTED, State.WAITLISTED, State.ACCEPTED, State.STARTED])
def test_hold_ends_in_the_state_before_it(before: State) -> None:
    begun = NOON if before is State.STARTED else None
    held = Standing(State.ON_HOLD, begun, before)
    assert answered(held, None, Party.RECIPIENT, at(1)) is before
    assert answered(held, None, Party.SENDER, at(1)) == Refused("not_yours")
    assert answered(held, None, None, at(1)) == Refused("unknown_referral")


@pytest.mark.parametrize("before", [State.REQUESTED, State.WAITLISTED, State.ACCEPTED, State.STARTED])
@pytest.mark.parametrize("party", [Party.SENDER, Party.RECIPIENT])
def test_hold_opens_no_move_that_was_not_possible_before(before: State, party: Party) -> None:
    begun = NOON if before is State.STARTED else None
    for to in set(State) - {State.ON_HOLD}:
        outcome = answered(Standing(State.ON_HOLD, begun, before), to, party, at(1), same=False)
        unheld = answered(Standing(before, begun), to, party, at(1), same=False)
        if (before, to) == (State.STARTED, State.ACCEPTED):
            assert outcome == Refused("not_possible_now") if party is Party.RECIPIENT else isinstance(outcome, Refused)
        elif to is not before:
            assert outcome == unheld


@pytest.mark.parametrize("state", [State.COMPLETED, State.DECLINED, State.FAILED, State.CANCELLED, State.ON_HOLD])
def test_answer_with_another_reason_is_no_repetition(state: State) -> None:
    by = Party.SENDER if state is State.CANCELLED else Party.RECIPIENT
    assert answered(Standing(state, None, State.ACCEPTED), state, by, NOON, same=False) == Refused("not_possible_now")


@pytest.mark.parametrize("state", sorted(set(State) - {State.ON_HOLD}))
def test_only_a_hold_can_be_resumed(state: State) -> None:
    assert answered(Standing(state), None, Party.RECIPIENT, at(1)) == Refused("not_possible_now")


@given(st.sampled_from(sorted(FINAL)), st.sampled_from([None, *State]), PARTIES)
def test_no_answer_leads_out_of_a_final_state(state: State, to: State | None, party: Party | None) -> None:
    assert isinstance(answered(Standing(state), to, party, NOON), Refused | Repeated)


@pytest.mark.parametrize(
    ("state", "about", "hours"),
    [
        (State.REQUESTED, "answer", 3),
        (State.ACCEPTED, "start", 72),
        (State.WAITLISTED, "restate", 14 * 24),
        (State.STARTED, None, 0),
        (State.ON_HOLD, "hold", 14 * 24),
        (State.DECLINED, None, 0),
    ],
)
def test_each_open_state_has_its_promise(state: State, about: str | None, hours: int) -> None:
    clock = clock_of(state, NOON, NOON - timedelta(hours=2), "3h", "N02")
    assert (clock.about if clock else None) == about
    if clock:
        assert clock.about in schemas.code_set("referral_clocks")
        begun = NOON - timedelta(hours=2) if state is State.REQUESTED else NOON
        assert (clock.since, clock.promise) == (begun, timedelta(hours=hours))


def test_promise_is_told_at_one_two_and_four_times() -> None:
    clock = Clock("answer", NOON, timedelta(hours=3))
    assert [clock.late(at(hours)) for hours in (2.9, 3, 5.9, 6, 11.9, 12, 100)] == [0, 1, 1, 2, 2, 4, 4]
    assert [clock.next_due(told) for told in (0, 1, 2, 4)] == [at(3), at(6), at(12), None]


def test_each_state_has_the_status_of_a_fhir_task() -> None:
    known = {"draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold"}
    known |= {"failed", "completed", "entered-in-error"}
    assert {code.extra["x-fhir-task"] for code in schemas.codes("referral_states")} <= known
