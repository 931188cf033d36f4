"""Runs a program and tells how much memory it took at its greatest."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# A process begins with the peak of the one it was forked from, which for a test run is large. So a small process
# stands between.
_WATCH = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
open(sys.argv[1], "w").write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program said, how it ended, and its greatest resident size."""

    told: str
    errors: str
    status: int
    megabytes: float


def run(command: list[str], folder: Path) -> Ran:
    """Run a program to its end; the folder takes one small file."""
    peak = folder / "peak"
    watch = [sys.executable, "-c", _WATCH, str(peak), *command]
    done = subprocess.run(watch, capture_output=True, text=True, check=False)
    return Ran(done.stdout.strip(), done.stderr, done.returncode, int(peak.read_text()) / 1024)
