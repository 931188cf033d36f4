"""Insiders: agencies that know their own clients, and so more than is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.auditor.system import Numbers, System


@dataclass(frozen=True, slots=True)
class Insider:
    """How many people of each cell an agency knows, or, with `about`, the two largest agencies of a publication together."""

    own: Mapping[str, int]
    about: str | None = None

    def of(self, names: Sequence[str]) -> Numbers:
        """Return the counts in the order of a system's columns."""
        return np.array([self.own.get(name, 0) for name in names], dtype=np.int64)

    def view(self, system: System, outside: int) -> System | None:
        """Return the system as this insider sees it; None if it knows nobody in it."""
        own = self.of(system.names)
        return system.knowing(own, outside, self.about) if own.any() else None
