"""`make bench`: measures the hub beside bare baselines in one run and prints a table; `--json FILE` keeps the figures."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from bench import counting, decisions, growth, intake, latency, ledger, openings, relay, revocations
from bench.report import Figure, table
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


def main() -> int:
    """Measure the parts that the command line names; return 1 if a promise was not kept, else 0."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Measured ratios, all in one run.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; everything if left out")
    parser.add_argument("--json", type=Path, help="file to keep the figures in")
    wanted = parser.parse_args()
    figures: list[Figure] = []
    with world() as made:
        for name in [part for part in PARTS if part in (wanted.parts or PARTS)]:
            print(f"measuring {name} ...", file=sys.stderr)
            figures += PARTS[name](made)
    print(table(figures))
    if wanted.json:
        wanted.json.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n", "utf-8")
    return 0 if all(figure.kept is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
