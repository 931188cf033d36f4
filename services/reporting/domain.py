"""What is counted of a survivor, and how facts about her join; pure.

Facts only ever join: the earliest start, any agency at work. A join asks neither for the order of events nor how often each
came, so the fold needs neither. Of a survivor's requests of one family in one quarter the one with the best result places
her; among equals a draw decides that her contributor key makes fair and nobody can foresee.
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
    """Between which agencies a survivor's need went in a quarter. Of time it holds no more, and of her only a pseudonym.

    `reason` is why a service said no, empty if none did. A need without a referral has its recorder on both sides.
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
    """What is known of a thread; hours are the ends of bands."""

    started_within: int
    answered_within: int
    at_work: int


class Group(NamedTuple):
    """What a survivor is counted for once: a family of needs in a quarter."""

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
"""What came of a request, from worst to best; a place's `result` is an index."""


def threads(events: Iterable[Event]) -> dict[Thread, Seen]:
    """What events tell of those who are counted."""
    found: dict[Thread, Seen] = {}
    for event in events:
        if "statistics" in event.data:
            thread, seen = _need(event) if event.type == "need.counted.v1" else _referral(event)
            known = found.get(thread)
            found[thread] = join(seen, known) if known else seen
    return found


def join(one: Seen, other: Seen) -> Seen:
    """All that two observations of a thread tell."""
    return Seen(
        min(one.started_within, other.started_within),
        min(one.answered_within, other.answered_within),
        max(one.at_work, other.at_work),
    )


def group_of(thread: Thread) -> Group:
    """The group in which a thread counts."""
    return Group(thread.statistics, thread.quarter, _promise(thread.need)[0])


def place_of(thread: Thread, seen: Seen, contributor: int) -> Place:
    """Where its group would count if there were no other thread."""
    draw = crc32(f"{thread.region}/{thread.stage}".encode(), contributor & 0xFFFFFFFF)
    return Place(result_of(thread.need, seen), draw, thread.region, thread.stage)


def best_places(found: Iterable[tuple[Thread, Seen]], keys: Contributors) -> dict[Group, Place]:
    """The place of each group, as far as these threads tell."""
    best: dict[Group, Place] = {}
    for thread, seen in found:
        group, place = group_of(thread), place_of(thread, seen, keys(thread.statistics, thread.quarter))
        known = best.get(group)
        best[group] = max(place, known) if known else place
    return best


def result_of(need: str, seen: Seen) -> int:
    """Whether help began in time, late, or not, as an index of `RESULTS`."""
    if seen.started_within <= _promise(need)[1]:
        return 2
    return 1 if seen.started_within < NEVER else 0


@cache
def _promise(need: str) -> tuple[str, int]:
    """The family of a need, and the hours within which help should begin; `KeyError` if there is no such need."""
    extra = {code.code: code.extra for code in schemas.codes("needs")}[need]
    return str(extra["x-family"]), int(str(extra["x-answer-hours"]))


@cache
def _hours(band: str | None) -> int:
    """The end of a waiting time; the last has none, and a band that is not known here counts as that one."""
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
