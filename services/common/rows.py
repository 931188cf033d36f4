"""Rows of plain values, with what COPY reads of them; a database need not wait until that is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# What COPY takes for something else, and what Python writes for no value.
COPY_KNOWS = ("\\", "\r", "\0", "None")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of plain values; `copied` is what COPY reads if that is simple, and was written before a database waits for it."""

    values: Sequence[Sequence[Any]]
    copied: str | None

    @classmethod
    def of(cls, values: Sequence[Sequence[Any]]) -> "Rows":
        """These rows, ready to be inserted."""
        copied = "\n".join(["\t".join(map(str, row)) for row in values])
        # Whatever would have to be told from what parts rows and columns is left to the driver, and so is what is no value.
        tabs, lines = sum(map(len, values)) - len(values), len(values) - 1
        simple = (
            copied.count("\t") == tabs
            and copied.count("\n") == lines
            and not any(known in copied for known in COPY_KNOWS)
        )
        return cls(values, copied if simple else None)
