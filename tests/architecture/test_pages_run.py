"""Commands that a page marks as runnable succeed unchanged in a copy of the checkout."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files, text

BLOCK = re.compile(r"^```(sh|python) runnable\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(language, commands, id=f"{name}-{number}")
    for name in files(".md")
    for number, (language, commands) in enumerate(BLOCK.findall(text(name)), start=1)
]
TIMEOUT_SECONDS = 300


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with links to everything in the checkout, where commands may write files."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name not in {"data", ".git", ".venv"}:
            (folder / path.name).symlink_to(path)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def test_readme_has_a_runnable_block() -> None:
    assert BLOCK.search(text("README.md"))


@pytest.mark.slow
@pytest.mark.parametrize(("language", "commands"), BLOCKS)
def test_runnable_block_succeeds(checkout: Path, language: str, commands: str) -> None:
    program = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
    done = subprocess.run(
        [*program, commands], cwd=checkout, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
