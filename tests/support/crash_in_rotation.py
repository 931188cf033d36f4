"""Rotates the keys of a hub and kills itself at the named step, as a power failure would."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.default import DefaultDialect

from services.common.clock import SystemClock
from services.common.settings import Settings
from services.consent.handlers.operations.key_rotation import rotate
from services.consent.main import build_context

_seen: Counter[str] = Counter()


def dying(step: str, real: Callable[..., Any], named: Callable[..., str]) -> Callable[..., Any]:
    """Wrap a call so that the process dies just before it if it is the named step; `kind-N` is the N-th call of its kind."""

    def watched(*arguments: Any, **options: Any) -> Any:
        kind = named(*arguments)
        _seen[kind] += 1
        if step in {kind, f"{kind}-{_seen[kind]}"}:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    return watched


def main(step: str) -> None:
    """Rotate the keys; die just before the named commit or file operation."""
    context = build_context(Settings(), SystemClock())
    dialects: list[Any] = [DefaultDialect, PGDialect_psycopg]
    for dialect in dialects:
        dialect.do_commit = dying(step, dialect.do_commit, lambda *_: "commit")
    system: Any = os
    system.link = dying(step, os.link, lambda *_: "link")
    system.fsync = dying(step, os.fsync, lambda file: f"sync-{'folder' if _is_folder(file) else 'file'}")
    path: Any = Path
    path.unlink = dying(step, Path.unlink, lambda file: "unlink" if file.suffix == ".key" else "unlink-draft")
    rotate(context)


def _is_folder(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").is_dir()


if __name__ == "__main__":
    main(sys.argv[1])
