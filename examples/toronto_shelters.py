"""A partner's connector: reads Toronto's open data on shelter capacity and tells the hub, using only its public API.

    python examples/toronto_shelters.py HUB CLIENT_ID KEY.json FILE.csv

The file is read row by row, so the full data set (tens of thousands of rows) needs no more memory than the sample. Running
it again changes nothing: each event's id follows from its row, and the hub knows it.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, time
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

import httpx2
from joserfc.errors import JoseError

from services.client import Partner, Refused

TORONTO = ZoneInfo("America/Toronto")
# The city counts at four in the morning.
COUNTED_AT = time(4, 0)
# Every programme in this file is a shelter or another place to stay overnight.
NEED, REGION = "N02", "toronto"
SERVES = {"Women": "women", "Men": "men", "Mixed Adult": "mixed_adult", "Families": "families", "Youth": "youth"}
UNITS = {"Bed Based Capacity": ("bed", "BEDS", "BED"), "Room Based Capacity": ("room", "ROOMS", "ROOM")}
PROGRESS_EVERY = 5000


def main() -> int:
    """Post every row; say how it went. The status is 1 if one was refused, none was readable, or nobody could be asked."""
    wanted = _arguments()
    try:
        return _post(_partner(wanted), _file(wanted.file))
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        sys.exit(
            f"{wanted.hub} cannot be reached ({type(error).__name__}). Is it the hub's address, and does the hub run?"
        )
    except Refused as error:
        known = f"Was {wanted.client_id} given to you for the key in {wanted.key}?"
        later = "Please run it again later; no row counts twice."
        sys.exit(f"The hub refused ({error}). {known if error.status in {400, 401} else later}")


def _partner(wanted: argparse.Namespace) -> Partner:
    advice = "Name the file with your private key; `python examples/join.py KEY.json` makes one."
    try:
        partner = Partner.connect(wanted.hub, wanted.client_id, json.loads(wanted.key.read_text("utf-8")))
        partner.proof("POST", wanted.hub)  # a public half cannot, nor a key of another kind
    except OSError as error:
        sys.exit(f"{wanted.key} cannot be read ({error.strerror}). {advice}")
    except (JoseError, TypeError, ValueError):
        sys.exit(f"{wanted.key} holds no private key (JWK). {advice}")
    return partner


def _file(path: Path) -> TextIO:
    try:
        # Names may be spelled in any encoding; nothing that is posted has a letter outside of ASCII.
        return path.open(encoding="utf-8-sig", errors="replace", newline="")
    except OSError as error:
        sys.exit(f"{path} cannot be read ({error.strerror}). Name the city's CSV file; there is one in examples/data.")


def _post(partner: Partner, opened: TextIO) -> int:
    outcomes: Counter[str] = Counter()
    with opened as file:
        # A row that is cut off has empty cells, not none, and is then told from a whole one like any other.
        events = _events(csv.DictReader(file, restval=""), outcomes)
        for count, result in enumerate(partner.post_all(events), start=1):
            outcomes[str(result["status"])] += 1
            if count % PROGRESS_EVERY == 0:
                print(f"{count} rows posted", file=sys.stderr)
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) or "the file has no rows"
    print(f"Rows: {told}.")
    if set(outcomes) == {"unreadable"}:
        sys.exit(f"No row of {file.name} could be read. Name the city's CSV file; there is one in examples/data.")
    return 1 if outcomes["rejected"] else 0


def _events(rows: Iterator[Mapping[str, str]], outcomes: Counter[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        try:
            yield _event(row)
        except (KeyError, ValueError, OverflowError):
            # A row that lacks a number or a date says nothing about capacity; the others still count.
            outcomes["unreadable"] += 1


def _event(row: Mapping[str, str]) -> dict[str, Any]:
    unit, plural, singular = UNITS[row["CAPACITY_TYPE"].strip()]
    day = datetime.fromisoformat(row["OCCUPANCY_DATE"]).date()
    program = f"toronto-{int(float(row['PROGRAM_ID']))}"
    as_of = datetime.combine(day, COUNTED_AT, TORONTO).isoformat()
    data: dict[str, Any] = {
        "program": program,
        "need": NEED,
        "region": REGION,
        "unit": unit,
        "total": _whole(row[f"CAPACITY_ACTUAL_{singular}"]),
        "available": _whole(row[f"UNOCCUPIED_{plural}"]),
        "as_of": as_of,
    }
    if served := SERVES.get(row["SECTOR"].strip()):
        data["serves"] = [served]
    return {"id": f"{program}-{day}", "type": "capacity.declared.v1", "time": as_of, "data": data}


def _whole(text: str) -> int:
    """Return a whole number, which may be written as a float; 0 for one below zero, which the hub does not take."""
    return max(int(float(text)), 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("hub", help="the hub's address, such as http://127.0.0.1:8080")
    parser.add_argument("client_id", help="your client id, as `fireweed agency add` printed it")
    parser.add_argument("key", type=Path, help="file with your private key (JWK)")
    parser.add_argument("file", type=Path, help="the CSV file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
