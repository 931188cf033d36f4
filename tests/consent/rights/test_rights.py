"""Test link codes, statistics consent, export, reading of the ledger, and erasure."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from services.common.errors import Problem
from services.consent.handlers.accounts import links, sessions
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.agencies.compelled import Approver, Record, record
from services.consent.handlers.disclosures.decisions import Sending, decide_sendings
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule, Wish
from services.consent.handlers.rights import erasure, export
from services.consent.handlers.rights.statistics import set_statistics
from services.consent.handlers.speakers import spoken_for
from services.consent.models import (
    approved_text,
    approved_words,
    audit_key,
    compelled,
    consent_request,
    correction,
    grant,
    grant_key,
    ledger_entry,
    letter,
    link,
    link_code,
    metadata,
    notice,
    passkey,
    pin_lane_use,
    pin_turn,
    plumbing,
    request_draft,
    restriction,
    safe_contact,
    sent_envelope,
    session,
    subject,
    waiting_grant,
)
from services.consent.speaking import Act, Speech
from services.consent.store.pending_grants import add_wait
from tests.support.clocks import NOON
from tests.support.consent import PIN, Agency, House, Person
from tests.support.notice_receiver import catch_up


def test_link_code_works_once(house: House) -> None:
    person, first, second = house.person(), house.agency(), house.agency()
    made = links.make_link_code(house.context, person.subject)
    ppid = linked_acts.link(house.context, first.id, made.code.replace("-", " ").upper())

    assert knows(house, first, ppid)
    with pytest.raises(Problem, match="422"):
        linked_acts.link(house.context, second.id, made.code)
    assert house.kinds(person)[-1] == "linked"


def test_link_code_expires_after_an_hour(house: House) -> None:
    person, agency = house.person(), house.agency()
    early, late = (links.make_link_code(house.context, person.subject) for _ in range(2))
    assert late.expires_at == NOON + timedelta(hours=1)
    house.clock.move(timedelta(hours=1) - timedelta(seconds=1))
    linked_acts.link(house.context, agency.id, early.code)
    house.clock.move(timedelta(seconds=1))

    with pytest.raises(Problem, match="422"):
        linked_acts.link(house.context, agency.id, late.code)


def test_concurrent_links_by_one_code_link_one_agency(house: House) -> None:
    person, ready = house.person(), threading.Barrier(6)
    code = links.make_link_code(house.context, person.subject).code

    def try_to_link(agency: Agency) -> str | None:
        ready.wait()
        try:
            return linked_acts.link(house.context, agency.id, code)
        except Problem:
            return None

    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(try_to_link, [house.agency() for _ in range(6)]))
    assert len([name for name in names if name]) == 1
    assert len(house.rows(link, link.c.subject_id == person.subject)) == 2


def test_ppid_is_unknown_to_another_agency(house: House) -> None:
    one, two = house.agency(), house.agency()
    person = house.person(one)
    other = linked_acts.link(house.context, two.id, links.make_link_code(house.context, person.subject).code)

    assert knows(house, one, person.ppid)
    assert knows(house, two, other)
    assert not knows(house, two, person.ppid)
    assert not knows(house, one, other)


def test_statistics_name_needs_consent_and_changes_each_year(house: House) -> None:
    """The name changes with the fiscal year, on 1 April."""
    agency = house.agency()
    person = house.person(agency)
    assert counted_as(house, agency, person) is None
    set_statistics(house.context, person.subject, on=True)

    this_year = counted_as(house, agency, person)
    set_statistics(house.context, person.subject, on=True)
    assert counted_as(house, agency, person) == this_year
    house.clock.move(datetime(2027, 3, 31, 23, 59, tzinfo=UTC) - house.clock.now())
    assert counted_as(house, agency, person) == this_year
    house.clock.move(timedelta(minutes=1))
    assert counted_as(house, agency, person) not in {None, this_year}


def test_statistics_withdrawal_names_every_year_and_is_final(house: House) -> None:
    """Each withdrawal is announced once, and a new consent gives a new name."""
    agency = house.agency()
    person = house.person(agency)
    set_statistics(house.context, person.subject, on=True)
    names = [counted_as(house, agency, person)]
    house.clock.move(timedelta(days=365))
    names.append(counted_as(house, agency, person))
    house.clock.move(timedelta(days=365))
    names.append(counted_as(house, agency, person))
    set_statistics(house.context, person.subject, on=False)

    assert withdrawn(house, names[0]) == names
    assert counted_as(house, agency, person) is None
    set_statistics(house.context, person.subject, on=False)
    assert sum(names[0] in told for told in all_withdrawn(house)) == 1
    set_statistics(house.context, person.subject, on=True)
    assert counted_as(house, agency, person) not in {None, *names}


def test_statistics_names_differ_between_survivors(house: House) -> None:
    agency = house.agency()
    people = [house.person(agency) for _ in range(5)]
    for person in people:
        set_statistics(house.context, person.subject, on=True)

    assert len({counted_as(house, agency, person) for person in people}) == 5


def test_export_contains_everything_including_what_ended(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    context, her = house.context, person.subject
    kept, ended = (
        grants.give_grant(context, her, Wish(agency.id, "referral", [category])) for category in ("summary", "legal")
    )
    grants.revoke_grant(context, her, ended)
    grants.restrict(context, her, Rule(sector="police"))
    lifted = grants.restrict(context, her, Rule(category="culture"))
    grants.lift_restriction(context, her, lifted)
    waiting, answered = (
        linked_acts.ask(context, agency.id, person.ppid, Wish(agency.id, purpose, ["family"]))
        for purpose in ("court_support", "safety_planning")
    )
    grants.answer_request(context, her, answered, grants.Answer(accept=False))
    set_statistics(context, her, on=True)
    for _ in range(export.PAGE):
        grants.pause(context, her)
        grants.resume(context, her)

    copy = house.copy(person)
    assert (copy["state"], copy["language"], copy["statistics"]) == ("active", "en", True)
    assert copy["since"] == NOON.isoformat()
    assert copy["agencies_that_know_you"] == [agency.id]
    assert {row["id"]: row["end_reason"] for row in copy["grants"]} == {str(kept): None, str(ended): "revoked"}
    assert {(row["sector"], row["category"], bool(row["lifted_at"])) for row in copy["restrictions"]} == {
        ("police", None, False),
        (None, "culture", True),
    }
    assert {(row["id"], row["purpose"], row["accepted"]) for row in copy["requests"]} == {
        (str(waiting), "court_support", None),
        (str(answered), "safety_planning", False),
    }
    assert [row["position"] for row in copy["ledger"]] == [row.position for row in reversed(house.ledger(person))]
    assert len(copy["ledger"]) > 2 * export.PAGE


def test_every_table_about_her_is_classified_for_export() -> None:
    """A new table about a survivor has to be listed here: in her export, or with nothing to copy."""
    copied = {subject, grant, restriction, consent_request, link, ledger_entry, notice, waiting_grant, compelled}
    copied |= {approved_words, safe_contact, letter, correction, passkey, request_draft}
    secrets_or_transient = {grant_key, audit_key, session, link_code, pin_turn, pin_lane_use, approved_text}
    # What was sent goes while its grant lives, and is read page by page: `GET /my/v1/grants/{id}/sent`.
    secrets_or_transient |= {sent_envelope}
    about_her = {table for table in metadata.sorted_tables if "subject_id" in table.c or table is subject}

    assert about_her == copied | secrets_or_transient


def test_ledger_pages_are_newest_first_and_only_hers(house: House) -> None:
    person, other = house.person(), house.person()
    for _ in range(60):
        grants.pause(house.context, person.subject)
    grants.pause(house.context, other.subject)
    token = house.session(person)

    first = house.my("GET", "/ledger", token).json()
    second = house.my("GET", f"/ledger?before={first['next']}", token).json()
    assert (len(first["entries"]), len(second["entries"]), second["next"]) == (50, 11, None)
    positions = [entry["position"] for page in (first, second) for entry in page["entries"]]
    assert positions == [row.position for row in reversed(house.ledger(person))]


@pytest.mark.parametrize("before", [0, -1, 10**12, 2**63, 10**40, -(10**40)])
def test_ledger_accepts_any_number_as_a_position(house: House, before: int) -> None:
    person = house.person()
    answer = house.my("GET", f"/ledger?before={before}", house.session(person))

    assert answer.status_code == 200
    assert [entry["kind"] for entry in answer.json()["entries"]] == (["registered"] if before > 0 else [])


def test_erasure_leaves_no_way_in_and_nothing_that_opens(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    claimed = sessions.claim(house.context, person.claim_code, None)
    unclaimed = house.person(agency)
    set_statistics(house.context, person.subject, on=True)
    counted = counted_as(house, agency, person)
    envelope = house.envelope(house.allow(person, agency))
    grants.restrict(house.context, person.subject, Rule(sector="police"))
    linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"]))
    code = links.make_link_code(house.context, person.subject).code
    house.give_pin(person)
    assert house.my("DELETE", "", house.session(person), {"pin": PIN}).status_code == 204
    erasure.erase(house.context, unclaimed.subject)

    for body in (
        {"passphrase": claimed.passphrase},
        {"claim_code": person.claim_code},
        {"claim_code": unclaimed.claim_code},
    ):
        assert house.my("POST", "/session", body=body).status_code == 401
    assert house.my("POST", "/revoke-card", body={"revoke_code": person.revoke_code}).status_code == 401
    assert house.my("GET", "/grants", claimed.session).status_code == 401
    assert house.call(agency, "/consent/v1/links", {"link_code": code}).status_code == 422
    assert not knows(house, agency, person.ppid)
    wish = {"ppid": person.ppid, "agency": agency.id, "purpose": "referral", "categories": ["contact"]}
    assert house.call(agency, "/consent/v1/consent-requests", wish).status_code == 404
    assert house.call(agency, "/consent/v1/revocations", {"ppid": person.ppid}).status_code == 404
    assert house.open(agency, envelope).status_code == 404
    assert withdrawn(house, counted) == [counted]


def test_erasure_keeps_only_tombstone_and_unreadable_rows(house: House) -> None:
    agency = house.agency()
    person = house.person(agency)
    name = house.allow(person, agency)
    set_statistics(house.context, person.subject, on=True)
    house.session(person)
    a_law_compelled(house, agency, person)
    something_waits(house, agency, person)
    erasure.erase(house.context, person.subject)

    for table in (link, link_code, session, restriction, consent_request, waiting_grant, compelled):
        assert house.rows(table, table.c.subject_id == person.subject) == []
    row = house.rows(subject, subject.c.id == person.subject)[0]
    assert row.state == "erased"
    assert {name: value for name, value in row._mapping.items() if value is not None} == {
        "id": person.subject,
        "state": "erased",
        "epoch": 0,
        "language": "en",
    }
    assert house.rows(grant, grant.c.id == name) == []
    assert house.rows(grant_key, grant_key.c.grant_id == name) == []
    assert house.rows(audit_key, audit_key.c.subject_id == person.subject)[0].wrapped is None
    assert house.rows(ledger_entry, ledger_entry.c.subject_id == person.subject) == []
    # Of the act only the row with its public leaf stays: grant ended, key destroyed and erased were one.
    assert [row.kind for row in house.rows(ledger_entry)][-1:] == ["grant.ended"]
    assert {(row.sealed, row.act) for row in house.rows(ledger_entry)[-1:]} == {(None, None)}


def test_erased_is_terminal(house: House) -> None:
    """Invariant 22: after an erasure no act, in any order, restores or writes anything about her."""
    agency = house.agency()
    person = house.person(agency)
    name = house.allow(person, agency)
    restricted = grants.restrict(house.context, person.subject, Rule(category="health"))
    asked = linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"]))
    erasure.erase(house.context, person.subject)
    before = house.rows(subject, subject.c.id == person.subject), house.ledger(person)

    context, her = house.context, person.subject
    acts: list[Callable[[], object]] = [
        lambda: house.allow(person, agency),
        lambda: grants.revoke_grant(context, her, name),
        lambda: grants.revoke_all(context, her),
        lambda: grants.restrict(context, her, Rule(category="legal")),
        lambda: grants.lift_restriction(context, her, restricted),
        lambda: grants.pause(context, her),
        lambda: grants.resume(context, her),
        lambda: grants.answer_request(context, her, asked, grants.Answer(accept=True)),
        lambda: set_statistics(context, her, on=True),
        lambda: erasure.erase(context, her),
        lambda: linked_acts.revoke_on_her_word(context, agency.id, person.ppid, None),
        lambda: linked_acts.ask(context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"])),
        lambda: a_law_compelled(house, agency, person),
        lambda: sessions.claim(context, person.claim_code, None),
        lambda: sessions.subject_of_card(context, person.revoke_code),
    ]
    for act in acts:
        with pytest.raises(Problem):
            act()
    grants.end_lapsed(context)
    for claims in catch_up(house, agency):
        house.call(agency, f"/consent/v1/notices/{claims['jti']}/attestation", {"done": "deleted"})
    assert (house.rows(subject, subject.c.id == person.subject), house.ledger(person)) == before


def test_erasure_announces_the_end_of_her_grants(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    erasure.erase(house.context, person.subject)

    table = plumbing.outbox.table
    told = house.rows(table, table.c.type == "grant.ended.v1", table.c.aggregateid == str(name))
    assert [json.loads(row.payload)["reason"] for row in told] == ["erased"]


def a_law_compelled(house: House, agency: Agency, person: Person) -> None:
    approvers = [Approver("AS", "director"), Approver("BT", "privacy_officer")]
    made = Record("court_order", "court", ["summary"], NOON.date(), approvers)
    record(house.context, agency.id, person.ppid, made)


def something_waits(house: House, agency: Agency, person: Person) -> None:
    with house.context.database.transaction() as connection:
        row = {"agency": agency.id, "purpose": "referral", "categories": ["summary"], "days": 3}
        who = {"id": uuid4(), "subject_id": person.subject, "second_look_by": agency.id}
        add_wait(connection, {**row, **who, "asked_at": NOON, "open_until": NOON + timedelta(days=1)})


def knows(house: House, agency: Agency, ppid: str) -> bool:
    """Return whether an agency may speak for the survivor of this ppid."""
    with house.context.database.reading() as connection:
        return spoken_for(house.context, connection, agency.id, ppid, Speech(Act.POST_NEED)) is not None


def counted_as(house: House, agency: Agency, person: Person) -> str | None:
    """Return the name under which statistics count her now, None if they do not."""
    return decide_sendings(house.context, [asked(agency, person.ppid)])[0].statistics


def asked(agency: Agency, ppid: str) -> Sending:
    return Sending(agency.id, ppid, None, None, frozenset())


def all_withdrawn(house: House) -> list[list[Any]]:
    table = plumbing.outbox.table
    with house.context.database.reading() as connection:
        payloads = connection.scalars(select(table.c.payload).where(table.c.type == "statistics.withdrawn.v1"))
        return [json.loads(payload)["pseudonyms"] for payload in payloads]


def withdrawn(house: House, name: str | None) -> list[Any]:
    """Return the names that reporting was told to forget together with this one."""
    return next(told for told in all_withdrawn(house) if name in told)
