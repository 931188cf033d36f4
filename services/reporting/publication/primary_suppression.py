"""Makes a count fit to be shown: hides what speaks of few people, few agencies or one of them, and rounds the rest."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from services.reporting.publication.true_counts import Count

SCALE = 1 << 64


def may_show(count: Count, floor: int, rules: Mapping[str, Any]) -> bool:
    """The primary rule. Nobody at all is as telling as one: zeros are hidden like any small count."""
    return (
        count.persons >= floor
        and count.agencies >= rules["agencies"]
        and count.outside_largest >= rules["outside_largest"]
    )


def rounded(count: Count, base: int, secret: bytes) -> int:
    """The count up or down to a multiple of `base`, on average itself; the same people always give the same number.

    The draw knows who is counted and how many they are, and not where: one group shows one number in every table.
    """
    message = count.contributors.to_bytes(8, "big") + count.persons.to_bytes(8, "big")
    draw = int.from_bytes(hmac.digest(secret, message, "sha256")[:8], "big")
    down, rest = divmod(count.persons, base)
    return base * (down + (draw * base < rest * SCALE))


def ratio(numerator: Sequence[int | None], denominator: Sequence[int | None], rules: Mapping[str, Any]) -> str | None:
    """A share in percent from shown numbers alone, in steps, without saying that it is nearly none or nearly all."""
    shown = [value for value in denominator if value is not None]
    parts = [value for value in numerator if value is not None]
    if len(shown) < len(denominator) or len(parts) < len(numerator) or not sum(shown):
        return None
    step, percent = rules["ratio_step"], 100 * sum(parts) / sum(shown)
    nearest = step * int(percent / step + 0.5)
    if nearest <= rules["ratio_low"]:
        return f"<={rules['ratio_low']}"
    if nearest >= rules["ratio_high"]:
        return f">={rules['ratio_high']}"
    return str(nearest)
