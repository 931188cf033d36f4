"""`make bench`: measures the hub beside bare baselines in one run and prints a table; `--json FILE` keeps the figures.

Two parts attack a hub of their own, and run only if they are named: `enumeration` and `floods`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import (
    counting,
    decisions,
    enumeration,
    floods,
    growth,
    intake,
    latency,
    ledger,
    openings,
    relay,
    revocations,
)
from bench.report import Figure, Measured, table
from bench.world import World, world

# The order is fixed: growth fills the hub with a million survivors, and the relay ends the hub's workers.
PARTS: dict[str, Callable[[World], list[Figure]]] = {
    "latency": latency.figures,
    "openings": openings.figures,
    "ledger": ledger.figures,
    "decisions": decisions.figures,
    "revocations": revocations.figures,
    "intake": intake.figures,
    "counting": counting.figures,
    "growth": growth.figures,
    "relay": relay.figures,
}


# Each prints its own table.
ATTACKS: dict[str, Callable[[float], Sequence[Measured]]] = {"enumeration": enumeration.run, "floods": floods.run}
SECONDS = 60.0


def main() -> int:
    """Measure the parts that the command line names; return 1 if a promise was not kept, else 0."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Measured ratios, all in one run.")
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, *ATTACKS, []], help="what to measure; left out, all but the attacks"
    )
    parser.add_argument("--json", type=Path, help="file to keep the figures in")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each flood lasts")
    wanted = parser.parse_args()
    figures: list[Measured] = []
    for name in [part for part in ATTACKS if part in wanted.parts]:
        figures += ATTACKS[name](wanted.seconds)
    if parts := [part for part in PARTS if part in (wanted.parts or PARTS)]:
        figures += _measured(parts)
    if wanted.json:
        wanted.json.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n", "utf-8")
    return 0 if all(figure.kept is not False for figure in figures) else 1


def _measured(parts: Sequence[str]) -> list[Figure]:
    figures: list[Figure] = []
    with world() as made:
        for name in parts:
            print(f"measuring {name} ...", file=sys.stderr)
            figures += PARTS[name](made)
    print(table(figures))
    return figures


if __name__ == "__main__":
    sys.exit(main())
