"""Ten thousand guesses from a thousand addresses open nothing, and she comes in between them as if there were none."""

import time
from functools import cache
from secrets import choice, randbelow
from typing import Any

import pytest
from mnemonic import Mnemonic
from starlette.testclient import TestClient

from services.consent.handlers import accounts
from services.consent.secrets import Secrets
from tests.support.consent import House

GUESSES, ADDRESSES = 10_000, 1_000
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


def ask(client: TestClient, body: dict[str, Any]) -> int:
    return client.post("/my/v1/session", json=body).status_code


@pytest.mark.slow
@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_ten_thousand_guesses_open_nothing_and_keep_nobody_out(
    own_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = own_house.person()
    claimed = accounts.claim(own_house.room, person.claim_code, PIN)
    slow: list[str] = []
    real = Secrets.passphrase_digest

    def counted(self: Secrets, typed: str) -> bytes:
        slow.append(typed)
        return real(self, typed)

    monkeypatch.setattr(Secrets, "passphrase_digest", counted)
    app, statuses, waits = own_house.service.app, set(), []
    for number in range(ADDRESSES):
        client = TestClient(app, base_url=own_house.url, client=(f"10.1.{number // 250}.{number % 250}", 50_000))
        for _ in range(GUESSES // ADDRESSES - 2):
            statuses.add(ask(client, {"passphrase": guess(claimed.passphrase)}))
        statuses.add(ask(client, {"claim_code": f"aaaa{person.claim_code[4:]}"}))
        statuses.add(client.post("/my/v1/revoke-card", json={"revoke_code": "aaaa-bbbb-cccc"}).status_code)
        if number % 250 == 0:
            began = time.monotonic()
            assert ask(client, {"passphrase": claimed.passphrase}) == 201
            waits.append(time.monotonic() - began)

    assert statuses == {401}
    # About one guess in a thousand gets as far as the slow hash.
    assert len(slow) < GUESSES / 100
    assert max(waits) < PATIENCE_SECONDS
    assert own_house.kinds(person) == ["registered", "claimed"]


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_one_address_that_knows_some_words_waits_and_she_does_not(own_house: House) -> None:
    """Words that could be anybody's cost a slow hash each: so many from one address, and then it waits."""
    person = own_house.person()
    claimed = accounts.claim(own_house.room, person.claim_code, PIN)
    others = own_house.room.secrets.new_passphrase("en")
    crowd = TestClient(own_house.service.app, base_url=own_house.url, client=("10.2.0.1", 50_000))
    statuses = [ask(crowd, {"passphrase": others}) for _ in range(32)]

    assert statuses == [401] * 30 + [429] * 2
    she = TestClient(own_house.service.app, base_url=own_house.url, client=("10.2.0.2", 50_000))
    assert ask(she, {"passphrase": claimed.passphrase}) == 201
