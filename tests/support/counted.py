"""Made-up events of survivors who are counted, a context that folds them, and the expected result, counted by hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from hypothesis import strategies as st

import schemas
from services.common.database.engine import Database
from services.common.database.migrations import upgrade
from services.common.messaging.cloudevents import Event
from services.common.messaging.consumer import EventConsumer
from services.common.messaging.local_log import LocalLog
from services.common.settings import Settings
from services.reporting import main, models
from services.reporting.context import Context
from services.reporting.domain import Group, Place
from services.reporting.publication.tabulate import true_tables
from services.reporting.publication.true_counts import TrueTable
from services.reporting.store import counts
from services.reporting.store.counts import Cell, Sum
from tests.support.clocks import NOON
from tests.support.plumbing import received

PERIODS = ("2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4", "2026")
NEEDS = ("N02", "N03", "N12", "N31", "N29", "N22")
AGENCIES = tuple(f"agency-{letter * 10}" for letter in "abcd")
POLICE = AGENCIES[0]


def pseudonym(number: int) -> str:
    """Return the statistics pseudonym of a made-up survivor."""
    return f"{number:b}".rjust(26, "0").replace("0", "a").replace("1", "b")


@dataclass(frozen=True, slots=True)
class Asked:
    """A referral of a counted survivor, and how far it went."""

    who: int
    need: str
    region: str
    stage: str
    sender: str
    recipient: str
    day: date
    states: tuple[str, ...]
    waited: str = "days_1_3"
    answered: str = "under_24h"
    reason: str = "no_capacity"

    def events(self, number: int) -> list[Event]:
        """Return the hub's events about it, one state after the other."""
        return [self._event(number, state) for state in self.states]

    def _event(self, number: int, state: str) -> Event:
        more = {
            "started": {"waited": self.waited},
            "declined": {"reason": self.reason, "answered": self.answered},
            "accepted": {"answered": self.answered},
        }
        data = {
            "referral": f"{number:08}-0000-7000-8000-000000000000",
            "from": self.sender,
            "to": self.recipient,
            "purpose": "referral",
            "need": self.need,
            "stage": self.stage,
            "region": self.region,
            "urgency": "72h",
            "state": state,
            "requested_on": self.day.isoformat(),
            "changed_on": self.day.isoformat(),
            "statistics": pseudonym(self.who),
            **more.get(state, {}),
        }
        return Event(f"{number}-{state}", "referral", "referral.updated.v1", NOON, data, data["referral"])


def withdrawal(number: int, *who: int) -> Event:
    """Return the event in which survivors withdraw from being counted."""
    data = {"pseudonyms": [pseudonym(each) for each in who]}
    return Event(f"w{number}", "consent", "statistics.withdrawn.v1", NOON, data, f"w{number}")


def agencies() -> list[Event]:
    """Add agencies: one is of the police, the others are not."""
    return [
        Event(f"a{place}", "intake", "agency.changed.v1", NOON, _agency(agency), agency)
        for place, agency in enumerate(AGENCIES)
    ]


def _agency(agency: str) -> dict[str, object]:
    sector = "police" if agency == POLICE else "housing"
    return {"agency": agency, "name": "Sample Agency", "sector": sector, "standing": "active", "version": 1}


LIVES = (
    ("requested",),
    ("requested", "declined"),
    ("requested", "accepted", "started", "completed"),
    ("requested", "waitlisted", "accepted", "started"),
    ("requested", "accepted", "withdrawn"),
)
asked = st.builds(
    Asked,
    who=st.integers(1, 6),
    need=st.sampled_from(NEEDS),
    region=st.sampled_from(["toronto", "montreal", "other"]),
    stage=st.sampled_from(["crisis", "stable"]),
    sender=st.sampled_from(AGENCIES),
    recipient=st.sampled_from(AGENCIES),
    day=st.sampled_from([date(2026, 4, 1), date(2026, 6, 30), date(2026, 7, 1), date(2027, 3, 31)]),
    states=st.sampled_from(LIVES),
    waited=st.sampled_from(["under_24h", "days_1_3", "days_4_7", "days_31_90", "over_90_days"]),
    answered=st.sampled_from(["under_24h", "days_4_7"]),
    reason=st.sampled_from(["no_capacity", "sobriety_rule", "mandate_mismatch", "survivor_withdrew"]),
)


def events_of(histories: Iterable[Asked]) -> list[Event]:
    """Return all events of several referrals, each referral's in order."""
    return [event for number, history in enumerate(histories) for event in history.events(number)]


@dataclass(frozen=True, slots=True)
class State:
    """All that the fold keeps of those who are counted."""

    journal: frozenset[tuple[object, ...]]
    places: dict[Group, Place]
    sums: dict[Cell, Sum]


@dataclass(slots=True)
class CountingContext:
    """Reporting as a worker runs it, fed by hand."""

    context: Context
    consumer: EventConsumer

    @classmethod
    def open(cls, database_url: str, folder: Path) -> "CountingContext":
        """Open it on an empty database."""
        settings = Settings(data=folder, database_url=database_url)
        service = main.build(settings)
        upgrade(main.NAME, service.database)
        made = cls(main.build_context(settings), service.consumer(LocalLog(folder / "log.sqlite")))
        made.take(agencies())
        return made

    @property
    def database(self) -> Database:
        """Return its database."""
        return self.context.database

    def take(self, events: Sequence[Event], size: int = 1000) -> None:
        """Take in events, so many at a time."""
        for first in range(0, len(events), size):
            self.consumer.take(received(events[first : first + size]))

    def state(self) -> State:
        """Return the current state."""
        with self.database.snapshot() as connection:
            threads = counts.read_quarters(connection, PERIODS[:4])
            journal = frozenset((*thread, *seen) for thread, seen in threads)
            people = sorted({str(row[0]) for row in journal})
            sums = {cell: sum_ for period in PERIODS[:4] for cell, sum_ in counts.sums(connection, period).items()}
            return State(journal, counts.places_of(connection, people), sums)

    def tables(self, period: str) -> list[TrueTable]:
        """Return the true tables of a period."""
        return true_tables(self.context, schemas.plan(1), period, lambda _done, _total: None)

    def every_table(self) -> dict[tuple[str, str], TrueTable]:
        """Return the true tables of every period."""
        return {(table.table, period): table for period in PERIODS for table in self.tables(period)}

    def empty(self) -> None:
        """Delete everything, as if no event had ever come."""
        with self.database.transaction() as connection:
            for table in models.metadata.sorted_tables:
                if table.name != "agency":
                    connection.execute(table.delete())

    def close(self) -> None:
        """Close the database."""
        self.database.close()
        self.consumer.database.close()
