"""Limits how often each agency may do each kind of act, and tells it what is left in `RateLimit` headers.

The headers follow draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy: "events";q=30000;w=60` names the limit, and
`RateLimit: "events";r=29500;t=1` what is left of it and the seconds until it is whole again. Kept in memory of one process:
an agency's own acts alone decide, so that a refusal tells it nothing about a survivor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor
from threading import Lock

from services.common.clock import Clock
from services.common.errors import Problem


@dataclass(frozen=True, slots=True)
class Policy:
    """A limit: so many at once, which come back evenly within so many seconds."""

    quota: int
    seconds: int


POLICIES: Mapping[str, Policy] = {
    "events": Policy(30_000, 60),
    "reads": Policy(6_000, 60),
    "decisions": Policy(6_000, 60),
    "openings": Policy(6_000, 60),
    "people": Policy(2_000, 3600),
    "requests": Policy(600, 3600),
    "links": Policy(600, 3600),
    "answers": Policy(2_000, 3600),
    "webhooks": Policy(600, 3600),
    "records": Policy(120, 3600),
    "her-word": Policy(240, 3600),
}
"""The limits of one agency, by act. Her own revoke and pause, and the notices that tell of them, have none."""


class RateLimits:
    """What each agency has left of each limit. `factor` multiplies every quota."""

    def __init__(self, clock: Clock, factor: float = 1.0) -> None:
        self._clock, self._factor = clock, factor
        self._left: dict[tuple[str, str], tuple[float, datetime]] = {}
        self._lock = Lock()

    def spend(self, agency: str, act: str, cost: int = 1) -> Mapping[str, str]:
        """Take `cost` from what an agency has left; return the headers that tell it. Raise 429 if that is too little.

        A cost above the whole quota is taken from a whole quota, so that nothing is impossible for ever.
        """
        policy, now = POLICIES[act], self._clock.now()
        quota = max(1, floor(policy.quota * self._factor))
        needed = min(cost, quota)
        with self._lock:
            left = self._now_left(agency, act, quota, now)
            enough = left >= needed
            if enough:
                left -= needed
                self._left[agency, act] = (left, now)
        per_second = quota / policy.seconds
        headers = {
            "RateLimit-Policy": f'"{act}";q={quota};w={policy.seconds}',
            "RateLimit": f'"{act}";r={floor(left)};t={ceil((quota - left) / per_second)}',
        }
        if not enough:
            wait = ceil((needed - left) / per_second)
            raise Problem(
                429,
                "quota-exceeded",
                "Your agency does this too often. Nothing was done; please wait a little.",
                headers={**headers, "Retry-After": str(max(1, wait))},
                extra={"violated-policies": [act]},
            )
        return headers

    def _now_left(self, agency: str, act: str, quota: int, now: datetime) -> float:
        left, since = self._left.get((agency, act), (float(quota), now))
        back = max(0.0, (now - since).total_seconds()) * quota / POLICIES[act].seconds
        return min(float(quota), left + back)
