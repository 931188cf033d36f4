"""Sends prepared requests from several processes as fast as they are answered, with little other work in between."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from services.client import Partner


@dataclass(frozen=True, slots=True)
class Prepared:
    """One request, ready to be written."""

    url: str
    method: str
    headers: dict[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a load: seconds from the first request to the last answer, each request's seconds, statuses."""

    seconds: float
    each: list[float]
    statuses: list[int]


def prepare(
    partner: Partner, method: str, path: str, body: Any = None, content_type: str = "application/json"
) -> Prepared:
    """Return a request with a proof of its own; it must be sent within a minute."""
    url, token = partner.origins.url(path), partner.token()
    headers = {
        "authorization": f"DPoP {token}",
        "dpop": partner.proof(method, url, token),
        "content-type": content_type,
    }
    return Prepared(url, method, headers, json.dumps(body).encode() if body is not None else None)


def send(requests: Sequence[Prepared], clients: int) -> Outcome:
    """Share the requests out among that many processes, each on one connection, and send them all."""
    shares = [list(requests[number::clients]) for number in range(clients)]
    with ProcessPoolExecutor(clients) as pool:
        list(pool.map(_warm, range(clients)))
        start = time.time() + 0.3
        done = list(pool.map(_send_share, shares, [start] * clients))
    each = [seconds for share, _ in done for seconds, _ in share]
    statuses = [status for share, _ in done for _, status in share]
    return Outcome(max(end for _, end in done) - start, each, statuses)


def rate(outcome: Outcome, per_request: int = 1, expected: int = 202) -> float:
    """Return events (or openings) per second; raise if any status differs from the expected one."""
    wrong = [status for status in outcome.statuses if status != expected]
    if wrong:
        raise AssertionError(f"{len(wrong)} answers were not {expected}: {sorted(set(wrong))}")
    return len(outcome.statuses) * per_request / outcome.seconds


def repeat(act: Callable[[], object], at_least: float = 1.0) -> float:
    """Return how often a second something can be done, one after the other."""
    act()
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < at_least:
        act()
        count += 1
    return count / spent


def _warm(_number: int) -> None:
    time.sleep(0.1)


def _send_share(requests: list[Prepared], start: float) -> tuple[list[tuple[float, int]], float]:
    if not requests:
        return [], start
    target = urlsplit(requests[0].url)
    connection = http.client.HTTPConnection(str(target.hostname), target.port)
    connection.connect()
    time.sleep(max(0.0, start - time.time()))
    done = []
    for request in requests:
        began = time.perf_counter()
        connection.request(request.method, urlsplit(request.url).path, request.body, request.headers)
        answer = connection.getresponse()
        answer.read()
        done.append((time.perf_counter() - began, answer.status))
    end = time.time()
    connection.close()
    return done, end
