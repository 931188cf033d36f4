"""Fiscal years and quarters, from April to March, in which the hub counts."""

from datetime import date


def fiscal_year(day: date) -> int:
    """Return the calendar year in which a day's fiscal year begins: 2026 for 2026-04-01 to 2027-03-31."""
    return day.year if day.month >= 4 else day.year - 1


def fiscal_quarter(day: date) -> str:
    """Return a day's quarter, such as `2026-Q1` for April to June 2026."""
    return f"{fiscal_year(day)}-Q{(day.month - 4) % 12 // 3 + 1}"


def quarters_of(period: str) -> tuple[str, ...]:
    """Return the quarters of a fiscal year (`2026`), or a quarter (`2026-Q1`) alone."""
    return (period,) if "-" in period else tuple(f"{period}-Q{number}" for number in range(1, 5))


def end_of(period: str) -> tuple[str, str]:
    """Return a sort key that orders periods by their end; a year comes after its last quarter."""
    return period[:4], period[5:] or "year"
