"""Primary suppression (threshold, number of agencies, dominance rule), random rounding, and ratios of protected cells."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from services.reporting.publication.true_counts import Count

SCALE = 1 << 64


def meets_primary_rule(count: Count, floor: int, rules: Mapping[str, Any]) -> bool:
    """Return whether a cell meets the threshold, has enough agencies, and is dominated by none.

    Zero is as telling as one: empty cells are suppressed like any small cell.
    """
    return (
        count.persons >= floor
        and count.agencies >= rules["agencies"]
        and count.outside_largest >= rules["outside_largest"]
    )


def round_randomly(count: Count, base: int, secret: bytes) -> int:
    """Return the count rounded randomly, up or down, to a multiple of the rounding base; its mean is the count.

    The draw depends on who contributes and on how many they are, and not on the cell: equal contributors show an equal
    number in every table.
    """
    message = count.contributors.to_bytes(8, "big") + count.persons.to_bytes(8, "big")
    draw = int.from_bytes(hmac.digest(secret, message, "sha256")[:8], "big")
    down, rest = divmod(count.persons, base)
    return base * (down + (draw * base < rest * SCALE))


def ratio(numerator: Sequence[int | None], denominator: Sequence[int | None], rules: Mapping[str, Any]) -> str | None:
    """Return a share in percent made of shown numbers only, in steps, capped at both ends; None if any number is hidden."""
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
