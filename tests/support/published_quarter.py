"""Publishes one quarter of a small cohort as a hub does: counted, built, audited, approved by two, published."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import schemas
from services.reporting.publication import workflow
from tests.support.clocks import StillClock
from tests.support.cohorts import Asked as Answered
from tests.support.cohorts import Cohort
from tests.support.counted import Asked, CountingContext, events_of
from tests.support.publishing import quietly

QUARTER = "2026-Q1"
CLOSED = datetime(2026, 9, 15, 12, tzinfo=UTC)
COHORT = Cohort(16, 400)
STATES = {
    "in_time": ("requested", "accepted", "started"),
    "late": ("requested", "waitlisted", "accepted", "started"),
    "not_started": ("requested",),
}
WAITED = {"late": "over_90_days"}


def release(database_url: str, folder: Path) -> None:
    """Take the events of the cohort into an empty database, and publish their quarter through the publication workflow."""
    counting = CountingContext.open(database_url, folder)
    counting.take(events_of(_asks()))
    context = replace(counting.context, clock=StillClock(CLOSED))
    workflow.build(context, folder / "keys", QUARTER, quietly)
    assert workflow.check(context, quietly).safe
    workflow.approve(context, "survivor_council", "Sample Aspen")
    workflow.approve(context, "publisher", "Sample Birch")
    workflow.publish(context)
    counting.close()


def _asks() -> Iterator[Asked]:
    need = {str(code.extra["x-family"]): code.code for code in schemas.codes("needs")}
    for made in COHORT.asked(QUARTER):
        agencies = sorted(made.agencies)
        yield Asked(
            made.person,
            need[made.family],
            made.answer["region"],
            made.answer["stage"],
            agencies[0],
            agencies[-1],
            date(2026, 5, 1),
            _states(made),
            WAITED.get(made.answer["result"], "under_24h"),
        )


def _states(made: Answered) -> tuple[str, ...]:
    return STATES[made.answer["result"]]
