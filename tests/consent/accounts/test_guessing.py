"""Test that ten thousand guesses from a thousand addresses open nothing, and that the survivor still gets in."""

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
from services.consent.rate_limit import OF_ONE, OF_ONE_PAYER, ConcurrencyLimit
from services.consent.store import subjects
from tests.support.consent import House, open_session
from tests.support.hubs import eventually

GUESSES, ADDRESSES, AT_ONCE = 10_000, 1_000, 20
PIN = "271828"
MOST_SECONDS = 20
"""The longest acceptable wait: far more than she waits, far less than a queue of slow hashes would take."""


@cache
def word_list(name: str = "english") -> list[str]:
    """Return the BIP 39 word list of a language."""
    return list(Mnemonic(name).wordlist)


def guess(passphrase: str) -> str:
    """Return random words, or her passphrase with one or two wrong words, as a guess by somebody who read most of it."""
    if randbelow(2):
        return " ".join(choice(word_list()) for _ in range(8))
    near = passphrase.split()
    for _ in range(1 + randbelow(2)):
        near[randbelow(8)] = choice(word_list())
    return " ".join(near) if near != passphrase.split() else "nothing"


class Crowd:
    """Clients at many addresses that post to one application on one event loop, at most `AT_ONCE` at a time."""

    def __init__(self, house: House) -> None:
        self._house, self._turn = house, asyncio.Semaphore(AT_ONCE)
        self.answered: Counter[int] = Counter()
        self.quarters: asyncio.Queue[None] = asyncio.Queue()
        """Receives an item when each quarter of the guesses begins."""

    def client(self, address: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(self._house.service.app, client=(address, 50_000))
        return httpx2.AsyncClient(transport=transport, base_url=f"{self._house.url}/my/v1/", trust_env=False)

    async def post(self, client: httpx2.AsyncClient, path: str, body: dict[str, str]) -> int:
        async with self._turn:
            status = (await client.post(path, json=body)).status_code
        if self.answered.total() % (GUESSES // 4) == 0:
            self.quarters.put_nowait(None)
        self.answered[status] += 1
        return status


async def siege(house: House, passphrase: str, claim_code: str) -> tuple[Counter[int], list[float]]:
    """Send all guesses; return how often each status was answered, and how long each of her four logins took."""
    crowd, waits = Crowd(house), []

    async def guesser(number: int) -> None:
        async with crowd.client(f"10.1.{number // 250}.{number % 250}") as client:
            for _ in range(GUESSES // ADDRESSES - 2):
                await crowd.post(client, "session", {"passphrase": guess(passphrase)})
            await crowd.post(client, "session", {"claim_code": f"aaaa{claim_code[4:]}"})
            await crowd.post(client, "revoke-card", {"revoke_code": "aaaa-bbbb-cccc"})

    async def she() -> None:
        async with crowd.client("192.0.2.1") as client:
            for _ in range(4):
                await crowd.quarters.get()
                began = time.monotonic()
                assert (await client.post("session", json={"passphrase": passphrase})).status_code == 201
                waits.append(time.monotonic() - began)

    await asyncio.gather(she(), *(guesser(number) for number in range(ADDRESSES)))
    return crowd.answered, waits


@pytest.mark.slow
@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_ten_thousand_guesses_return_401_and_block_nobody(own_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert max(waits) < MOST_SECONDS
    assert own_house.kinds(person) == ["registered", "claimed"]


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_guessing_address_gets_429_and_survivor_gets_in(own_house: House) -> None:
    """Words with a valid checksum cost a slow hash each: 30 from one address are checked, then it has to wait."""
    person = own_house.person()
    claimed = sessions.claim(own_house.context, person.claim_code, PIN)
    plausible = own_house.context.secrets.new_passphrase("en")

    async def try_them() -> list[int]:
        crowd = Crowd(own_house)
        async with crowd.client("10.2.0.1") as one, crowd.client("10.2.0.2") as another:
            statuses = [await crowd.post(one, "session", {"passphrase": plausible}) for _ in range(32)]
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
    [(claiming, 1, OF_ONE), (claiming, 60, OF_ONE_PAYER), (stepping_up, 1, OF_ONE), (stepping_up, 10, OF_ONE_PAYER)],
)
def test_revoking_works_during_a_flood_of_slow_checks(
    own_house: House,
    monkeypatch: pytest.MonkeyPatch,
    flood: Callable[[House, int], Act],
    accounts_used: int,
    at_once: int,
) -> None:
    """Each slow check holds a thread, and one slip can ask for more checks than there are threads.

    So the concurrency limit answers 503 to all but a few of one address, and a thread stays free for her revocation.
    """
    agency, waiting, go_on = own_house.agency(), [], threading.Event()
    person = own_house.person(agency)
    grant, token = own_house.allow(person, agency), open_session(own_house.context, person.subject)
    act = flood(own_house, accounts_used)

    def held(real: Callable[..., Any]) -> Callable[..., Any]:
        def check(self: Secrets, *typed: str) -> Any:
            waiting.append(typed)
            go_on.wait(MOST_SECONDS)
            return real(self, *typed)

        return check

    for name in ("passphrase_digest", "pin_fits"):
        monkeypatch.setattr(Secrets, name, held(getattr(Secrets, name)))
    with ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(act, number) for number in range(60)]
        eventually(lambda: len(waiting) + sum(answer.done() for answer in answers) == 60)
        began = time.monotonic()
        assert own_house.my("DELETE", f"/grants/{grant}", token).status_code == 204
        assert time.monotonic() - began < MOST_SECONDS / 2
        go_on.set()
        answered = Counter(answer.result().status_code for answer in answers)
    assert answered[503] == 60 - at_once
    assert answered[201] + answered[204] == at_once


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
@pytest.mark.parametrize("flooded", ["PINs", "claims"])
def test_made_up_survivors_leave_pin_and_claim_to_others(
    own_house: House, monkeypatch: pytest.MonkeyPatch, flooded: str
) -> None:
    """Three survivors that one agency made up, in nine loops, took every place for checks of PINs and of claim codes."""
    rogue, go_on, waiting = own_house.agency(), threading.Event(), []
    made_up = [own_house.person(rogue) for _ in range(3)]
    person, unclaimed = own_house.person(), own_house.person()
    for one in (*made_up, person):
        own_house.give_pin(one)
    tokens, hers = [own_house.session(one) for one in made_up], own_house.session(person)

    def flood(number: int) -> int:
        if flooded == "PINs":
            return own_house.my("POST", "/session/step-up", tokens[number % 3], {"pin": PIN}).status_code
        body = {"claim_code": made_up[number % 3].claim_code}
        return own_house.my("POST", "/session", body=body).status_code

    def held(real: Callable[..., Any]) -> Callable[..., Any]:
        def check(self: Secrets, *typed: str) -> Any:
            waiting.append(typed)
            go_on.wait(MOST_SECONDS)
            return real(self, *typed)

        return check

    async def she() -> list[int]:
        crowd = Crowd(own_house)
        async with crowd.client("192.0.2.1") as one, crowd.client("192.0.2.2") as another:
            one.headers["cookie"] = f"s={hers}"
            return list(
                await asyncio.gather(
                    crowd.post(one, "session/step-up", {"pin": PIN}),
                    crowd.post(another, "session", {"claim_code": unclaimed.claim_code}),
                )
            )

    for name in ("passphrase_digest", "pin_fits"):
        monkeypatch.setattr(Secrets, name, held(getattr(Secrets, name)))
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(flood, number) for number in range(9)]
        eventually(lambda: len(waiting) + sum(answer.done() for answer in answers) == 9)
        before = len(waiting)
        told = pool.submit(asyncio.run, she())
        eventually(lambda: len(waiting) == before + 2 or told.done())
        go_on.set()
        assert told.result() == [204, 201]
        assert Counter(answer.result() for answer in answers)[503] >= 9 - OF_ONE_PAYER


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
@pytest.mark.parametrize("known", ["passphrase", "claim_code"])
def test_stranger_who_signs_in_without_pause_leaves_her_a_place(
    own_house: House, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    """Whoever has her words or her slip kept both places of that account busy, and she was answered 503."""
    person, go_on, waiting = own_house.person(), threading.Event(), []
    own_house.give_pin(person)
    words = own_house.context.secrets.new_passphrase("en")
    with own_house.context.database.transaction() as connection:
        digest = own_house.context.secrets.passphrase_digest(words)
        if known == "passphrase":
            subjects.change_subject(connection, person.subject, passphrase_digest=digest)
    real = Secrets.passphrase_digest

    def held(self: Secrets, typed: str) -> bytes:
        waiting.append(typed)
        go_on.wait(MOST_SECONDS)
        return real(self, typed)

    def enter(address: str, times: int) -> list[int]:
        async def ask() -> list[int]:
            crowd = Crowd(own_house)
            async with crowd.client(address) as client:
                body = {known: words if known == "passphrase" else person.claim_code}
                return list(await asyncio.gather(*(crowd.post(client, "session", body) for _ in range(times))))

        return asyncio.run(ask())

    monkeypatch.setattr(Secrets, "passphrase_digest", held)
    with ThreadPoolExecutor(2) as pool:
        stranger = pool.submit(enter, "192.0.2.1", OF_ONE)
        eventually(lambda: len(waiting) == OF_ONE or stranger.done())
        her = pool.submit(enter, "192.0.2.2", 1)
        eventually(lambda: len(waiting) == OF_ONE + 1 or her.done())
        go_on.set()
        assert her.result() == [201]
        assert len(stranger.result()) == OF_ONE


def test_concurrency_limit_frees_its_place_after_an_error() -> None:
    limit = ConcurrencyLimit()
    for number in range(100):
        with pytest.raises(LookupError), limit.place("claim", number):
            raise LookupError
    assert not limit._held
