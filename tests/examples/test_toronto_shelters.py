"""A partner's connector posts a real open-data file through the public API, even if parts of the file are damaged."""

import csv
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from services.client import new_key
from tests.schemas.contract import FOLDER
from tests.support.hubs import TestHub, embedded_hub, eventually
from tests.support.peak_memory import Ran
from tests.support.peak_memory import run as run_watched

EXAMPLES = FOLDER.parent / "examples"
SAMPLE = EXAMPLES / "data" / "toronto-shelter-capacity-2023-01-01.csv"
UNITS = {"Bed Based Capacity": ("BED", "BEDS", "Beds"), "Room Based Capacity": ("ROOM", "ROOMS", "Rooms")}
PROGRAMS, DAYS = 40, 250
# All of the rows as events would be eight; it is less than one.
EXTRA_MEGABYTES = 4

Counts = dict[str, tuple[int, int, int]]
Connector = Callable[[Path], Ran]

pytestmark = [pytest.mark.slow, pytest.mark.backend("sqlite", "local_log")]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[TestHub]:
    with embedded_hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def connector(hub: TestHub, tmp_path: Path) -> Connector:
    agency = hub.join("Example City", "housing")
    key = tmp_path / "key.json"
    key.write_text(json.dumps(agency.key.as_dict(private=True)))

    def run(file: Path) -> Ran:
        script = str(EXAMPLES / "toronto_shelters.py")
        return run_watched(
            [sys.executable, script, hub.origins.default, agency.client_id, str(key), str(file)], tmp_path
        )

    return run


def counts(*files: Path) -> Counts:
    """Return, by unit, the sums of each program's last row: free places, all places, programs."""
    latest: dict[str, tuple[str, str, int, int]] = {}
    for file in files:
        for row in csv.DictReader(file.read_text("utf-8").splitlines()):
            singular, plural, unit = UNITS[row["CAPACITY_TYPE"]]
            free, total = (int(float(row[name])) for name in (f"UNOCCUPIED_{plural}", f"CAPACITY_ACTUAL_{singular}"))
            said = row["OCCUPANCY_DATE"][:10], unit, free, total
            latest[row["PROGRAM_ID"]] = max(latest.get(row["PROGRAM_ID"], said), said)
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for _, unit, free, total in latest.values():
        for place, number in enumerate((free, total, 1)):
            found[unit][place] += number
    return {unit: (free, total, programs) for unit, (free, total, programs) in found.items()}


def shown(hub: TestHub) -> Counts:
    """Return, by unit, the numbers that the public page shows for Toronto."""
    page = httpx2.get(hub.origins.url("/reporting/en/")).text
    cells = r"<td>Emergency housing</td><td>([^<]+)</td><td>(\d+)</td><td>(\d+)</td><td>(\d+)</td>"
    rows = re.findall(r'<th scope="row">Toronto</th>' + cells, page)
    return {unit: (int(free), int(total), int(programs)) for unit, free, total, programs in rows}


def rows_of_csv() -> list[str]:
    return SAMPLE.read_text("utf-8").splitlines()


def test_every_row_is_accepted_and_shown_on_the_page(hub: TestHub, connector: Connector) -> None:
    ran = connector(SAMPLE)
    assert (ran.told, ran.status) == ("Rows: 22 accepted.", 0), ran.errors
    assert eventually(lambda: shown(hub) if shown(hub) == counts(SAMPLE) else None)


def test_repeated_file_changes_nothing(hub: TestHub, connector: Connector, tmp_path: Path) -> None:
    connector(SAMPLE)
    eventually(lambda: shown(hub) == counts(SAMPLE))
    with_times = tmp_path / "with-times.csv"
    with_times.write_text(SAMPLE.read_text("utf-8").replace(",2023-01-01,", ",2023-01-01T00:00:00,"))
    for file in (SAMPLE, with_times):
        ran = connector(file)
        assert (ran.told, ran.status) == ("Rows: 22 duplicate.", 0), ran.errors
    assert shown(hub) == counts(SAMPLE)


def test_a_damaged_row_is_counted_and_the_others_go_on(connector: Connector, tmp_path: Path) -> None:
    rows = rows_of_csv()
    rows[1] = rows[1].replace(",148.0,0.0,", ",148.0,many,")
    rows[2] = rows[2].replace("2023-01-01", "the first of January")
    rows[3] = rows[3][:60]
    rows[4] = rows[4].replace("Bed Based", "Tent Based").replace("Room Based", "Tent Based")
    rows[5] = re.sub(r"(\d+)\.0", "inf", rows[5])
    rows[6] = rows[6].replace("Toronto", "Montréal")
    damaged = tmp_path / "damaged.csv"
    damaged.write_bytes("\n".join(rows).encode("latin-1", "replace"))

    ran = connector(damaged)

    assert (ran.told, ran.status) == ("Rows: 17 accepted, 5 unreadable.", 0), ran.errors


def test_file_of_something_else_fails(connector: Connector, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("name,number\nsample,1\n")

    ran = connector(other)

    assert (ran.told, ran.status) == ("Rows: 1 unreadable.", 1)
    assert "other.csv could be read. Name the city's CSV file" in ran.errors


def test_unknown_key_is_reported_in_one_row(hub: TestHub, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(new_key().as_dict(private=True)))
    client = hub.join("Example City", "housing").client_id
    script = str(EXAMPLES / "toronto_shelters.py")
    ran = run_watched([sys.executable, script, hub.origins.default, client, str(key), str(SAMPLE)], tmp_path)
    assert (ran.status, ran.told) == (1, "")
    [line] = ran.errors.splitlines()
    assert line.startswith("The hub refused (400: No token was issued.).")
    assert line.endswith(f"Was {client} given to you for the key in {key}?")


def test_refused_row_is_reported_with_status_1(connector: Connector, tmp_path: Path) -> None:
    rows = rows_of_csv()
    rows[1] = rows[1].replace(",148.0,150.0,", ",1480000.0,150.0,")
    refused = tmp_path / "refused.csv"
    refused.write_text("\n".join(rows))

    ran = connector(refused)

    assert (ran.told, ran.status) == ("Rows: 21 accepted, 1 rejected.", 1), ran.errors


def test_file_of_ten_thousand_rows_needs_no_more_memory(hub: TestHub, connector: Connector, tmp_path: Path) -> None:
    small = connector(SAMPLE)
    long = tmp_path / "long.csv"
    long.write_text(rows_of_csv()[0] + "\n" + "".join(_generated()))

    large = connector(long)

    assert (large.told, large.status) == (f"Rows: {PROGRAMS * DAYS} accepted.", 0), large.errors
    assert large.megabytes < small.megabytes + EXTRA_MEGABYTES
    assert eventually(lambda: shown(hub) == counts(SAMPLE, long), seconds=240)


def _generated() -> Iterator[str]:
    """Yield rows like the sample's: many days of many programs, with the date format of the full data set."""
    pattern = rows_of_csv()[3].split(",")
    names = rows_of_csv()[0].split(",")
    for day in range(DAYS):
        for program in range(PROGRAMS):
            row = dict(zip(names, pattern, strict=True))
            row |= {"PROGRAM_ID": str(90000 + program), "UNOCCUPIED_BEDS": f"{(day + program) % 9}.0"}
            row["OCCUPANCY_DATE"] = f"{2024 + day // 336}-{day % 336 // 28 + 1:02d}-{day % 28 + 1:02d}T00:00:00"
            yield ",".join(row.values()) + "\n"
