"""Fiscal years begin in April."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.fiscal_periods import fiscal_quarter, fiscal_year


@pytest.mark.parametrize(
    ("day", "quarter"),
    [
        (date(2026, 3, 31), "2025-Q4"),
        (date(2026, 4, 1), "2026-Q1"),
        (date(2026, 6, 30), "2026-Q1"),
        (date(2026, 7, 1), "2026-Q2"),
        (date(2026, 9, 30), "2026-Q2"),
        (date(2026, 10, 1), "2026-Q3"),
        (date(2026, 12, 31), "2026-Q3"),
        (date(2027, 1, 1), "2026-Q4"),
        (date(2027, 3, 31), "2026-Q4"),
        (date(2028, 2, 29), "2027-Q4"),
    ],
)
def test_day_has_a_quarter_of_the_year_that_began_in_april(day: date, quarter: str) -> None:
    assert fiscal_quarter(day) == quarter
    assert fiscal_year(day) == int(quarter[:4])


@given(st.dates(date(1900, 1, 1), date(2200, 1, 1)))
def test_fiscal_year_has_twelve_months_from_april(day: date) -> None:
    begins = date(fiscal_year(day), 4, 1)
    assert begins <= day < begins.replace(year=begins.year + 1)


@given(st.dates(date(1900, 1, 1), date(2200, 1, 1)))
def test_quarters_follow_each_other_without_a_gap(day: date) -> None:
    today, tomorrow = fiscal_quarter(day), fiscal_quarter(day + timedelta(days=1))
    begins = (day + timedelta(days=1)).day == 1 and (day + timedelta(days=1)).month in {1, 4, 7, 10}
    assert (tomorrow > today) == begins
    assert begins or tomorrow == today
