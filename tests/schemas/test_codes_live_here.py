"""No list of codes is written out a second time in the code of the services."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import schemas
from tests.schemas.contract import FOLDER

LISTS = {path.stem: schemas.code_set(path.stem) for path in sorted((FOLDER / "codes").iterdir())}
SERVICES = FOLDER.parent / "services"
TOO_MANY = 3


def findings(source: str) -> Iterator[str]:
    """Each list, tuple or set literal that holds several codes of one list."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            words = {item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)}
            repeated = [name for name, codes in LISTS.items() if len(words & codes) >= TOO_MANY]
            yield from (f"line {node.lineno} repeats {name}" for name in repeated)


@pytest.mark.parametrize(
    "source",
    [
        "STAGES = ['crisis', 'acute', 'stable']",
        "def f(x): return x in ('revoked', 'expired', 'erased')",
        "OPEN = frozenset({'requested', 'accepted', 'waitlisted'})",
        "Side = Literal['delivered', 'refused', 'indeterminate']",
    ],
)
def test_a_repeated_list_is_found(source: str) -> None:
    assert len(list(findings(source))) == 1


def test_two_codes_side_by_side_are_not_a_list() -> None:
    assert list(findings("ENDED = ('completed', 'cancelled')")) == []


def test_the_services_repeat_no_list_of_codes() -> None:
    paths: list[Path] = sorted(SERVICES.rglob("*.py"))
    assert paths
    found = {str(path.relative_to(SERVICES)): list(findings(path.read_text("utf-8"))) for path in paths}
    assert {path: lines for path, lines in found.items() if lines} == {}
