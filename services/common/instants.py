"""Reads instants and dates that arrive from outside, exactly as RFC 3339 writes them; every service reads them here."""

import re
from datetime import UTC, date, datetime, timedelta

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]"
    r"([0-9]{2}:[0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
MICROSECOND_DIGITS = 6
LAST_MICROSECOND = 999_999


def read_instant(value: object) -> datetime | None:
    """Return the instant that an RFC 3339 date-time names, in UTC; None for anything else.

    Digits after the microsecond are cut off. A leap second (23:59:60 UTC on the last day of a month) is read as the last
    microsecond before it, so that it stays within its own day and fiscal quarter.
    """
    found = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    day, minutes, seconds, fraction, sign, offset_hours, offset_minutes = found.groups()
    leap = seconds == "60"
    microsecond = (
        LAST_MICROSECOND if leap else int((fraction or "")[:MICROSECOND_DIGITS].ljust(MICROSECOND_DIGITS, "0"))
    )
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes}:{'59' if leap else seconds}").replace(microsecond=microsecond)
        if sign:
            offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
            moment += -offset if sign == "+" else offset
    except (ValueError, OverflowError):
        return None
    return None if leap and not _before_leap_second(moment) else moment.replace(tzinfo=UTC)


def read_date(value: object) -> date | None:
    """Return the day that an RFC 3339 full-date (2026-06-01) names; None for anything else."""
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _before_leap_second(moment: datetime) -> bool:
    """Whether a leap second may follow: only at the end of the last UTC day of a month (RFC 3339, section 5.7)."""
    try:
        following = moment + timedelta(microseconds=1)
    except OverflowError:
        return False
    return following.day == 1 and (following.hour, following.minute) == (0, 0)
