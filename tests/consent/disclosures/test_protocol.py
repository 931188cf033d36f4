"""Explores every order of the steps of the opening protocol: each weaker protocol has a counter-example, ours has none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Connection

from services.common.database import engine
from services.consent import domain
from services.consent.api.opening_response import OpeningResponse
from services.consent.handlers.disclosures import openings
from services.consent.handlers.disclosures.openings import begin_opening
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.locks import SubjectLocks
from tests.support.consent import House
from tests.support.hubs import eventually
from tests.support.protocol_model import Protocol, State, explore

SENDS = ("send", "send the rest")
OURS = ("lock", "decide for that grant", "commit the intent", *SENDS, "commit the outcome", "unlock")
SEALED, ENDED = "an event is sealed under the grant", "the grant is ended"
ASKS, TOLD, AGAIN = "she asks to take it back", "she is told", "she grants again"
TAKEN_BACK = [ASKS, ENDED, TOLD]


def by(number: int, *steps: str) -> list[str]:
    return [f"opener {number}: {step}" for step in steps]


BROKEN: dict[str, tuple[Protocol, list[str]]] = {
    "a check at sealing only": (
        Protocol(("take the decision of the sealing", "commit the record", *SENDS), locked=False),
        [SEALED, *TAKEN_BACK, *by(1, "take the decision of the sealing", "commit the record", "send")],
    ),
    "a decision that was kept": (
        Protocol(("lock", "take the decision of the sealing", "commit the intent", *SENDS, "unlock")),
        [SEALED, *TAKEN_BACK, *by(1, "lock", "take the decision of the sealing", "commit the intent", "send")],
    ),
    "a fresh decision without a lock": (
        Protocol(("decide for that grant", "commit the record", *SENDS), locked=False),
        [SEALED, *by(1, "decide for that grant"), *TAKEN_BACK, *by(1, "commit the record", "send")],
    ),
    "a lock until the receipt is committed": (
        Protocol(("lock", "decide for that grant", "commit the record", "unlock", *SENDS)),
        [SEALED, *by(1, "lock", "decide for that grant", "commit the record", "unlock"), *TAKEN_BACK, *by(1, "send")],
    ),
    "an old event on a new grant": (
        Protocol(("lock", "decide for any grant", *OURS[2:]), grants_again=True),
        [SEALED, *TAKEN_BACK, AGAIN, *by(1, "lock", "decide for any grant", "commit the intent", "send")],
    ),
    "one transaction that commits after the bytes": (
        Protocol(
            ("lock", "decide for that grant", "write the record", *SENDS, "commit the record", "unlock"), crashes=True
        ),
        [
            SEALED,
            *by(1, "lock", "decide for that grant", "write the record", "send", "dies"),
            *TAKEN_BACK,
            *by(2, "dies"),
        ],
    ),
    "a lock that goes with the intent's transaction": (
        Protocol(
            ("lock", "decide for that grant", "commit the intent", "unlock", *SENDS, "commit the outcome"), crashes=True
        ),
        [SEALED, *by(1, "lock", "decide for that grant", "commit the intent", "unlock"), *TAKEN_BACK, *by(1, "send")],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_weaker_protocol_has_counter_example(name: str) -> None:
    protocol, expected = BROKEN[name]
    found = explore(protocol).counter_example
    assert found is not None

    # The explorer returns one of several shortest counter-examples: its length and its steps are fixed, their order is not.
    assert len(found) == len(expected)
    assert sorted(found) == sorted(expected)
    assert found[-1] == expected[-1]


@pytest.mark.parametrize("grants_again", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
def test_our_protocol_has_no_counter_example(grants_again: bool, crashes: bool) -> None:
    explored = explore(Protocol(OURS, grants_again=grants_again, crashes=crashes))

    assert explored.counter_example is None
    assert explored.states > 100
    assert any(sent(state) for state in explored.rests), "nothing was ever sent"
    assert all(state.told for state in explored.rests), "a revocation can wait for ever"
    assert all(opener.dead or not opener.holds for state in explored.rests for opener in state.openers)


def sent(state: State) -> bool:
    return any(opener.sent for opener in state.openers)


@pytest.mark.parametrize("missing", ["lock", "decide for that grant", "commit the intent"])
def test_protocol_without_one_step_has_counter_example(missing: str) -> None:
    steps = tuple(step for step in OURS if step != missing)

    assert explore(Protocol(steps, crashes=True)).counter_example is not None


@pytest.mark.parametrize(("one", "two"), [(1, 0), (3, 2), (3, 1), (6, 4), (6, 3)])
def test_protocol_with_moved_step_has_counter_example(one: int, two: int) -> None:
    steps = list(OURS)
    steps.insert(two, steps.pop(one))

    assert explore(Protocol(tuple(steps), crashes=True)).counter_example is not None


class RecordingLocks:
    """Locks that record when they are taken and released."""

    def __init__(self, locks: SubjectLocks, taken: list[str]) -> None:
        self._locks, self._taken = locks, taken

    @contextmanager
    def opening(self, subjects: Sequence[UUID]) -> Iterator[Connection]:
        with self._locks.opening(subjects) as connection:
            self._taken.append("lock")
            yield connection
        self._taken.append("unlock")


def test_code_takes_the_explored_steps(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # An opening of an earlier test may still be ending in a thread of the shared service.
    eventually(lambda: openings._places.free == openings.AT_ONCE)
    taken: list[str] = []
    append, decide, transaction = ledger.append, domain.decide, engine.transaction_on

    def appending(connection: Connection, entries: Sequence[Entry], now: object) -> list[int]:
        written.append(entries[0].kind)
        return append(connection, entries, now)  # type: ignore[arg-type]  # passed on as it came

    def deciding(snapshot: object, request: object, *rest: object) -> object:
        taken.append("decide for that grant" if getattr(request, "grant", None) else "decide for any grant")
        return decide(snapshot, request, *rest)  # type: ignore[arg-type]  # passed on as they came

    @contextmanager
    def committing(connection: Connection) -> Iterator[None]:
        written.clear()
        with transaction(connection):
            yield
        kinds = {"opening.intended": "commit the intent", "opening.delivered": "commit the outcome"}
        taken.extend(kinds[kind] for kind in written)

    written: list[str] = []
    monkeypatch.setattr(ledger, "append", appending)
    monkeypatch.setattr(openings, "decide", deciding)
    monkeypatch.setattr(openings, "transaction_on", committing)
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency))
    written.clear()
    watched = replace(house.context, locks=RecordingLocks(house.context.locks, taken))  # type: ignore[arg-type]  # no change is made
    opening = begin_opening(watched, agency.id, envelope)
    response = OpeningResponse(opening)
    taken.extend(SENDS)  # bytes may leave from here on, and none has left before
    opening.finish("delivered")

    assert response.body == opening.content
    assert tuple(taken) == OURS
