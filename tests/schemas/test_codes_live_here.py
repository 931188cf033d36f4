"""Services repeat no list of codes in their code."""

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
    """Yield each list, tuple or set literal that holds several codes of one list."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            texts = {item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)}
            repeated = [name for name, codes in LISTS.items() if len(texts & codes) >= TOO_MANY]
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
def test_repeated_code_list_is_found(source: str) -> None:
    assert len(list(findings(source))) == 1


def test_two_codes_are_not_a_repeated_list() -> None:
    assert list(findings("ENDED = ('completed', 'cancelled')")) == []


def test_services_repeat_no_code_list() -> None:
    paths: list[Path] = sorted(SERVICES.rglob("*.py"))
    assert paths
    found = {str(path.relative_to(SERVICES)): list(findings(path.read_text("utf-8"))) for path in paths}
    assert {path: repeats for path, repeats in found.items() if repeats} == {}
