"""A copy of everything is sent while it is read: a long ledger takes no more memory than a short one."""

import json
import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from services.common.errors import Problem
from services.consent.api.survivors.export import Export, proven_pages, written
from services.consent.handlers.rights import erasure, export
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from tests.support.consent import PIN, House, Person

FEW, MANY = 1_000, 6_000


def with_ledger(house: House, number: int) -> Person:
    """Return a survivor with so many entries more than everybody has."""
    person = house.person()
    with house.context.database.transaction() as connection:
        for first in range(0, number, 50):
            some = [Entry("paused", person.subject)] * min(50, number - first)
            ledger.append(connection, some, house.clock.now())
    return person


def peak(parts: Iterable[object]) -> int:
    """Return the most bytes that were held while the parts were taken one after the other."""
    tracemalloc.start()
    try:
        for _ in parts:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


READINGS: dict[str, Callable[[House, Person], Iterable[object]]] = {
    "file": lambda house, person: written(house.context, person.subject),
    "entries": lambda house, person: proven_pages(house.context, person.subject),
}


@pytest.mark.parametrize("reading", READINGS)
def test_memory_of_export_does_not_grow_with_ledger(house: House, reading: str) -> None:
    few, many = with_ledger(house, FEW), with_ledger(house, MANY)
    read = READINGS[reading]
    peak(read(house, few))  # what is loaded once

    assert peak(read(house, many)) < 1.3 * peak(read(house, few))


def test_export_has_every_member_and_entry_in_order(house: House) -> None:
    person = with_ledger(house, 2 * export.LARGE_PAGE + 7)
    house.give_pin(person)
    answer = house.my("GET", "/export", house.session(person), pin=PIN)

    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == list(Export.model_fields)
    assert Export.model_validate(answer.json()).model_dump(mode="json") == answer.json()
    told = [row["position"] for row in answer.json()["ledger"]]
    assert told == [row.position for row in reversed(house.ledger(person))]


@pytest.mark.parametrize("number", [0, export.LARGE_PAGE - 1, export.LARGE_PAGE, export.LARGE_PAGE + 1])
def test_export_is_whole_at_the_edge_of_a_page(house: House, number: int) -> None:
    person = with_ledger(house, max(0, number - 1))
    told = json.loads("".join(written(house.context, person.subject)))

    assert len(told["ledger"]) == max(1, number)


def test_erasure_ends_export_that_is_under_way(house: House) -> None:
    person = with_ledger(house, 3 * export.LARGE_PAGE)
    parts = written(house.context, person.subject)
    text = next(parts) + next(parts)
    erasure.erase(house.context, person.subject)

    told = json.loads(text + "".join(parts))
    assert len(told["ledger"]) == export.LARGE_PAGE
    with pytest.raises(Problem) as refused:
        written(house.context, house.context.clock.new_id())
    assert refused.value.status == 404
