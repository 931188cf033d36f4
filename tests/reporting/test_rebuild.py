"""A rebuild can be interrupted and resumed, lets events in meanwhile, reports its progress, and uses little memory."""

import json
import sys
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from services.common.database.engine import Database
from services.common.settings import Settings
from services.reporting import handlers, main, models
from services.reporting.store import counts
from tests.support import peak_memory
from tests.support.counted import AGENCIES, Asked, CountingContext, events_of, pseudonym, withdrawal
from tests.support.hubs import environment

EXTRA_MEGABYTES = 15


class Interrupted(Exception):
    """Somebody pressed Ctrl-C, or the machine went down."""


def asks(people: int) -> list[Asked]:
    life = ("requested", "accepted", "started")
    return [
        Asked(who, "N02", "toronto", "crisis", AGENCIES[0], AGENCIES[1], date(2026, 4, 1), life)
        for who in range(1, people + 1)
    ]


def stop_at(limit: int) -> handlers.Progress:
    def progress(done: int, _total: int) -> None:
        if done >= limit:
            raise Interrupted

    return progress


def damage(counting: CountingContext) -> None:
    with counting.database.transaction() as connection:
        connection.execute(text("DELETE FROM contribution"))
        connection.execute(text("UPDATE cell SET persons = persons + 3"))


def test_rebuild_resumes_where_it_was_interrupted(counting: CountingContext) -> None:
    counting.take(events_of(asks(9)))
    right = counting.state()
    damage(counting)
    with pytest.raises(Interrupted):
        handlers.rebuild(counting.context, stop_at(6), 2)
    with counting.database.reading() as connection:
        assert counts.rebuilt(connection) == 6
    told: list[tuple[int, int]] = []
    assert handlers.rebuild(counting.context, lambda done, total: told.append((done, total)), 2) == 9
    assert told == [(6, 9), (8, 9), (9, 9)]
    assert counting.state() == right
    with counting.database.reading() as connection:
        assert counts.rebuilt(connection) is None


def test_events_and_withdrawals_may_come_during_a_rebuild(counting: CountingContext) -> None:
    everyone = asks(12)
    counting.take(events_of(everyone[:9]))
    damage(counting)
    with pytest.raises(Interrupted):
        handlers.rebuild(counting.context, stop_at(4), 2)
    counting.take([*events_of(everyone)[-9:], withdrawal(1, 2, 8)])
    handlers.rebuild(counting.context, lambda _done, _total: None, 2)
    found = counting.state()
    stayed = {pseudonym(who) for who in range(1, 13) if who not in {2, 8}}
    assert {group.statistics for group in found.places} == stayed
    assert [sum_.persons for sum_ in found.sums.values()] == [len(stayed)]


def test_command_rebuilds_and_reports_its_progress(
    counting: CountingContext, tmp_path: Path, database_url: str
) -> None:
    counting.take(events_of(asks(5)))
    right = counting.state()
    damage(counting)
    ran = peak_memory.run(command(Settings(data=tmp_path, database_url=database_url)), tmp_path)
    assert json.loads(ran.told) == {"threads": 5}
    assert "100 % (5 of 5)" in ran.errors
    assert counting.state() == right


@pytest.mark.slow
def test_ten_times_as_much_takes_no_more_memory(tmp_path: Path) -> None:
    same_peak(tmp_path, 1_000, 10_000)


@pytest.mark.soak
def test_a_hundred_times_as_much_takes_no_more_memory(tmp_path: Path) -> None:
    same_peak(tmp_path, 2_000, 200_000)


def same_peak(folder: Path, few: int, many: int) -> None:
    peaks = [_rebuilt(folder / str(people), people) for people in (few, many)]
    assert peaks[1] <= peaks[0] + EXTRA_MEGABYTES


def command(settings: Settings) -> list[str]:
    names = [f"{name}={value}" for name, value in environment(settings).items() if name.startswith("FIREWEED_")]
    return ["env", *names, sys.executable, "-m", "services.cli", "publication", "rebuild", "--json"]


def _rebuilt(folder: Path, people: int) -> float:
    folder.mkdir()
    settings = Settings(data=folder)
    database = Database(settings.database(main.NAME))
    models.metadata.create_all(database.engine)
    with database.transaction() as connection:
        rows = [_row(who, need) for who in range(people) for need in ("N02", "N03", "N12", "N31")]
        connection.execute(models.journal.insert(), rows)
    database.close()
    ran = peak_memory.run(command(settings), folder)
    assert json.loads(ran.told) == {"threads": 4 * people}
    return ran.megabytes


def _row(who: int, need: str) -> dict[str, object]:
    codes = {"statistics": pseudonym(who), "quarter": "2026-Q1", "need": need, "region": "toronto", "stage": "crisis"}
    sides = {"sender": AGENCIES[0], "recipient": AGENCIES[1], "reason": ""}
    return {**codes, **sides, "started_within": 72, "answered_within": 24, "at_work": 1}
