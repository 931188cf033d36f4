"""Agencies that know their own clients, and so more than is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.auditor.system import Numbers, System


@dataclass(frozen=True, slots=True)
class Insider:
    """What an agency knows of each cell; or the two largest of a publication together, which is what it is `about` then."""

    own: Mapping[str, int]
    about: str | None = None

    def of(self, names: Sequence[str]) -> Numbers:
        """The same in the order of a system's columns."""
        return np.array([self.own.get(name, 0) for name in names], dtype=np.int64)

    def view(self, system: System, outside: int) -> System | None:
        """The system as this agency sees it; None if it knows nobody in it."""
        own = self.of(system.names)
        return system.knowing(own, outside, self.about) if own.any() else None
