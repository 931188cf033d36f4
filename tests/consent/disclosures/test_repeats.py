"""Repeats by one agency are one ledger entry with a count: whatever it repeats, her ledger stays readable."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from services.common.envelope import read, write
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.disclosures.openings import begin_opening, begin_openings
from services.consent.handlers.grants import grants
from services.consent.handlers.ledger import publish
from services.consent.handlers.rights import erasure
from services.consent.ledger import entries as ledger
from services.consent.ledger.commitments import committed_leaf
from services.consent.models import ledger_entry, ledger_repeat
from tests.consent.disclosures.test_batches import NOTHING, allowed, open_all
from tests.consent.disclosures.test_openings import flipped, renewed, settled
from tests.support.consent import PIN, House, Person

Variants = Callable[[str], Iterator[str]]
MANY = 40


def of_kind(house: House, person: Person, kind: str) -> list[tuple[int, int | None]]:
    """Return how often each entry of a kind happened, and the count that it tells of itself, oldest first."""
    settled(house, person, 1)
    return [(row.times, row.detail.get("times")) for row in house.ledger(person) if row.kind == kind]


def unchanged(envelope: str) -> Iterator[str]:
    for _ in range(MANY):
        yield envelope


def other_referrals(envelope: str) -> Iterator[str]:
    for _ in range(MANY):
        yield write(replace(read(envelope), header=replace(read(envelope).header, id=str(uuid4()))))


def other_epochs(envelope: str) -> Iterator[str]:
    for epoch in range(MANY):
        yield write(replace(read(envelope), header=replace(read(envelope).header, epoch=epoch)))


def other_parts(envelope: str) -> Iterator[str]:
    names = ["summary", "housing", "health", "legal", "family", "contact"]
    for number in range(1, MANY):
        chosen = [name for place, name in enumerate(names) if number >> place & 1]
        yield write(replace(read(envelope), parts=dict.fromkeys(chosen, b"x")))


@pytest.mark.parametrize("variants", [unchanged, other_referrals, other_epochs, other_parts])
@pytest.mark.parametrize("together", [True, False])
def test_refusals_after_revocation_are_one_entry(house: House, variants: Variants, together: bool) -> None:
    """An agency may write anything into an envelope that stays closed: none of it makes another entry."""
    agency = house.agency()
    person, envelope = allowed(house, agency)
    grants.revoke_all(house.context, person.subject)
    tried = list(variants(envelope))
    if together:
        assert open_all(house, agency, tried) == [NOTHING] * len(tried)
    else:
        for one in tried:
            begin_openings(house.context, agency.id, [one])

    distinct = len(set(tried)) if together else len(tried)
    told = of_kind(house, person, "opening.refused")
    assert told == [(distinct, None), (1, 10)][: 1 + (distinct > 1)]


def test_refusals_by_another_agency_are_one_entry(house: House) -> None:
    agency, stranger = house.agency(), house.agency()
    person, envelope = allowed(house, agency)
    for _ in range(5):
        assert house.open(stranger, envelope).status_code == 404
    grants.revoke_all(house.context, person.subject)
    assert house.open(stranger, envelope).status_code == 404
    assert house.open(agency, envelope).status_code == 404

    assert of_kind(house, person, "opening.refused") == [(6, None), (1, None)]


def test_batch_opens_envelope_once_and_answers_twice(house: House) -> None:
    agency = house.agency()
    person, envelope = allowed(house, agency)
    one, two, three = open_all(house, agency, [envelope, envelope, envelope])

    assert one["status"] == 200
    assert one == two == three
    entries = settled(house, person, 2)
    assert [(row.kind, row.times) for row in entries] == [("opening.intended", 1), ("opening.delivered", 1)]


def test_repeated_openings_are_counted_on_first(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person, envelope = allowed(house, agency)
    started = house.clock.now()
    answers = []
    for _ in range(12):
        answers.append(house.open(agency, envelope).json()["ledger"])
        settled(house, person, 1)
        house.clock.move(timedelta(minutes=1))

    assert of_kind(house, person, "opening.intended") == [(12, None), (1, 10)]
    assert of_kind(house, person, "opening.delivered") == [(12, None), (1, 10)]
    [first] = set(answers)
    entry = next(row for row in house.ledger(person) if row.position == first)
    assert (entry.at, entry.last_at) == (started, started + timedelta(minutes=11))


def test_torn_connections_are_one_entry(house: House) -> None:
    agency = house.agency()
    person, envelope = allowed(house, agency)
    for _ in range(9):
        begin_opening(house.context, agency.id, envelope).finish("indeterminate")

    assert of_kind(house, person, "opening.indeterminate") == [(9, None)]
    assert of_kind(house, person, "opening.intended") == [(9, None)]


def test_tampered_envelopes_are_one_refusal(house: House) -> None:
    """Their intents differ by referral, since nothing has proven the header yet; the budget of refusals limits those."""
    agency = house.agency()
    person, envelope = allowed(house, agency)
    broken = write(replace(read(envelope), key=flipped(read(envelope).key)))
    for _ in range(9):
        assert house.open(agency, broken).status_code == 404

    assert of_kind(house, person, "opening.refused") == [(9, None)]
    assert of_kind(house, person, "opening.intended") == [(9, None)]


def test_junk_beside_genuine_parts_makes_no_entry(house: House) -> None:
    agency = house.agency()
    person, envelope = allowed(house, agency)
    sealed = read(envelope)
    for number in range(9):
        other = write(replace(sealed, parts={**sealed.parts, f"junk-{number}": b"x", "legal": bytes([number])}))
        begin_opening(house.context, agency.id, other).finish("delivered")

    assert of_kind(house, person, "opening.intended") == [(9, None)]
    assert of_kind(house, person, "opening.delivered") == [(9, None)]


def test_other_categories_of_envelope_are_their_own_entry(house: House) -> None:
    """Each set of categories that was about to be read is in her ledger in words."""
    agency, person = house.agency(), house.person()
    parts = {"summary": {"text": "quiet"}, "housing": {"needs": "a room"}}
    sealed = read(house.envelope(house.allow(person, agency, *parts), parts))
    for names in (["summary"], ["housing"], ["summary", "housing"], ["summary"]):
        some = write(replace(sealed, parts={name: sealed.parts[name] for name in names}))
        begin_opening(house.context, agency.id, some).finish("delivered")

    told = [row for row in house.ledger(person) if row.kind == "opening.intended"]
    assert [(row.detail["categories"], row.times) for row in told] == [
        (["summary"], 2),
        (["housing"], 1),
        (["housing", "summary"], 1),
    ]


def test_intent_without_outcome_is_not_counted_on(house: House) -> None:
    """An opening that died may have left: it stays an entry of its own, and so does the next one."""
    agency = house.agency()
    person, envelope = allowed(house, agency)
    died = begin_opening(house.context, agency.id, envelope)
    assert died.connection is not None
    died.connection.invalidate()
    died.held.close()
    for _ in range(2):
        begin_opening(house.context, agency.id, envelope).finish("delivered")

    assert of_kind(house, person, "opening.intended") == [(1, None), (2, None)]
    assert of_kind(house, person, "opening.delivered") == [(2, None)]


def test_next_day_begins_new_entry(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person, envelope = allowed(house, agency)
    grants.revoke_all(house.context, person.subject)
    for _ in range(2):
        for _ in range(3):
            assert house.open(agency, envelope).status_code == 404
        house.clock.move(timedelta(days=1))
        agency = renewed(house, agency)

    assert of_kind(house, person, "opening.refused") == [(3, None), (3, None)]


def test_other_rule_begins_new_entry(house: House) -> None:
    agency = house.agency()
    person, envelope = allowed(house, agency)
    grants.pause(house.context, person.subject)
    for _ in range(3):
        assert house.open(agency, envelope).status_code == 404
    grants.resume(house.context, person.subject)
    grants.revoke_all(house.context, person.subject)
    for _ in range(3):
        assert house.open(agency, envelope).status_code == 404

    assert of_kind(house, person, "opening.refused") == [(3, None), (3, None)]


def test_repeated_spoken_stop_is_one_entry(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    for _ in range(25):
        linked_acts.revoke_on_her_word(house.context, agency.id, person.ppid, None)
    for _ in range(3):
        grants.revoke_all(house.context, person.subject)

    assert of_kind(house, person, "nothing.to.end") == [(25, None), (1, 10), (3, None)]


def test_counting_changes_no_leaf_and_proofs_hold(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person, envelope = allowed(house, agency)
    grants.revoke_all(house.context, person.subject)
    house.open(agency, envelope)
    publish.publish(house.context)
    before = [(row.leaf, row.sealed) for row in house.rows(ledger_entry) if row.kind != "padding"]
    for _ in range(30):
        begin_openings(house.context, agency.id, [envelope])
    publish.publish(house.context)

    after = [row for row in house.rows(ledger_entry) if row.kind != "padding"]
    assert [(row.leaf, row.sealed) for row in after][: len(before)] == before
    assert len(after) == len(before) + 1
    house.give_pin(person)
    copy = house.my("GET", "/export", house.session(person), pin=PIN).json()["ledger"]
    assert [(row["kind"], row["times"]) for row in copy[:2]] == [("opening.refused", 1), ("opening.refused", 31)]
    assert all(row["proof"] for row in copy)
    for entry in house.ledger(person):
        [row] = [row for row in after if row.position == entry.position]
        assert committed_leaf(entry.record, entry.salt) == row.leaf


def test_her_list_and_page_show_count_and_last_time(house: House) -> None:
    agency = house.agency()
    person, envelope = allowed(house, agency)
    grants.revoke_all(house.context, person.subject)
    for _ in range(3):
        begin_openings(house.context, agency.id, [envelope])
    session = house.session(person)

    [newest, *_] = house.my("GET", "/ledger", session).json()["entries"]
    assert (newest["kind"], newest["times"], newest["last_at"]) == (
        "opening.refused",
        3,
        house.clock.now().isoformat(),
    )
    page = house.http.get(f"{house.url}/my/past", headers={"cookie": f"s={session}"}).text
    assert page.count("3 times in all. The last time:") == 1


def test_row_of_repeat_names_nobody(house: House) -> None:
    """Whoever holds the database alone cannot tell which agency repeats what."""
    agency = house.agency()
    person, envelope = allowed(house, agency)
    grants.revoke_all(house.context, person.subject)
    for _ in range(2):
        begin_openings(house.context, agency.id, [envelope])
    position = house.ledger(person)[-1].position
    [row] = house.rows(ledger_entry, ledger_entry.c.position == position)
    [counted] = house.rows(ledger_repeat, ledger_repeat.c.position == position)

    other, again = allowed(house, agency)
    grants.revoke_all(house.context, other.subject)
    begin_openings(house.context, agency.id, [again])
    assert len(row.run) == 43
    assert row.run not in [one.run for one in house.rows(ledger_entry, ledger_entry.c.subject_id == other.subject)]
    assert set(counted._mapping) == {"position", "times", "last_at"}


def test_erasure_removes_counts_and_runs(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person, envelope = allowed(house, agency)
    for _ in range(3):
        begin_opening(house.context, agency.id, envelope).finish("delivered")
    assert len(house.rows(ledger_repeat)) == 2
    erasure.erase(house.context, person.subject)

    assert house.rows(ledger_repeat) == []
    assert [row for row in house.rows(ledger_entry) if row.run] == []


def test_lost_ledger_key_keeps_counts(house: House) -> None:
    agency = house.agency()
    person, envelope = allowed(house, agency)
    for _ in range(3):
        begin_opening(house.context, agency.id, envelope).finish("delivered")
    with house.context.database.transaction() as connection:
        ledger.begin_anew(connection, person.subject)

    assert of_kind(house, person, "opening.delivered") == [(3, None)]
