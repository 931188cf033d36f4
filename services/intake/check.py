"""The command `fireweed check`: checks a file of events against the contract, offline, and tells the lines at fault."""

import json
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from json.decoder import py_scanstring  # type: ignore[attr-defined]
from math import isfinite
from typing import IO, Any

import click

from services.common.cli import answer
from services.common.clock import SystemClock
from services.common.errors import Fault
from services.common.http.app import MAX_DEPTH
from services.common.messaging.cloudevents import from_structured
from services.intake.domain import faults_of

_BLANK = " \t\r\n"


def _finite(number: str) -> float:
    found = float(number)
    if not isfinite(found):
        raise ValueError
    return found


_DECODER = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)


@dataclass(frozen=True, slots=True)
class Wrong:
    """One fault of a file, and the number of the line on which it is."""

    row: int
    fault: Fault

    def as_json(self) -> dict[str, object]:
        """Return the fault as a member of the answer."""
        return {"line": self.row, **self.fault.as_json()}


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--source", help="Your client id; without it, the source of the first event.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def check(file: IO[bytes], source: str | None, as_json: bool) -> None:
    """Check FILE (- reads standard input) against the contract, without a hub: an event, an array, or one event a line.

    Nothing is sent anywhere. The exit status is 0 if every event could be posted, 1 if one could not.
    """
    clock = SystemClock()
    events, wrong = check_text(file.read(), source, clock.now())
    told = {"events": events, "faults": [one.as_json() for one in wrong]}
    answer(told, as_json, lambda: [*map(_as_text, wrong), f"{events} events, {len(wrong)} faults."])
    sys.exit(1 if wrong or not events else 0)


def check_text(content: bytes, source: str | None, now: datetime) -> tuple[int, list[Wrong]]:
    """Return the number of events that could be read, and every fault with its line; no value is repeated."""
    try:
        text = content.decode("utf-8-sig")
        found = list(_documents(text))
    except UnicodeDecodeError as error:
        at = content[: error.start].count(b"\n") + 1
        return 0, [Wrong(at, Fault("", "Not UTF-8.", "JSON in UTF-8"))]
    except json.JSONDecodeError as error:
        return 0, [Wrong(error.lineno, Fault("", "Not JSON from here on.", "one event, an array, or one event a line"))]
    except ValueError:
        return 0, [Wrong(1, Fault("", "It holds a number that JSON does not have.", "finite numbers"))]
    except RecursionError:
        return 0, [Wrong(1, Fault("", "Nested too deeply.", f"at most {MAX_DEPTH} levels"))]
    if not found:
        return 0, [Wrong(1, Fault("", "There is no event here.", "one event, an array, or one event a line"))]
    checked = _Checked(source, now)
    for document, rows in found:
        checked.take(document, rows)
    return len(found), checked.wrong


class _Checked:
    """The faults of all events of a file, also those that only show beside another event."""

    def __init__(self, source: str | None, now: datetime) -> None:
        self.source, self.now = source, now
        self.wrong: list[Wrong] = []
        self._seen: dict[str, object] = {}

    def take(self, document: Any, rows: dict[str, int]) -> None:
        """Check one more event; `rows` holds the line of each of its members by JSON Pointer."""
        event = from_structured(document, self.now)
        if isinstance(event, list):
            faults = event
        else:
            self.source = self.source or event.source
            faults = faults_of(event, self.source, self.now)
            if self._seen.setdefault(event.id, document) != document:
                faults = [*faults, Fault("/id", "Another event of this file has this id.", "a new id for each event")]
        twice = [Fault(pointer, "Given twice.", "each member once") for pointer in rows if pointer.endswith(_TWICE)]
        for fault in [*faults, *twice]:
            shown = Fault(fault.member.removesuffix(_TWICE), fault.detail, fault.accepted)
            self.wrong.append(Wrong(_row_of(fault.member, rows), shown))


# Ends the pointer to a member that is given a second time: no pointer of a posted member can end so.
_TWICE = "~2"


def _row_of(pointer: str, rows: dict[str, int]) -> int:
    """Return the line of a member, or of the nearest object around it if it is missing."""
    while pointer and pointer not in rows:
        pointer = pointer.rpartition("/")[0]
    return rows[pointer]


def _documents(text: str) -> Iterator[tuple[Any, dict[str, int]]]:
    """Yield each event of a text with the lines of its members. Raises `JSONDecodeError`."""
    ends = [place for place, character in enumerate(text) if character == "\n"]
    at = _skip(text, 0)
    if text[at : at + 1] == "[":
        _DECODER.decode(text)
        for start in _Scanner(text).items(at):
            yield _DECODER.raw_decode(text, start)[0], _rows(text, start, ends)
        return
    while at < len(text):
        document, end = _DECODER.raw_decode(text, at)
        yield document, _rows(text, at, ends)
        at = _skip(text, end)


def _rows(text: str, start: int, ends: Sequence[int]) -> dict[str, int]:
    scanner = _Scanner(text)
    scanner.walk(start, "", 0)
    return {pointer: bisect_left(ends, at) + 1 for pointer, at in scanner.places.items()}


class _Scanner:
    """Finds where each member of a JSON document begins, in text that is known to be JSON."""

    def __init__(self, text: str) -> None:
        self.text, self.places = text, dict[str, int]()

    def walk(self, at: int, pointer: str, depth: int) -> int:
        """Note the place of a value and of every member in it; return the place after it."""
        if depth > MAX_DEPTH:
            raise RecursionError
        self.places.setdefault(pointer, at)
        if self.text[at] == "{":
            return self._object(at, pointer, depth)
        if self.text[at] == "[":
            end = at + 1
            for number, start in enumerate(self.items(at)):
                end = self.walk(start, f"{pointer}/{number}", depth + 1)
            return _skip(self.text, end) + 1
        return _DECODER.raw_decode(self.text, at)[1]

    def items(self, at: int) -> Iterator[int]:
        """Yield the place of each item of an array."""
        at = _skip(self.text, at + 1)
        while self.text[at] != "]":
            yield at
            at = _skip(self.text, _DECODER.raw_decode(self.text, at)[1])
            at = _skip(self.text, at + 1) if self.text[at] == "," else at

    def _object(self, at: int, pointer: str, depth: int) -> int:
        at = _skip(self.text, at + 1)
        while self.text[at] != "}":
            name, end = py_scanstring(self.text, at + 1)
            inner = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            if inner in self.places:
                self.places.setdefault(f"{pointer}/*{_TWICE}" if len(name) > 64 else f"{inner}{_TWICE}", at)
            after = self.walk(_skip(self.text, _skip(self.text, end) + 1), inner, depth + 1)
            at = _skip(self.text, after)
            at = _skip(self.text, at + 1) if self.text[at] == "," else at
        return at + 1


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _as_text(wrong: Wrong) -> str:
    accepted = f" Accepted: {wrong.fault.accepted}." if wrong.fault.accepted else ""
    return f"line {wrong.row}: {wrong.fault.member or 'the event'}: {wrong.fault.detail}{accepted}"
