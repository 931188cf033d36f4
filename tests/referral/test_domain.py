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
    Party,
    Refused,
    State,
    answer_by,
    is_overdue,
    move,
    party_of,
    wait_band,
)

STATES, PARTIES = st.sampled_from(State), st.sampled_from([*Party, None])
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
POSSIBLE = {
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
    assert set(ANSWERS.values()) == set(State) - {State.REQUESTED, State.WITHDRAWN}
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
