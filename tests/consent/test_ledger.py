"""No log, no act: every act and its line are one commit, lines have no gaps, and they say codes and ids only."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import NoResultFound

from services.common.errors import Problem
from services.consent import ledger
from services.consent.handlers import accounts, agencies, compelled, grants, notices, rights
from services.consent.handlers.compelled import Approver, Record
from services.consent.handlers.grants import Answer, Rule, Wish
from services.consent.models import ledger_entry, ledger_head, metadata
from services.consent.paperwork import notice
from tests.support.clocks import NOON
from tests.support.consent import Agency, House, Person, forgetful_client


def test_positions_have_no_gap_however_many_write_at_once(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    people = [house.person(agency) for _ in range(6)]

    def live(person: Person) -> None:
        for number in range(4):
            name = house.allow(person, agency, days=number + 1)
            house.open(agency, house.envelope(name))
            grants.revoke_grant(house.room, person.subject, name)
            with pytest.raises(Problem):  # a place in the ledger that is given back with the act
                house.allow(person, agency, "everything")

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(live, person) for person in people]:
            done.result(60)
    positions = [row.position for row in house.rows(ledger_entry)]
    # Registered; and four times: given, intended, delivered, ended, key destroyed.
    assert positions == list(range(6 * (1 + 4 * 5)))
    assert house.rows(ledger_head)[0].size == len(positions)


def test_a_persons_lines_stand_in_the_order_of_her_acts(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    house.open(agency, house.envelope(name))
    grants.pause(house.room, person.subject)
    grants.revoke_grant(house.room, person.subject, name)

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


def test_lines_hold_codes_and_ids_only(house: House) -> None:
    agency, person = house.agency(), house.person()
    words = "Sample Aspen likes the window seat."
    name = house.allow(person, agency)
    house.open(agency, house.envelope(name, {"summary": {"text": words}}))

    kept = repr(house.rows(ledger_entry, ledger_entry.c.subject_id == person.subject))
    assert "Aspen" not in kept
    assert person.ppid not in kept


@dataclass(frozen=True, slots=True)
class Scene:
    """Somebody with one of everything, made while the ledger still worked."""

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
    "register": lambda here: accounts.register(here.house.room, here.agency.id, "en"),
    "claim": lambda here: accounts.claim(here.house.room, here.unclaimed.claim_code, None),
    "link": lambda here: agencies.link(here.house.room, here.agency.id, here.code),
    "ask": lambda here: agencies.ask(
        here.house.room, here.agency.id, here.person.ppid, Wish(here.agency.id, "referral", ["contact"])
    ),
    "give": lambda here: here.house.allow(here.person, here.agency, "contact"),
    "revoke": lambda here: grants.revoke_grant(here.house.room, here.person.subject, here.grant),
    "revoke all": lambda here: grants.revoke_all(here.house.room, here.person.subject),
    "revoke on her word": lambda here: agencies.revoke_on_her_word(
        here.house.room, here.agency.id, here.person.ppid, None
    ),
    "restrict": lambda here: grants.restrict(here.house.room, here.person.subject, Rule(sector="police")),
    "lift": lambda here: grants.lift_restriction(here.house.room, here.person.subject, here.restriction),
    "pause": lambda here: grants.pause(here.house.room, here.person.subject),
    "resume": lambda here: grants.resume(here.house.room, here.person.subject),
    "say yes": lambda here: grants.answer_request(
        here.house.room, here.person.subject, here.requests[0], Answer(accept=True)
    ),
    "say no": lambda here: grants.answer_request(
        here.house.room, here.person.subject, here.requests[1], Answer(accept=False)
    ),
    "acknowledge and attest": lambda here: notices.attest(
        here.house.room, here.agency.id, here.house.rows(notice, notice.c.agency == here.agency.id)[0].id, "deleted"
    ),
    "record what a law compelled": lambda here: compelled.record(
        here.house.room, here.agency.id, here.person.ppid, COURT_ORDER
    ),
    "be counted": lambda here: rights.set_statistics(here.house.room, here.person.subject, on=True),
    "erase": lambda here: rights.erase(here.house.room, here.person.subject),
}


@pytest.fixture
def scene(own_house: House) -> Scene:
    house, agency = own_house, own_house.agency()
    person, unclaimed = house.person(agency), house.person(agency)
    yes, no = (Wish(agency.id, purpose, ["legal"]) for purpose in ("referral", "court_support"))
    grants.revoke_grant(house.room, person.subject, house.allow(person, agency, "culture"))
    return Scene(
        house,
        agency,
        person,
        unclaimed,
        house.allow(person, agency),
        grants.restrict(house.room, person.subject, Rule(sector="health")),
        (
            agencies.ask(house.room, agency.id, person.ppid, yes),
            agencies.ask(house.room, agency.id, person.ppid, no),
        ),
        rights.make_link_code(house.room, person.subject).code,
    )


def test_without_its_line_no_act_happens(scene: Scene) -> None:
    with scene.house.room.database.transaction() as connection:
        connection.execute(delete(ledger_head))
    before = everything(scene.house)
    for name, act in ACTS.items():
        with pytest.raises(NoResultFound):
            act(scene)
        assert everything(scene.house) == before, name

    with scene.house.room.database.transaction() as connection:
        connection.execute(ledger_head.insert(), {"id": 1, "size": len(before["ledger_entry"])})
    for name, act in ACTS.items():
        act(scene)
        after = everything(scene.house)
        assert len(after["ledger_entry"]) > len(before["ledger_entry"]), name
        before = after


def test_without_its_line_no_byte_is_opened(scene: Scene) -> None:
    house = scene.house
    envelope = house.envelope(scene.grant, {"summary": {"text": "the window seat"}})
    grants.lift_restriction(house.room, scene.person.subject, scene.restriction)
    with house.room.database.transaction() as connection:
        connection.execute(delete(ledger_head))
    answer = house.open(scene.agency, envelope)

    assert answer.status_code == 500
    assert "window" not in answer.text
    with house.room.database.transaction() as connection:
        size = len(list(connection.execute(select(ledger_entry.c.position))))
        connection.execute(ledger_head.insert(), {"id": 1, "size": size})
    # And nobody waits for the lock of the opening that failed (whose connection the server has closed).
    house.http.close()
    house.http = forgetful_client()
    assert house.open(scene.agency, envelope).status_code == 200
    grants.revoke_grant(house.room, scene.person.subject, scene.grant)


def test_beginning_twice_keeps_the_ledger(own_house: House) -> None:
    person = own_house.person()
    with own_house.room.database.transaction() as connection:
        ledger.begin(connection)

    grants.pause(own_house.room, person.subject)
    assert [row.position for row in own_house.rows(ledger_entry)] == [0, 1]


def everything(house: House) -> dict[str, list[Any]]:
    """Every row of every table."""
    return {table.name: house.rows(table) for table in metadata.sorted_tables}
