"""Installs the programs that the tests need beside Python: a Java runtime and Maven for Kafka, PostgreSQL, Chromium.

As root on Debian it installs the packages; anywhere else it says what to install and ends with status 1. So no test is
skipped for lack of a server.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.testing.kafka import jars
from deploy.testing.postgresql import binaries

JAVA_AT_LEAST = 17
PACKAGES = {
    "java": "openjdk-17-jre-headless",
    "mvn": "maven",
    "postgresql": "postgresql",
    "chromium": "chromium",
}


def main() -> int:
    """Install or name the missing packages, then fetch Kafka's jars once; return the exit status."""
    missing = [package for name, package in PACKAGES.items() if not _present(name)]
    if missing and not _install(missing):
        print("The tests need these programs; please install them (Debian's names):", file=sys.stderr)
        print("    apt-get install --no-install-recommends " + " ".join(missing), file=sys.stderr)
        return 1
    if still := [package for name, package in PACKAGES.items() if not _present(name)]:
        print(f"Still missing after installing: {', '.join(still)}", file=sys.stderr)
        return 1
    jars()
    return 0


def _present(name: str) -> bool:
    if name == "postgresql":
        return _has_postgresql()
    if name == "java":
        return shutil.which("java") is not None and _java_version() >= JAVA_AT_LEAST
    return shutil.which(name) is not None


def _has_postgresql() -> bool:
    try:
        return binaries().exists()
    except RuntimeError:
        return False


def _java_version() -> int:
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    digits = told.partition('"')[2].partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def _install(packages: list[str]) -> bool:
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        return False
    print(f"Installing Debian packages: {' '.join(packages)}", file=sys.stderr)
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        if subprocess.run(["apt-get", "-qq", *command], check=False, **quiet).returncode:  # type: ignore[call-overload]
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
