"""Lists and parses the files of the project for the architecture tests."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Installed, built or measured files, which are not part of the project.
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
    """Return the paths from the top of all files with one of these endings, or of all files."""
    return sorted(name for name in _walk(ROOT) if not suffixes or name.endswith(suffixes))


def modules(*folders: str) -> list[str]:
    """Return every Python file below these folders, without migration steps: released steps are never rewritten."""
    names = files(".py")
    return [name for name in names if name.startswith(tuple(f"{folder}/" for folder in folders)) and not is_step(name)]


def is_step(name: str) -> bool:
    """Tell whether a file is a migration step."""
    return "/migrations/" in name and not name.endswith("__init__.py")


@cache
def text(name: str) -> str:
    """Return the text of a file."""
    return (ROOT / name).read_text("utf-8")


@cache
def parsed(name: str) -> ast.Module:
    """Return a Python file as a syntax tree."""
    return ast.parse(text(name))


def functions(tree: ast.Module) -> Iterator[Function]:
    """Yield every function, nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for each import at any depth; the name is empty if a whole module is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def calls(tree: ast.AST) -> Iterator[str]:
    """Yield the written name of each call, such as `datetime.now` or `self._consumer.commit`."""
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def _walk(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir() and not path.is_symlink() and (path.name not in NOT_OURS or name in OURS):
            if not path.name.endswith(".egg-info"):
                yield from _walk(path)
        elif path.is_file() and path.name != ".git":  # in a work tree beside a clone it is a file
            yield name
