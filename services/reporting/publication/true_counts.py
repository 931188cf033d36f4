"""Every cell of every table of the plan, counted truly and not yet protected."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Count:
    """One true cell. It never leaves this process unprotected.

    `contributors` is the sum of the keyed hashes of its contributors, modulo 2**64: equal contributors give an equal
    number, and other contributors, but for a chance of one in 2**64, another.
    """

    persons: int
    agencies: int
    outside_largest: int
    contributors: int
    by_agency: Mapping[str, int]
    # How many contributors each two agencies both know; the two names are sorted.
    by_both: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrueTable:
    """One table of the plan in one period (`2027-Q1`, or `2027` for a fiscal year): every possible cell with its count."""

    table: str
    period: str
    cells: Mapping[tuple[str, ...], Count]
