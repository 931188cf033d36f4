"""Ten thousand guesses from a thousand addresses open nothing, and she comes in between them as if there were none."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from secrets import choice, randbelow
from typing import Any

import httpx2
import pytest
from mnemonic import Mnemonic

from services.consent.credentials import Secrets
from services.consent.handlers.accounts import sessions
from services.consent.rate_limit import OF_ONE, OF_ONE_KIND, ConcurrencyLimit
from tests.support.consent import House, open_session
from tests.support.hubs import eventually

GUESSES, ADDRESSES, AT_ONCE = 10_000, 1_000, 20
PIN = "271828"
PATIENCE_SECONDS = 20
"""Far more than she waits, far less than a queue of slow hashes would take."""


@cache
def words(name: str = "english") -> list[str]:
    return list(Mnemonic(name).wordlist)


def guess(hers: str) -> str:
    """Words at random; or, as if somebody had read almost all of hers, hers with one or two of them wrong."""
    if randbelow(2):
        return " ".join(choice(words()) for _ in range(8))
    near = hers.split()
    for _ in range(1 + randbelow(2)):
        near[randbelow(8)] = choice(words())
    return " ".join(near) if near != hers.split() else "nothing"


class Crowd:
    """People at many addresses who post to one application, so many at a time, on one event loop."""

    def __init__(self, house: House) -> None:
        self._house, self._turn = house, asyncio.Semaphore(AT_ONCE)
        self.answered: Counter[int] = Counter()
        self.quarters: asyncio.Queue[None] = asyncio.Queue()
        """Gets something as each quarter of the guesses begins."""

    def client(self, address: str) -> httpx2.AsyncClient:
        door = httpx2.ASGITransport(self._house.service.app, client=(address, 50_000))
        return httpx2.AsyncClient(transport=door, base_url=f"{self._house.url}/my/v1/", trust_env=False)

    async def post(self, client: httpx2.AsyncClient, path: str, body: dict[str, str]) -> int:
        async with self._turn:
            status = (await client.post(path, json=body)).status_code
        if self.answered.total() % (GUESSES // 4) == 0:
            self.quarters.put_nowait(None)
        self.answered[status] += 1
        return status


async def siege(house: House, hers: str, claim_code: str) -> tuple[Counter[int], list[float]]:
    """All the guesses; what was answered how often, and how long she waited each time that she came in between them."""
    crowd, waits = Crowd(house), []

    async def guesser(number: int) -> None:
        async with crowd.client(f"10.1.{number // 250}.{number % 250}") as client:
            for _ in range(GUESSES // ADDRESSES - 2):
                await crowd.post(client, "session", {"passphrase": guess(hers)})
            await crowd.post(client, "session", {"claim_code": f"aaaa{claim_code[4:]}"})
            await crowd.post(client, "revoke-card", {"revoke_code": "aaaa-bbbb-cccc"})

    async def she() -> None:
        async with crowd.client("192.0.2.1") as client:
            for _ in range(4):
                await crowd.quarters.get()
                began = time.monotonic()
                assert (await client.post("session", json={"passphrase": hers})).status_code == 201
                waits.append(time.monotonic() - began)

    await asyncio.gather(she(), *(guesser(number) for number in range(ADDRESSES)))
    return crowd.answered, waits


@pytest.mark.slow
@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_ten_thousand_guesses_open_nothing_and_keep_nobody_out(
    own_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = own_house.person()
    claimed = sessions.claim(own_house.context, person.claim_code, PIN)
    slow: list[str] = []
    real = Secrets.passphrase_digest

    def counted(self: Secrets, typed: str) -> bytes:
        slow.append(typed)
        return real(self, typed)

    monkeypatch.setattr(Secrets, "passphrase_digest", counted)
    answered, waits = asyncio.run(siege(own_house, claimed.passphrase, person.claim_code))

    assert answered == {401: GUESSES}
    # About one guess in a thousand gets as far as the slow hash.
    assert len(slow) < GUESSES / 100
    assert len(waits) == 4
    assert max(waits) < PATIENCE_SECONDS
    assert own_house.kinds(person) == ["registered", "claimed"]


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_one_address_that_knows_some_words_waits_and_she_does_not(own_house: House) -> None:
    """Words that could be anybody's cost a slow hash each: so many from one address, and then it waits."""
    person = own_house.person()
    claimed = sessions.claim(own_house.context, person.claim_code, PIN)
    others = own_house.context.secrets.new_passphrase("en")

    async def try_them() -> list[int]:
        crowd = Crowd(own_house)
        async with crowd.client("10.2.0.1") as one, crowd.client("10.2.0.2") as another:
            statuses = [await crowd.post(one, "session", {"passphrase": others}) for _ in range(32)]
            return [*statuses, await crowd.post(another, "session", {"passphrase": claimed.passphrase})]

    assert asyncio.run(try_them()) == [401] * 30 + [429] * 2 + [201]


Act = Callable[[int], httpx2.Response]


def claiming(house: House, codes: int) -> Act:
    known = [house.person().claim_code for _ in range(codes)]
    return lambda number: httpx2.post(
        f"{house.url}/my/v1/session", json={"claim_code": known[number % codes]}, timeout=60
    )


def stepping_up(house: House, survivors: int) -> Act:
    opened = []
    for _ in range(survivors):
        person = house.person()
        sessions.claim(house.context, person.claim_code, PIN)
        opened.append(open_session(house.context, person.subject))
    return lambda number: house.my("POST", "/session/step-up", opened[number % survivors], {"pin": PIN})


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("flood", "accounts_used", "at_once"),
    [(claiming, 1, OF_ONE), (claiming, 60, OF_ONE_KIND), (stepping_up, 1, OF_ONE), (stepping_up, 10, OF_ONE_KIND)],
)
def test_in_a_flood_of_slow_checks_she_looks_and_takes_away_as_ever(
    own_house: House,
    monkeypatch: pytest.MonkeyPatch,
    flood: Callable[[House, int], Act],
    accounts_used: int,
    at_once: int,
) -> None:
    """Each slow check takes a thread; whoever holds one slip could ask for more of them than there are threads."""
    agency, waiting, go_on = own_house.agency(), [], threading.Event()
    person = own_house.person(agency)
    grant, hers = own_house.allow(person, agency), open_session(own_house.context, person.subject)
    act = flood(own_house, accounts_used)

    def held(real: Callable[..., Any]) -> Callable[..., Any]:
        def check(self: Secrets, *typed: str) -> Any:
            waiting.append(typed)
            go_on.wait(PATIENCE_SECONDS)
            return real(self, *typed)

        return check

    for name in ("passphrase_digest", "pin_fits"):
        monkeypatch.setattr(Secrets, name, held(getattr(Secrets, name)))
    with ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(act, number) for number in range(60)]
        eventually(lambda: len(waiting) + sum(answer.done() for answer in answers) == 60)
        began = time.monotonic()
        assert own_house.my("DELETE", f"/grants/{grant}", hers).status_code == 204
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        go_on.set()
        answered = Counter(answer.result().status_code for answer in answers)
    assert answered[503] == 60 - at_once
    assert answered[201] + answered[204] == at_once


def test_a_place_in_the_line_is_given_back_however_the_check_ends() -> None:
    line = ConcurrencyLimit()
    for number in range(100):
        with pytest.raises(LookupError), line.place("claim", number):
            raise LookupError
    assert not line._ones
    assert not line._kinds.total()
