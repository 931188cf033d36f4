"""Whether times tell an agency more than answers do: each route, asked about survivors who are closed to it and about nobody.

Each request has a case of its own in turn, so that what else the machine does falls on all cases alike.
"""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import httpx2

from bench.load import prepare
from bench.report import columns, middle, percentile
from bench.world import world
from services.client import Partner
from tests.support.enumeration import CASES, ROUTES, Agencies, Ask, Names, Told, asks, join, meet_all, nonsense, told

TUPLES, WARM = 40, 5
# One agency asks more often here than it may in an hour.
FACTOR = 50.0
NOISE = 3.0
"""Medians of equal work differ by more than this many of their standard errors once in some hundred pairs."""


@dataclass(frozen=True, slots=True)
class Row:
    """The times of one route by case, in ms, and the largest difference between two medians relative to noise."""

    route: str
    medians: Mapping[str, float]
    largest: float
    noise: float
    pair: tuple[str, str]
    equal: bool

    @property
    def kept(self) -> bool:
        """Whether answers are equal and no difference stands out of the noise."""
        return self.equal and self.largest <= NOISE * self.noise

    def as_json(self) -> dict[str, object]:
        """Return the row for machines."""
        return {**asdict(self), "kept": self.kept}


def run(_seconds: float) -> list[Row]:
    """Measure every route on a hub of its own."""
    random.seed(17)
    with world(limit_factor=FACTOR) as made:
        agencies = join(made.hub)
        names = meet_all(made.hub, agencies)
        rows = [_measure(agencies, route, names) for route in ROUTES]
    print(table(rows))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return all rows as a table for people."""
    cases = [*CASES, "nonsense"]
    head = ("route, medians in ms", *cases, "largest difference", "noise", "ratio", "answers")
    cells = [head]
    for row in rows:
        times = [f"{row.medians[case]:.1f}" if case in row.medians else "" for case in cases]
        told = "equal" if row.equal else "DIFFER"
        ratio = row.largest / row.noise if row.noise else 0.0
        apart = f"{row.largest:.2f} ({row.pair[0]} / {row.pair[1]})"
        cells.append((row.route, *times, apart, f"{row.noise:.2f}", f"{ratio:.1f}", told))
    return columns(cells)


def _measure(agencies: Agencies, route: str, names: Mapping[str, Names]) -> Row:
    """Ask one route about each case, forty times each, in shuffled order."""
    print(f"measuring {route} ...", file=sys.stderr)
    known = dict(names)
    if "envelope" in route or route == "open a batch":
        known["nonsense"] = replace(names[CASES[0]], envelope=nonsense(names[CASES[0]]))
    groups = [[*group, *(known.keys() - names.keys())] for group in ROUTES[route].groups]
    asked = {case: list(asks(agencies, route, known[case], TUPLES)) for group in groups for case in group}
    answers: dict[str, list[Told]] = defaultdict(list)
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(-WARM, TUPLES):
        for case in random.sample(sorted(asked), len(asked)):
            seconds, answer = _timed(agencies.asking, asked[case][max(number, 0)])
            if number >= 0:
                times[case].append(seconds * 1000)
                answers[case].append(answer)
    equal = all(answers[case] == answers[group[0]] for group in groups for case in group)
    return max((_row(route, group, times, equal) for group in groups), key=lambda row: row.largest / row.noise)


def _row(route: str, group: Sequence[str], times: Mapping[str, Sequence[float]], equal: bool) -> Row:
    medians = {case: middle(list(found)) for case, found in times.items()}
    low, high = min(group, key=medians.__getitem__), max(group, key=medians.__getitem__)
    noise = (_error(times[low]) ** 2 + _error(times[high]) ** 2) ** 0.5
    return Row(route, medians, medians[high] - medians[low], noise, (low, high), equal)


def _error(times: Sequence[float]) -> float:
    """Return the standard error of a median, from the spread of the middle half."""
    spread = percentile(list(times), 0.75) - percentile(list(times), 0.25)
    return float(1.2533 * spread / 1.349 / len(times) ** 0.5)


def _timed(agency: Partner, ask: Ask) -> tuple[float, Told]:
    # The proof is made before: the time that the agency's own program takes for it tells nothing about the hub.
    ready = prepare(agency, ask.method, ask.path, ask.body, ask.content_type)
    request = httpx2.Request(ready.method, ready.url, headers=ready.headers, content=ready.body)
    start = time.perf_counter()
    answer = agency.http.send(request)
    return time.perf_counter() - start, told(answer)
