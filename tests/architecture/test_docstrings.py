"""Every module has a one-sentence summary, and public functions of shared and domain code have docstrings."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.tree import Function, modules, parsed

EXPLAINED = re.compile(r"services/(common/(\w+/)?\w+|\w+/(domain|store|handlers|handlers/(\w+/)?\w+|store/\w+))\.py")
EVERYWHERE = modules("services", "schemas", "examples", "deploy", "bench", "tests")


def public(tree: ast.Module) -> Iterator[Function]:
    """Yield module-level functions and methods of public classes; skip nested functions and names with a `_`."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (inner for inner in node.body if isinstance(inner, Function) and inner.name[0] != "_")
        if isinstance(node, Function) and node.name[0] != "_":
            yield node


@pytest.mark.parametrize("name", EVERYWHERE)
def test_module_docstring_starts_with_one_sentence(name: str) -> None:
    docstring = ast.get_docstring(parsed(name))
    assert docstring, "the module has no docstring"
    first = docstring.splitlines()[0]
    assert first[0].isupper() or first[0] in "`'"
    assert first.endswith((".", "?"))


@pytest.mark.parametrize("name", [name for name in EVERYWHERE if EXPLAINED.fullmatch(name)])
def test_public_function_has_a_docstring(name: str) -> None:
    assert [node.name for node in public(parsed(name)) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("name", [name for name in EVERYWHERE if EXPLAINED.fullmatch(name)])
def test_docstring_says_more_than_the_name(name: str) -> None:
    for node in public(parsed(name)):
        said = re.findall(r"[a-z]+", (ast.get_docstring(node) or "").lower())
        assert said != node.name.split("_")
