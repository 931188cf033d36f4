"""Servers that tests start get ports that no other process takes."""

import subprocess
import sys
from pathlib import Path

from deploy.testing.ports import AT_ONCE, PORTS, free_port

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_outgoing_connections_never_use_such_a_port() -> None:
    lowest = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
    assert max(PORTS) < lowest
    assert free_port() in PORTS


def test_port_promised_to_one_caller_goes_to_no_other() -> None:
    mine = {free_port() for _ in range(AT_ONCE)}
    assert len(mine) == AT_ONCE
    # With hardly any other port left.
    left = [*mine, *range(min(PORTS), min(PORTS) + 40)]
    told = f"from deploy.testing import ports; ports.PORTS = {left}; print(ports.free_port())"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)
    assert int(found.stdout) not in mine
