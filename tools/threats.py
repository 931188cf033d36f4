"""Writes `docs/threats.md` from `docs/threats.yaml`; `--check` compares instead and fails if the page is stale."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "docs" / "threats.yaml"
PAGE = ROOT / "docs" / "threats.md"
FINDINGS = range(1, 18)
"""Numbers of the findings of the attack of 30 November 2026; each has at least one row."""
MEMBERS = {"who", "what", "control", "where", "test", "finding", "open"}
HEAD = """# Threats

Each table is about one person or machine that may turn against a survivor, and each row about one thing that it may
try. A row names the control, the files that hold it, and the tests that fail without it. A row that says **open** has
no complete control yet: the attack works, wholly or in part. The last column numbers the findings of the attack of
30 November 2026.

`make threats` writes this page from `threats.yaml`, and `tests/architecture/test_threats.py` checks each row.
[invariants.md](invariants.md) lists the promises that these controls keep.
"""
TABLE = "| what they try | control | where | test | finding |\n|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that somebody may try. An open row has no complete control, and so names no test."""

    who: str
    what: str
    control: str = ""
    where: Sequence[str] = ()
    test: Sequence[str] = ()
    finding: int | None = None
    open: bool = False

    def __str__(self) -> str:
        return f"{self.who}: {self.what}"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; the status is 1 if the page is stale.")
def main(check: bool) -> None:
    """Write the table of threats anew, unless a row of its data is unsound."""
    scenarios, rows = load()
    if wrong := [fault for row in rows for fault in faults(row, scenarios)]:
        click.echo("\n".join(wrong), err=True)
        sys.exit(1)
    text = page(scenarios, rows)
    stale = not PAGE.exists() or PAGE.read_text("utf-8") != text
    if check:
        if stale:
            click.echo("docs/threats.md is not what docs/threats.yaml says; run: make threats", err=True)
        sys.exit(1 if stale else 0)
    PAGE.write_text(text, "utf-8")
    click.echo("docs/threats.md has changed" if stale else "docs/threats.md is up to date")


def load(path: Path = DATA) -> tuple[Mapping[str, str], Sequence[Row]]:
    """Return the scenarios in order (key and heading) and all rows; raise `ValueError` for a member that no row has."""
    data: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    for row in data["rows"]:
        if unknown := set(row) - MEMBERS:
            raise ValueError(f"{row.get('what')}: no row has {', '.join(sorted(unknown))}")
    return data["scenarios"], [Row(**row) for row in data["rows"]]


def faults(row: Row, scenarios: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with a row."""
    if row.who not in scenarios:
        yield f"{row}: no scenario has this key"
    if row.finding is not None and row.finding not in FINDINGS:
        yield f"{row}: no finding has the number {row.finding}"
    yield from (f"{row}: there is no file {name}" for name in row.where if not (ROOT / name).is_file())
    yield from (f"{row}: no test that runs is called {test}" for test in row.test if not is_living(test))
    if row.open and row.test:
        yield f"{row}: an open row names no test"
    if not row.open and not (row.control and row.where and row.test):
        yield f"{row}: a row that is not open names its control, where it is and a test"


def is_living(test: str) -> bool:
    """Tell whether a test `file::name` exists and is neither skipped nor expected to fail."""
    file, _, name = test.partition("::")
    path = ROOT / file
    if not (file.startswith("tests/") and name.startswith("test_") and path.is_file()):
        return False
    body = ast.parse(path.read_text("utf-8")).body
    found = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == name]
    marks = [mark for node in found for mark in (*node.decorator_list, *_calls_of_skip(node))]
    # Marks of the whole file, and a file that stops by itself where something is not installed.
    marks += [node.value for node in body if isinstance(node, ast.Assign | ast.Expr)]
    told = [ast.unparse(mark) for mark in marks if not isinstance(mark, ast.Constant)]
    return bool(found) and not any("skip" in mark or "xfail" in mark for mark in told)


def _calls_of_skip(test: ast.FunctionDef) -> list[ast.expr]:
    calls = [node.func for node in ast.walk(test) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call) in {"pytest.skip", "pytest.xfail", "pytest.importorskip"}]


def page(scenarios: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Return the text of the page."""
    still_open = sum(row.open for row in rows)
    text = HEAD + f"\nRows: {len(rows)}. Open: {still_open}.\n"
    for key, heading in scenarios.items():
        text += f"\n## {heading}\n\n{TABLE}" + "".join(_table_row(row) for row in rows if row.who == key)
    return text


def _table_row(row: Row) -> str:
    control = " ".join(part for part in ("**Open.**" if row.open else "", row.control) if part)
    where, test = ("<br>".join(f"`{name}`" for name in names) for names in (row.where, row.test))
    return f"| {row.what} | {control} | {where} | {test} | {row.finding or ''} |\n"


if __name__ == "__main__":
    main()
