"""Every module says in one sentence what lives in it, and what others call says what it does."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.tree import Function, modules, parsed

EXPLAINED = re.compile(r"services/(common/(\w+/)?\w+|\w+/(domain|store|handlers|handlers/(\w+/)?\w+|store/\w+))\.py")
EVERYWHERE = modules("services", "schemas", "examples", "deploy", "bench", "tests")


def public(tree: ast.Module) -> Iterator[Function]:
    """Functions, and methods of classes, that others may call: nothing inside of a function, nothing with a `_`."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (inner for inner in node.body if isinstance(inner, Function) and inner.name[0] != "_")
        if isinstance(node, Function) and node.name[0] != "_":
            yield node


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_module_begins_with_a_sentence_on_its_first_line(name: str) -> None:
    told = ast.get_docstring(parsed(name))
    assert told, "there is no docstring"
    first = told.splitlines()[0]
    assert first[0].isupper() or first[0] in "`'"
    assert first.endswith((".", "?"))


@pytest.mark.parametrize("name", [name for name in EVERYWHERE if EXPLAINED.fullmatch(name)])
def test_what_others_call_says_what_it_does(name: str) -> None:
    assert [node.name for node in public(parsed(name)) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("name", [name for name in EVERYWHERE if EXPLAINED.fullmatch(name)])
def test_a_docstring_says_more_than_the_name(name: str) -> None:
    for node in public(parsed(name)):
        words = re.findall(r"[a-z]+", (ast.get_docstring(node) or "").lower())
        assert words != node.name.split("_")
