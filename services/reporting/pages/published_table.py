"""One published table, read from its frozen bytes and from nothing else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HIDDEN, NONE = "x", "none"
Value = int | str
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A share in percent, in steps; `cell` says whose share it is."""

    indicator: str
    cell: Mapping[str, str]
    percent: str


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of a table in the order of its plan, and the shares that were made of them."""

    id: str
    publication: str
    columns: tuple[str, ...]
    cells: Mapping[Key, Value]
    ratios: tuple[Ratio, ...]

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Return the dimensions of its cells."""
        return self.columns[:-1]

    def codes(self, dimension: str) -> list[str]:
        """Return the codes of a dimension, in order."""
        place = self.dimensions.index(dimension)
        return list(dict.fromkeys(key[place] for key in self.cells))

    def indicators(self) -> list[str]:
        """Return the indicators that it has shares of."""
        return list(dict.fromkeys(ratio.indicator for ratio in self.ratios))

    def share(self, indicator: str, cell: Mapping[str, str]) -> Value | None:
        """Return a share of a cell, or None where the plan has none."""
        found = (ratio.percent for ratio in self.ratios if ratio.indicator == indicator and ratio.cell == cell)
        return next(found, None)

    def hidden(self) -> int:
        """Return how many of its cells are hidden."""
        return sum(value == HIDDEN for value in self.cells.values())


def read(content: bytes) -> Table:
    """Return a table read from its published bytes."""
    document: Mapping[str, Any] = json.loads(content)
    return Table(
        id=document["table"],
        publication=document["publication"],
        columns=tuple(document["columns"]),
        cells={tuple(row[:-1]): row[-1] for row in document["rows"]},
        ratios=tuple(Ratio(each["indicator"], each["cell"], each["percent"]) for each in document["ratios"]),
    )
