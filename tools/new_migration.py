"""Writes the next migration step of a service: `python -m tools.new_migration SERVICE "what changes"`."""

import sys
import tempfile
from pathlib import Path

from services import composition
from services.common.database.migrations import upgrade, write_step
from services.common.settings import Settings


def main(service: str, message: str) -> None:
    """Compare an empty, freshly migrated database with the models and write a step with the difference."""
    with tempfile.TemporaryDirectory() as folder:
        made = composition.build_one(service, Settings(data=Path(folder)))
        upgrade(service, made.database)
        write_step(service, made.database, made.metadata, message)
        made.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
