"""Reads how long the referral service keeps what has ended, from the policy in `schemas/policies`."""

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files

POLICY = "1"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows are kept after their end."""

    offers: timedelta


@cache
def retention(version: str = POLICY) -> Retention:
    """Load the times of a policy version; cached."""
    document = json.loads(files("schemas").joinpath("policies", f"{version}.json").read_text("utf-8"))
    return Retention(offers=timedelta(days=document["retention"]["offer_days"]))
