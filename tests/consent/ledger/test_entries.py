"""Each act and its ledger entry are one commit; entries have no gaps and hold only codes and ids."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from services.common.errors import Problem
from services.consent.handlers.accounts import links, sessions
from services.consent.handlers.agencies import compelled, linked_acts
from services.consent.handlers.agencies.compelled import Approver, Record
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Answer, Rule, Wish
from services.consent.handlers.ledger import publish
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import erasure, statistics
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.models import ledger_entry, ledger_head, metadata, notice
from tests.support.clocks import NOON
from tests.support.consent import Agency, House, Person, forgetful_client, without_ledger


def test_concurrent_writers_leave_no_gap_in_tree(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    people = [house.person(agency) for _ in range(6)]

    def live(person: Person) -> None:
        for number in range(4):
            name = house.allow(person, agency, days=number + 1)
            house.open(agency, house.envelope(name))
            grants.revoke_grant(house.context, person.subject, name)
            with pytest.raises(Problem):  # the entry is rolled back with its act
                house.allow(person, agency, "everything")
            publish.publish(house.context)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(live, person) for person in people]:
            done.result(60)
    publish.publish(house.context)
    every = house.rows(ledger_entry)
    rows = [row for row in every if row.kind != "padding"]
    # One entry for the registration, and four times: given, intended, delivered, ended, key destroyed.
    assert len(rows) == 6 * (1 + 4 * 5)
    leaves = [row.leaf_index for row in every if row.tree_leaf is not None]
    assert sorted(leaves) == list(range(len(leaves)))
    assert house.rows(ledger_head)[0].size == len(leaves)
    # The end of a grant and of its key are one act.
    assert len([row for row in rows if row.tree_leaf is not None]) == 6 * (1 + 4 * 4)
    for person in people:
        indices = [entry.leaf_index for entry in house.ledger(person)]
        assert indices == sorted(index or 0 for index in indices)


def test_entries_of_one_append_have_consecutive_positions(own_house: House) -> None:
    context, now = own_house.context, own_house.clock.now()

    def write(number: int) -> list[int]:
        firsts = []
        for _ in range(20):
            with context.database.transaction() as connection:
                entries = [Entry(f"sample.{number}", None, None, {"place": place}) for place in range(1 + number % 5)]
                firsts.append(ledger.append(connection, entries, now)[0])
        return firsts

    with ThreadPoolExecutor(6) as pool:
        firsts = list(pool.map(write, range(6)))
    rows = {row.position: json.loads(row.leaf) for row in own_house.rows(ledger_entry)}
    for number, mine in enumerate(firsts):
        for first in mine:
            told = [rows[first + place] for place in range(1 + number % 5)]
            assert [(leaf["kind"], leaf["detail"]["place"]) for leaf in told] == [
                (f"sample.{number}", place) for place in range(1 + number % 5)
            ]


def test_entries_of_survivor_follow_order_of_acts(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    house.open(agency, house.envelope(name))
    grants.pause(house.context, person.subject)
    grants.revoke_grant(house.context, person.subject, name)

    kinds = [
        "registered",
        "grant.given",
        "opening.intended",
        "opening.delivered",
        "paused",
        "grant.ended",
        "key.destroyed",
    ]
    assert house.kinds(person) == kinds


def test_entries_hold_codes_and_ids_only(house: House) -> None:
    agency, person = house.agency(), house.person()
    note = "Sample Aspen likes the window seat."
    name = house.allow(person, agency)
    house.open(agency, house.envelope(name, {"summary": {"text": note}}))

    kept = repr(house.ledger(person)) + repr(house.rows(ledger_entry, ledger_entry.c.subject_id == person.subject))
    assert "Aspen" not in kept
    assert person.ppid not in kept


@dataclass(frozen=True, slots=True)
class Scene:
    """A survivor with a grant, a restriction, two requests and a link code, made while the ledger works."""

    house: House
    agency: Agency
    person: Person
    unclaimed: Person
    grant: UUID
    restriction: UUID
    requests: tuple[UUID, UUID]
    code: str


COURT_ORDER = Record(
    "court_order", "court", ["summary"], NOON.date(), [Approver("AS", "director"), Approver("BT", "legal_counsel")]
)
ACTS: dict[str, Callable[[Scene], object]] = {
    "register": lambda here: sessions.register(here.house.context, here.agency.id, "en"),
    "claim": lambda here: sessions.claim(here.house.context, here.unclaimed.claim_code, None),
    "link": lambda here: linked_acts.link(here.house.context, here.agency.id, here.code),
    "ask": lambda here: linked_acts.ask(
        here.house.context, here.agency.id, here.person.ppid, Wish(here.agency.id, "referral", ["contact"])
    ),
    "give": lambda here: here.house.allow(here.person, here.agency, "contact"),
    "revoke": lambda here: grants.revoke_grant(here.house.context, here.person.subject, here.grant),
    "revoke all": lambda here: grants.revoke_all(here.house.context, here.person.subject),
    "revoke on her word": lambda here: linked_acts.revoke_on_her_word(
        here.house.context, here.agency.id, here.person.ppid, None
    ),
    "restrict": lambda here: grants.restrict(here.house.context, here.person.subject, Rule(sector="police")),
    "lift": lambda here: grants.lift_restriction(here.house.context, here.person.subject, here.restriction),
    "pause": lambda here: grants.pause(here.house.context, here.person.subject),
    "resume": lambda here: grants.resume(here.house.context, here.person.subject),
    "say yes": lambda here: grants.answer_request(
        here.house.context, here.person.subject, here.requests[0], Answer(accept=True)
    ),
    "say no": lambda here: grants.answer_request(
        here.house.context, here.person.subject, here.requests[1], Answer(accept=False)
    ),
    "acknowledge and attest": lambda here: poll.attest(
        here.house.context, here.agency.id, here.house.rows(notice, notice.c.agency == here.agency.id)[0].id, "deleted"
    ),
    "record what a law compelled": lambda here: compelled.record(
        here.house.context, here.agency.id, here.person.ppid, COURT_ORDER
    ),
    "be counted": lambda here: statistics.set_statistics(here.house.context, here.person.subject, on=True),
    "erase": lambda here: erasure.erase(here.house.context, here.person.subject),
}


@pytest.fixture
def scene(own_house: House) -> Scene:
    house, agency = own_house, own_house.agency()
    person, unclaimed = house.person(agency), house.person(agency)
    yes, no = (Wish(agency.id, purpose, ["legal"]) for purpose in ("referral", "court_support"))
    grants.revoke_grant(house.context, person.subject, house.allow(person, agency, "culture"))
    return Scene(
        house,
        agency,
        person,
        unclaimed,
        house.allow(person, agency),
        grants.restrict(house.context, person.subject, Rule(sector="health")),
        (
            linked_acts.ask(house.context, agency.id, person.ppid, yes),
            linked_acts.ask(house.context, agency.id, person.ppid, no),
        ),
        links.make_link_code(house.context, person.subject).code,
    )


def test_act_without_ledger_entry_is_rolled_back(scene: Scene) -> None:
    before = everything(scene.house)
    with without_ledger(scene.house):
        for act in ACTS.values():
            with pytest.raises(DBAPIError):
                act(scene)
    assert everything(scene.house) == before

    for name, act in ACTS.items():
        act(scene)
        after = everything(scene.house)
        # Erasing removes older rows of hers; every act adds one.
        assert max(row.position for row in after["ledger_entry"]) > max(
            row.position for row in before["ledger_entry"]
        ), name
        before = after


def test_opening_without_ledger_entry_sends_no_byte(scene: Scene) -> None:
    house = scene.house
    envelope = house.envelope(scene.grant, {"summary": {"text": "the window seat"}})
    grants.lift_restriction(house.context, scene.person.subject, scene.restriction)
    with without_ledger(house):
        answer = house.open(scene.agency, envelope)

    assert answer.status_code in {500, 503}
    assert "window" not in answer.text
    # The failed opening has released its lock (and the server has closed its connection).
    house.http.close()
    house.http = forgetful_client()
    assert house.open(scene.agency, envelope).status_code == 200
    grants.revoke_grant(house.context, scene.person.subject, scene.grant)


def test_beginning_twice_keeps_ledger(own_house: House) -> None:
    person = own_house.person()
    with own_house.context.database.transaction() as connection:
        ledger.begin(connection)

    grants.pause(own_house.context, person.subject)
    publish.publish(own_house.context)
    with own_house.context.database.transaction() as connection:
        ledger.begin(connection)
    assert own_house.rows(ledger_head)[0].size == publish.EVEN


def everything(house: House) -> dict[str, list[Any]]:
    """Return every row of every table."""
    return {table.name: house.rows(table) for table in metadata.sorted_tables}
