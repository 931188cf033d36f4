"""The files of the project as the house's rules see them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# What was installed, made or measured here, and is no part of the project.
NOT_OURS = {
    ".git",
    ".venv",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".import_linter_cache",
    ".hypothesis",
    "__pycache__",
    "data",
    "results",
}
# The one `data` folder that is part of the project.
OURS = {"examples/data"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*suffixes: str) -> list[str]:
    """Every file of the project with one of these endings (or every file), by its path from the top."""
    return sorted(name for name in _walk(ROOT) if not suffixes or name.endswith(suffixes))


def modules(*folders: str) -> list[str]:
    """Every Python file below these folders; steps of migrations are history, and rules do not rewrite history."""
    names = files(".py")
    return [name for name in names if name.startswith(tuple(f"{folder}/" for folder in folders)) and not is_step(name)]


def is_step(name: str) -> bool:
    """Whether a file is a step of a migration."""
    return "/migrations/" in name and not name.endswith("__init__.py")


@cache
def text(name: str) -> str:
    """A file's text."""
    return (ROOT / name).read_text("utf-8")


@cache
def parsed(name: str) -> ast.Module:
    """A Python file as a tree."""
    return ast.parse(text(name))


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function, also those inside of others."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What is imported from where, wherever in the file: (module, name), with an empty name for a whole module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def calls(tree: ast.AST) -> Iterator[str]:
    """Every called thing by its written name, such as `datetime.now` or `self._consumer.commit`."""
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def _walk(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir() and not path.is_symlink() and (path.name not in NOT_OURS or name in OURS):
            if not path.name.endswith(".egg-info"):
                yield from _walk(path)
        elif path.is_file() and path.name != ".git":  # in a work tree beside a clone it is a file
            yield name
