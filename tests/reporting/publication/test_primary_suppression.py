"""Primary suppression, rounding by contributor set, and ratios made of protected parts only."""

from dataclasses import replace
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.auditor import published
from services.reporting.publication.drafts import begin, drift
from services.reporting.publication.primary_suppression import meets_primary_rule, ratio, round_randomly
from services.reporting.publication.true_counts import Count, TrueTable

RULES = published.rules(1)
counts = st.builds(
    lambda mine, others, key: Count(
        sum(mine) + others, len(mine), sum(mine) + others - max(mine, default=0), key, dict(enumerate_names(mine))
    ),
    st.lists(st.integers(1, 60), max_size=6),
    st.just(0),
    st.integers(0, 2**64 - 1),
)
secrets = st.binary(min_size=32, max_size=32)


def enumerate_names(sizes: list[int]) -> list[tuple[str, int]]:
    return [(f"agency-{at}", size) for at, size in enumerate(sizes)]


@settings(deadline=None)
@given(count=counts, high=st.booleans(), secret=secrets)
def test_i1_no_shown_cell_violates_the_primary_rule(count: Count, high: bool, secret: bytes) -> None:
    family = "F16" if high else "F2"
    cells: dict[tuple[str, ...], Count] = {("F16",): count, ("F15",): count} if high else {("F2",): count}
    table = TrueTable("family-legal" if high else "need", "2027", cells)
    shown = begin(("2027", 1, "2027"), (1, 1), [table], secret).shown().tables[table.table][family,]
    if shown is not None:
        assert count.persons >= (20 if high else 10)
        assert count.agencies >= 3
        assert count.persons - max(count.by_agency.values()) >= 5
        assert shown >= (20 if high else 10)


@pytest.mark.parametrize(
    ("count", "floor"),
    [
        (Count(9, 4, 7, 1, {}), 10),
        (Count(19, 4, 7, 1, {}), 20),
        (Count(30, 2, 15, 1, {}), 10),
        (Count(30, 5, 4, 1, {}), 10),
        (Count(0, 0, 0, 0, {}), 10),
    ],
)
def test_i1_threshold_agencies_and_dominance_hide_a_cell(count: Count, floor: int) -> None:
    """Few people, few agencies, or one agency that has nearly all of them."""
    assert not meets_primary_rule(count, floor, RULES)


def test_i1_cell_that_meets_every_part_of_the_rule_is_shown() -> None:
    assert meets_primary_rule(Count(10, 3, 5, 1, {}), 10, RULES)
    assert meets_primary_rule(Count(20, 3, 5, 1, {}), 20, RULES)


@given(persons=st.integers(0, 5000), key=st.integers(0, 2**64 - 1), secret=secrets)
def test_i2_equal_contributors_show_an_equal_number_everywhere(persons: int, key: int, secret: bytes) -> None:
    one = round_randomly(Count(persons, 3, 5, key, {"a": 1}), 5, secret)
    other = round_randomly(Count(persons, 7, 9, key, {"b": 2}), 5, secret)
    assert one == other


@given(persons=st.integers(0, 5000), key=st.integers(0, 2**64 - 1), secret=secrets)
def test_i3_shown_number_is_multiple_of_five_and_within_four(persons: int, key: int, secret: bytes) -> None:
    shown = round_randomly(Count(persons, 3, 5, key, {}), 5, secret)
    assert shown % 5 == 0
    assert abs(shown - persons) <= 4
    assert persons % 5 or shown == persons


@pytest.mark.parametrize("persons", [11, 12, 13, 14, 37])
def test_i3_mean_rounding_error_over_many_sets_is_zero(persons: int) -> None:
    errors = [round_randomly(Count(persons, 3, 5, key, {}), 5, b"one secret") - persons for key in range(20_000)]
    # Two fair outcomes five apart: over 20,000 of them four standard errors are less than 0.08.
    assert abs(mean(errors)) < 0.08


def test_i3_another_secret_draws_anew() -> None:
    draws = {round_randomly(Count(12, 3, 5, 7, {}), 5, bytes([secret])) for secret in range(50)}
    assert draws == {10, 15}


@given(
    numerator=st.lists(st.none() | st.integers(0, 40).map(lambda n: 5 * n), min_size=1, max_size=3),
    rest=st.none() | st.integers(0, 40).map(lambda n: 5 * n),
)
def test_ratio_has_steps_and_bounds_and_hides_with_any_part(numerator: list[int | None], rest: int | None) -> None:
    """It never says nearly none or nearly all."""
    told = ratio(numerator, [*numerator, rest], RULES)
    if None in {*numerator, rest} or not sum(value or 0 for value in [*numerator, rest]):
        assert told is None
    else:
        assert told in {"<=10", ">=90", *(str(percent) for percent in range(15, 90, 5))}


@pytest.mark.parametrize(
    ("part", "whole", "told"), [(5, 100, "<=10"), (15, 100, "15"), (40, 60, "65"), (95, 100, ">=90"), (0, 50, "<=10")]
)
def test_ratio_follows_from_the_shown_numbers(part: int, whole: int, told: str) -> None:
    assert ratio([part], [whole], RULES) == told


def test_code_and_its_only_child_show_the_same() -> None:
    count = Count(23, 4, 9, 77, {"a": 14, "b": 3, "c": 3, "d": 3})
    wide, city = ("F2", "quebec", "in_time"), ("F2", "montreal", "in_time")
    tables = [
        TrueTable("need-macro-result", "2027", {wide: count}),
        TrueTable("need-city-result", "2027", {city: count}),
    ]
    draft = begin(("2027", 1, "2027"), (1, 1), tables, b"s")
    shown = draft.shown().tables
    assert shown["need-macro-result"][wide] == shown["need-city-result"][city] is not None
    place = draft.known.place
    assert place["need-macro-result", wide] == place["need-city-result", city]
    both = replace(draft, hidden=frozenset({place["need-city-result", city]})).shown()
    assert {value for table in both.tables.values() for value in table.values()} == {None}


@pytest.mark.parametrize(("came", "told"), [(0, 0), (3, 5), (1000, 1000), (1001, 10_000), (10_001, published.MANY)])
def test_published_drift_is_a_coarse_bound(came: int, told: int) -> None:
    assert drift({"people:all": 40, "people:f1": 7}, {"people:all": 40 + came, "people:f1": 7}) == told
