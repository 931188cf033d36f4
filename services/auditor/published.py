"""Reads published files, and the plan and rules that they name; raises `Doubt` for anything malformed."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

HIDDEN, NONE = "x", "none"
ID = re.compile(r"[0-9]{4}(-Q[1-4])?(-r[0-9])?")
Key = tuple[str, ...]
# More people than any cell could ever hold; it also keeps the attacker's search bounded.
MANY = 100_000


class Doubt(Exception):
    """Something could not be shown to be safe, which counts as unsafe."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One publication as an attacker has it. A cell's value is a number, or None where it is hidden."""

    id: str
    number: int
    period: str
    plan: int
    rules: int
    revises: str | None
    # By how much a cell of an earlier publication may have changed since, by withdrawals and late events.
    drift: Mapping[str, int]
    # Groups (a cell, without the people of others) that the publisher says are not small.
    certain: frozenset[tuple[str, ...]]
    tables: Mapping[str, Mapping[Key, int | None]]
    # Cells that are zero because there is no such service; everybody knows that.
    empty: frozenset[tuple[str, Key]]

    @property
    def year(self) -> str:
        """Return the fiscal year it belongs to; nobody can link the people of two years."""
        return self.period[:4]

    @property
    def kind(self) -> str:
        """Return `quarter` or `year`, the kind of its period."""
        return "quarter" if "-Q" in self.period else "year"

    def blank(self) -> "Publication":
        """Return this publication as if it had hidden all that it shows."""
        tables = {
            name: {key: 0 if (name, key) in self.empty else None for key in cells}
            for name, cells in self.tables.items()
        }
        return replace(self, tables=tables, certain=frozenset())


@cache
def plan(version: int) -> Mapping[str, Any]:
    """Return a plan by its version."""
    return _public("plans", version)


@cache
def rules(version: int) -> Mapping[str, Any]:
    """Return rules by their version."""
    return _public("rules", version)


def read_all(folder: Path) -> list[Publication]:
    """Return every publication in a folder, in the order in which they came out."""
    found = [read(path) for path in sorted(folder.iterdir()) if path.is_dir() and ID.fullmatch(path.name)]
    found.sort(key=lambda publication: publication.number)
    if not found:
        raise Doubt(f"{folder} holds no publication.")
    if len({publication.number for publication in found}) != len(found):
        raise Doubt("Two publications have the same number.")
    return found


def read(folder: Path) -> Publication:
    """Return one publication from its folder: `certificate.json` and `tables/*.json`."""
    try:
        certificate = json.loads((folder / "certificate.json").read_bytes())
        content = {f"tables/{path.name}": path.read_bytes() for path in sorted((folder / "tables").iterdir())}
        sealed(folder.name, certificate, content)
        _named(folder.name, certificate["publication"])
        tables = {Path(name).stem: json.loads(data) for name, data in content.items() if name.endswith(".json")}
        return _publication(certificate["publication"], tables)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Doubt(f"{folder.name} cannot be read ({type(error).__name__}).") from error


def sealed(name: str, certificate: Mapping[str, Any], content: Mapping[str, bytes]) -> None:
    """Raise `Doubt` unless the files are those of the certificate. Some may be missing, since tables are there twice."""
    hashes = certificate["files"]
    for file, data in content.items():
        if hashes.get(file) != sha256(data).hexdigest():
            raise Doubt(f"{name}/{file} is not the file that the certificate names.")
    both = json.dumps([certificate["publication"], hashes], ensure_ascii=False, sort_keys=True, indent=1) + "\n"
    if certificate["bundle"] != sha256(both.encode()).hexdigest():
        raise Doubt(f"The certificate of {name} does not hold together.")


def _named(name: str, head: Mapping[str, Any]) -> None:
    """Raise `Doubt` unless it is the publication that its folder is named after, with a fitting period and number."""
    period, _, revision = name.partition("-r")
    told = [head["id"], head["period"], head["revises"]] == [name, period, period if revision else None]
    if not told or any(type(head[each]) is not int for each in ("number", "plan", "rules")):
        raise Doubt(f"{name} is not what its certificate says it is.")


def _publication(head: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> Publication:
    rows = {(name, tuple(row[:-1])): row[-1] for name, table in tables.items() for row in table["rows"]}
    made = Publication(
        id=head["id"],
        number=head["number"],
        period=head["period"],
        plan=head["plan"],
        rules=head["rules"],
        revises=head["revises"],
        drift={name: int(bound) for name, bound in head["drift"].items()},
        certain=frozenset(tuple(claim) for claim in head["certain"]),
        tables={name: {key: _value(value) for (table, key), value in rows.items() if table == name} for name in tables},
        empty=frozenset(cell for cell, value in rows.items() if value == NONE),
    )
    if set(head["files"]) != {f"tables/{name}.json" for name in tables}:
        raise Doubt(f"{made.id} lacks tables, or holds more than its certificate names.")
    _complete(made)
    return made


def _complete(publication: Publication) -> None:
    """Raise `Doubt` unless every table of the plan has every cell; a table behind a switch may be missing as a whole."""
    named = {table["id"]: table for table in plan(publication.plan)["tables"]}
    due = {name: table for name, table in named.items() if publication.kind in table["periods"]}
    needed = {name for name, table in due.items() if "switch" not in table}
    if not needed <= publication.tables.keys() <= due.keys():
        raise Doubt(f"{publication.id} does not hold the tables of its plan.")
    for name, cells in publication.tables.items():
        if cells.keys() != set(product(due[name]["cells"])):
            raise Doubt(f"{publication.id} does not hold every cell of {name}.")


def _value(value: object) -> int | None:
    if value == HIDDEN:
        return None
    if value == NONE:
        return 0
    if type(value) is not int or not 0 <= value < MANY:
        raise Doubt("A cell holds neither a number nor the sign for a hidden one.")
    return value


def _public(folder: str, version: int) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(files("schemas").joinpath(folder, f"{version:d}.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Doubt(f"There is no {folder}/{version}.json.") from error
    return found


def floor_of(rule: Mapping[str, Any], cell: Mapping[str, str]) -> int:
    """Return the threshold: the least number of people that a cell may show."""
    higher = any(cell.get(dimension) in codes for dimension, codes in rule["high"].items())
    return int(rule["floor_high"] if higher else rule["floor"])


def product(lists: Mapping[str, list[str]]) -> Iterator[Key]:
    """Return every key of a table, in the order of the plan."""
    keys: list[Key] = [()]
    for codes in lists.values():
        keys = [(*key, code) for key in keys for code in codes]
    yield from keys
