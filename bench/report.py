"""Figures as a table: each with its name, its rate, the limit it is measured against in the same run, and the promise."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure beside its limit. `ratio` is figure over limit; `floor` (or, for times, `ceiling`) is promised."""

    name: str
    value: float
    unit: str
    against: str
    limit: float
    floor: float | None = None
    ceiling: float | None = None

    @property
    def ratio(self) -> float:
        """Return the figure as a share of its limit."""
        return self.value / self.limit if self.limit else 0.0

    @property
    def kept(self) -> bool | None:
        """Return whether the promise is kept; None where none was made."""
        if self.floor is not None:
            return self.ratio >= self.floor
        return self.value <= self.ceiling if self.ceiling is not None else None

    def as_json(self) -> dict[str, object]:
        """Return the figure for machines."""
        return {**asdict(self), "ratio": self.ratio, "kept": self.kept}


class Measured(Protocol):
    """A row of any table."""

    @property
    def kept(self) -> bool | None:
        """Return whether the promise is kept; None where none was made."""
        ...

    def as_json(self) -> dict[str, object]:
        """Return the row for machines."""
        ...


def table(figures: list[Figure]) -> str:
    """Return all figures as a table for people."""
    rows = [("figure", "measured", "limit in the same run", "ratio", "promised")]
    for figure in figures:
        limit = f"{_number(figure.limit)} {figure.unit} {figure.against}"
        measured = f"{_number(figure.value)} {figure.unit}"
        rows.append((figure.name, measured, limit, f"{figure.ratio:.2f}", _promise(figure)))
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of equal length as a table with a rule below the first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([texts[0], "-" * len(texts[0]), *texts[1:]])


def percentile(values: list[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def middle(values: list[float]) -> float:
    """Return the median."""
    return median(values)


def _promise(figure: Figure) -> str:
    if figure.kept is None:
        return ""
    promised = (
        f">= {figure.floor:.2f}" if figure.floor is not None else f"<= {_number(figure.ceiling or 0)} {figure.unit}"
    )
    return f"{promised} {'kept' if figure.kept else 'BROKEN'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
