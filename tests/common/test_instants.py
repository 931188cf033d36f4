"""Instants from outside are read exactly as RFC 3339 writes them, by one reader for every service."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.instants import read_date, read_instant

TEN = datetime(2026, 11, 30, 10, tzinfo=UTC)
LAST = datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)
READ = {
    "2026-11-30T10:00:00Z": TEN,
    "2026-11-30t10:00:00z": TEN,
    "2026-11-30T10:00:00+00:00": TEN,
    "2026-11-30T10:00:00-00:00": TEN,
    "2026-11-30T09:30:00-00:30": TEN,
    "2026-12-01T09:59:00+23:59": TEN,
    "2026-11-30T10:00:00.5Z": TEN.replace(microsecond=500_000),
    "2026-11-30T10:00:00.1234569Z": TEN.replace(microsecond=123_456),
    "2026-11-30T10:00:00.0000009999999999Z": TEN,
    "2016-12-31T23:59:60Z": LAST,
    "2016-12-31t15:59:60.25-08:00": LAST,
    "2017-01-01T00:59:60+01:00": LAST,
}
REFUSED = [
    "2026-11-30 10:00:00Z",
    "2026-11-30T10:00Z",
    "2026-11-30T10Z",
    "20261130T100000Z",
    "2026-11-30T100000Z",
    "2026-W49-1T10:00:00Z",
    "2026-334T10:00:00Z",
    "2026-11-30T10:00:00,5Z",
    "2026-11-30T10:00:00.Z",
    "2026-11-30T10:00:00",
    "2026-11-30",
    "2026-11-30T10:00:00+24:00",
    "2026-11-30T10:00:00+10:60",
    "2026-11-30T10:00:00+0000",
    "2026-11-30T10:00:00+00",
    "2026-11-30T10:00:00+00:00:00",
    "2026-11-30T10:00:00\u221201:00",
    "2026-11-30T1\u0660:00:00Z",
    "\uff12026-11-30T10:00:00Z",
    "2026-11-30T24:00:00Z",
    "2026-11-30T10:60:00Z",
    "2026-11-30T10:00:61Z",
    "2026-11-30T10:00:60Z",
    "2026-11-29T23:59:60Z",
    "2026-02-29T10:00:00Z",
    "2026-13-01T10:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:60Z",
    "2026-11-30T10:00:00Z\n",
    " 2026-11-30T10:00:00Z",
    "",
    None,
    1_780_315_200,
    True,
    ["2026-11-30T10:00:00Z"],
]


@pytest.mark.parametrize(("text", "instant"), READ.items())
def test_rfc_3339_instant_is_read_in_utc(text: str, instant: datetime) -> None:
    found = read_instant(text)
    assert found == instant
    assert found.tzinfo is UTC


@pytest.mark.parametrize("value", REFUSED)
def test_instant_outside_rfc_3339_is_refused(value: object) -> None:
    assert read_instant(value) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_instant_written_by_python_is_read_back(instant: datetime) -> None:
    assert read_instant(instant.isoformat()) == instant
    assert read_instant(instant.isoformat().replace("T", "t").replace("+00:00", "z")) == instant


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    assert read_instant(text) is None or len(text) >= len("2026-11-30T10:00:00Z")


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-06-01", date(2026, 6, 1)),
        ("20260601", None),
        ("2026-W23-1", None),
        ("2026-152", None),
        ("2026-06-01T00:00:00", None),
        ("\uff12026-06-01", None),
        ("2026-06-31", None),
        (20_240, None),
        (None, None),
    ],
)
def test_day_is_read_only_as_a_full_date(value: object, day: date | None) -> None:
    assert read_date(value) == day
