"""Decides what is counted of a survivor, and how facts about her merge; pure.

Merging is commutative and idempotent: the earliest start, any agency at work. So the fold depends neither on the order
of events nor on repeats. Among a survivor's requests of one family in one quarter the best result places her; among equal
results a draw decides, which her contributor key makes fair and which nobody can foresee.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import NamedTuple
from zlib import crc32

import schemas
from services.common.fiscal_periods import fiscal_quarter
from services.common.messaging.cloudevents import Event
from services.reporting.contributor_keys import Contributors

NEVER = 32767
WORKING = frozenset(code.code for code in schemas.codes("referral_states") if code.extra["x-at-work"])


class Thread(NamedTuple):
    """One need of one survivor in a quarter, from one agency to another: no date, and only a pseudonym.

    `reason` is why a service declined, empty if none did. A need without a referral has its recorder on both sides.
    """

    statistics: str
    quarter: str
    need: str
    region: str
    stage: str
    sender: str
    recipient: str
    reason: str


class Seen(NamedTuple):
    """The facts known of a thread; hours are the ends of bands."""

    started_within: int
    answered_within: int
    at_work: int


class Group(NamedTuple):
    """The unit in which a survivor counts once: a family of needs in a quarter."""

    statistics: str
    quarter: str
    family: str


class Place(NamedTuple):
    """The one cell in which a group counts. The greater place wins: the better result, then the draw."""

    result: int
    draw: int
    region: str
    stage: str


RESULTS = ("not_started", "late", "in_time")
"""Results of a request, from worst to best; a place's `result` is an index."""


def threads(events: Iterable[Event]) -> dict[Thread, Seen]:
    """Return the threads that events report of survivors who agreed to be counted."""
    found: dict[Thread, Seen] = {}
    for event in events:
        if "statistics" in event.data:
            thread, seen = _need(event) if event.type == "need.counted.v1" else _referral(event)
            known = found.get(thread)
            found[thread] = join(seen, known) if known else seen
    return found


def join(one: Seen, other: Seen) -> Seen:
    """Merge two observations of a thread."""
    return Seen(
        min(one.started_within, other.started_within),
        min(one.answered_within, other.answered_within),
        max(one.at_work, other.at_work),
    )


def group_of(thread: Thread) -> Group:
    """Return the group in which a thread counts."""
    return Group(thread.statistics, thread.quarter, _promise(thread.need)[0])


def place_of(thread: Thread, seen: Seen, contributor: int) -> Place:
    """Return where a thread's group would count if there were no other thread."""
    draw = crc32(f"{thread.region}/{thread.stage}".encode(), contributor & 0xFFFFFFFF)
    return Place(result_of(thread.need, seen), draw, thread.region, thread.stage)


def best_places(found: Iterable[tuple[Thread, Seen]], keys: Contributors) -> dict[Group, Place]:
    """Return the place of each group, as far as these threads tell."""
    best: dict[Group, Place] = {}
    for thread, seen in found:
        group, place = group_of(thread), place_of(thread, seen, keys(thread.statistics, thread.quarter))
        known = best.get(group)
        best[group] = max(place, known) if known else place
    return best


def result_of(need: str, seen: Seen) -> int:
    """Return whether help began in time, late, or not, as an index of `RESULTS`."""
    if seen.started_within <= _promise(need)[1]:
        return 2
    return 1 if seen.started_within < NEVER else 0


@cache
def _promise(need: str) -> tuple[str, int]:
    """Return the family of a need, and the hours within which help should begin; raise `KeyError` for an unknown need."""
    extra = {code.code: code.extra for code in schemas.codes("needs")}[need]
    return str(extra["x-family"]), int(str(extra["x-answer-hours"]))


@cache
def _hours(band: str | None) -> int:
    """Return the end of a waiting time in hours; the last band has no end, and an unknown band counts as the last."""
    ends: Mapping[str, object] = {code.code: code.extra.get("x-up-to-hours") for code in schemas.codes("waits")}
    return NEVER if band is None else int(str(ends.get(band) or NEVER - 1))


@cache
def _quarter(day: str) -> str:
    return fiscal_quarter(date.fromisoformat(day))


def _referral(event: Event) -> tuple[Thread, Seen]:
    data = event.data
    thread = Thread(
        data["statistics"],
        _quarter(data["requested_on"]),
        data["need"],
        data["region"],
        data["stage"],
        data["from"],
        data["to"],
        data.get("reason", ""),
    )
    started = _hours(data.get("waited"))
    return thread, Seen(started, _hours(data.get("answered")), int(data["state"] in WORKING))


def _need(event: Event) -> tuple[Thread, Seen]:
    data, agency = event.data, event.data["agency"]
    quarter = fiscal_quarter(event.time.date())
    codes = (data["need"], data["region"], data["stage"])
    return Thread(data["statistics"], quarter, *codes, agency, agency, ""), Seen(NEVER, NEVER, 0)
