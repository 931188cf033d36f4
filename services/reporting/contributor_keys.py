"""Turns a pseudonym into a contributor key, with a secret of each fiscal year that no database holds."""

from collections.abc import Callable
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path

from services.common.secret_files import secret

Contributors = Callable[[str, str], int]
"""Returns the 64-bit key of a pseudonym in a quarter or fiscal year; it is equal in all periods of one year."""

KEPT = 65536


def contributors(folder: Path) -> Contributors:
    """Return keys made with the secrets in a folder; each secret is made on first use."""

    @cache
    def of_year(year: str) -> bytes:
        return secret(folder / f"contributors-{year}")

    @lru_cache(KEPT)
    def key(statistics: str, period: str) -> int:
        return int.from_bytes(blake2b(statistics.encode(), digest_size=8, key=of_year(period[:4])).digest())

    return key
