"""Every step of the demonstration holds, and it changes only its own folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.http.server import listen

pytestmark = [pytest.mark.slow, pytest.mark.backend("sqlite", "local_log")]


def demo(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", "demo", "--exit", *arguments]
    surroundings = os.environ | variables
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, timeout=180)


def test_every_step_holds_and_real_settings_are_untouched(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    url = f"sqlite:///{theirs}/{{service}}.sqlite"
    told = demo(FIREWEED_DATABASE_URL=url, FIREWEED_KEYS=str(theirs / "keys"), FIREWEED_KAFKA="127.0.0.1:1")
    assert (told.returncode, "All 14 steps held." in told.stdout) == (0, True), told.stdout + told.stderr
    assert not theirs.exists()


def test_taken_port_is_told_in_one_sentence() -> None:
    with listen(0) as taken:
        told = demo("--port", str(taken.getsockname()[1]))
    assert (told.returncode, "Traceback" in told.stderr) == (1, False)
    assert "cannot be used (Address already in use). Choose another with --port." in told.stderr
