"""Runs a program and measures its peak memory."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# A forked process inherits the peak of its parent, which is large for a test run; so a small process starts the program.
_WATCH = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
open(sys.argv[1], "w").write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """The output of a program, its exit code, and its peak resident size."""

    told: str
    errors: str
    status: int
    megabytes: float


def run(command: list[str], folder: Path) -> Ran:
    """Run a program to its end and return its result; write one small file into the folder."""
    peak = folder / "peak"
    watch = [sys.executable, "-c", _WATCH, str(peak), *command]
    done = subprocess.run(watch, capture_output=True, text=True, check=False)
    return Ran(done.stdout.strip(), done.stderr, done.returncode, int(peak.read_text()) / 1024)
