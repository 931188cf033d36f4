"""Offers: who gets one, who may answer it and how long, and what each learns of the others."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Table, select

from services.common.errors import Problem
from services.referral.context import Context
from services.referral.handlers import offers
from services.referral.handlers.feed import read_feed
from services.referral.models import offer_asked, offer_claim, offer_decline, offer_region
from tests.support.clocks import NOON, StillClock
from tests.support.sorting import ENVELOPE, RECIPIENT, SENDER, STRANGER, ended, made, sealed, sent, take

OTHER, POLICE = "agency-sampleelse", "agency-samplepols"
ASKED = {"need": "N02", "stage": "crisis", "region": "toronto", "urgency": "1h"}
LATER = NOON + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def known(context: Context) -> None:
    for agency in (SENDER, RECIPIENT, STRANGER, OTHER):
        enrol(context, agency)
    enrol(context, POLICE, sector="police")


def enrol(context: Context, agency: str, version: int = 1, **changed: str) -> None:
    data = {"agency": agency, "name": agency, "sector": "housing", "standing": "active", **changed, "version": version}
    take(context, made("agency.changed.v1", "intake", data, agency))


def serves(context: Context, agency: str, as_of: datetime = NOON, **changed: object) -> None:
    data = {"program": "p1", "need": "N02", "region": "toronto", "unit": "bed", "total": 9, "available": 1, **changed}
    take(context, made("capacity.declared.v1", agency, {**data, "as_of": as_of.isoformat()}, agency))


def offer(context: Context, by: str = SENDER, **changed: object) -> str:
    name = str(uuid4())
    take(context, made("offer.opened.v1", by, {**ASKED, **changed}, name))
    return name


def say(context: Context, kind: str, by: str, name: str, at: datetime = LATER, **data: object) -> str | None:
    """Have an answer handled; return why it was refused, None if it was taken."""
    before = len(sent(context))
    take(context, replace(made(f"offer.{kind}.v1", by, {"offer": name, **data}, name), time=at))
    refused = [told["reason"] for event_type, told in sent(context)[before:] if event_type == "event.refused.v1"]
    return refused[0] if refused else None


def listed(context: Context, agency: str) -> list[str]:
    return [view.row.id for view in offers.read_offers(context, agency, None)]


def told(context: Context, agency: str) -> list[tuple[str, str | None]]:
    return [(entry.type, entry.state) for entry in read_feed(context, agency, 0).entries]


def claimers(context: Context, agency: str, name: str) -> list[str]:
    return [claim.agency for claim in offers.read_offer(context, agency, name).claims]


def rows_of(context: Context, table: Table) -> set[str]:
    with context.database.reading() as connection:
        return set(connection.scalars(select(table.c.offer_id)))


def hidden(context: Context, agency: str, name: str) -> dict[str, Any]:
    with pytest.raises(Problem) as caught:
        offers.read_offer(context, agency, name)
    return {"status": caught.value.status, "code": caught.value.code}


def test_offer_reaches_only_those_who_serve_one_of_its_regions(context: Context) -> None:
    serves(context, RECIPIENT)
    serves(context, OTHER, region="halifax")
    serves(context, STRANGER, region="winnipeg")
    name = offer(context, regions=["halifax"])
    assert [listed(context, agency) for agency in (SENDER, RECIPIENT, OTHER)] == [[name]] * 3
    assert listed(context, STRANGER) == []
    assert told(context, RECIPIENT) == told(context, OTHER) == [("offer.opened.v1", "open")]
    assert told(context, STRANGER) == told(context, SENDER) == []


def test_offer_to_somebody_else_is_one_that_does_not_exist(context: Context) -> None:
    name, nowhere = offer(context), str(uuid4())
    serves(context, STRANGER)  # only after it was opened
    assert listed(context, STRANGER) == []
    assert hidden(context, STRANGER, name) == hidden(context, STRANGER, nowhere)
    for kind, data in (("claimed", {}), ("declined", {"reason": "no_capacity"}), ("closed", {})):
        for at in (LATER, NOON + timedelta(days=1)):
            refused = {say(context, kind, STRANGER, one, at, **data) for one in (name, nowhere)}
            assert refused == {"unknown_offer"}


def test_offer_to_the_police_is_neither_shown_nor_claimed(context: Context) -> None:
    serves(context, POLICE)
    name = offer(context)
    assert (listed(context, POLICE), told(context, POLICE)) == ([], [])
    assert hidden(context, POLICE, name)["status"] == 404
    assert say(context, "claimed", POLICE, name) == "unknown_offer"


def test_offer_by_the_police_is_refused(context: Context) -> None:
    serves(context, RECIPIENT)
    offer(context, by=POLICE)
    assert [data["reason"] for _, data in sent(context)] == ["not_for_police"]
    assert (listed(context, RECIPIENT), listed(context, POLICE)) == ([], [])


def test_offer_is_gone_for_an_agency_that_became_police(context: Context) -> None:
    serves(context, RECIPIENT)
    name = offer(context)
    enrol(context, RECIPIENT, version=2, sector="police")
    assert listed(context, RECIPIENT) == []
    assert hidden(context, RECIPIENT, name)["status"] == 404
    assert say(context, "claimed", RECIPIENT, name) == "unknown_offer"


def test_offer_does_not_reach_a_suspended_agency(context: Context) -> None:
    serves(context, RECIPIENT)
    enrol(context, RECIPIENT, version=2, standing="suspended")
    offer(context)
    assert told(context, RECIPIENT) == []


def test_offer_to_many_tells_those_with_most_free(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "MOST_TOLD", 1)
    serves(context, RECIPIENT, available=1)
    serves(context, OTHER, available=5)
    name = offer(context)
    assert (told(context, RECIPIENT), told(context, OTHER)) == ([], [("offer.opened.v1", "open")])
    assert listed(context, RECIPIENT) == [name]


def test_several_claims_stand_and_only_the_opener_sees_them(context: Context) -> None:
    serves(context, RECIPIENT)
    serves(context, OTHER)
    name = offer(context)
    assert [say(context, "claimed", agency, name) for agency in (RECIPIENT, OTHER)] == [None, None]
    assert claimers(context, SENDER, name) == sorted([RECIPIENT, OTHER])
    assert claimers(context, RECIPIENT, name) == [RECIPIENT]
    [view] = offers.read_offers(context, OTHER, None)
    assert [claim.agency for claim in view.claims] == [OTHER]
    assert told(context, SENDER) == [("offer.claimed.v1", "claimed")] * 2


def test_claim_of_an_own_offer_is_refused(context: Context) -> None:
    serves(context, SENDER)
    assert say(context, "claimed", SENDER, offer(context)) == "not_yours"


def test_second_claim_of_an_agency_is_refused(context: Context) -> None:
    serves(context, RECIPIENT)
    name = offer(context)
    say(context, "claimed", RECIPIENT, name)
    assert say(context, "claimed", RECIPIENT, name, wait="days_1_3") == "not_possible_now"
    assert told(context, SENDER) == [("offer.claimed.v1", "claimed")]


@pytest.mark.parametrize(("minutes", "reason"), [(59, None), (60, "offer_closed")])
def test_claim_after_the_end_is_refused(context: Context, minutes: int, reason: str | None) -> None:
    serves(context, RECIPIENT)
    name = offer(context)
    assert say(context, "claimed", RECIPIENT, name, NOON + timedelta(minutes=minutes)) == reason


def test_claim_with_nothing_free_needs_a_wait(context: Context) -> None:
    serves(context, RECIPIENT, available=0)
    name = offer(context)
    assert say(context, "claimed", RECIPIENT, name) == "nothing_free"
    assert say(context, "claimed", RECIPIENT, name, wait="days_1_3") is None
    assert [claim.wait for claim in offers.read_offer(context, SENDER, name).claims] == ["days_1_3"]
    assert told(context, SENDER) == [("offer.claimed.v1", "waitlisted")]


def test_claim_of_a_program_counts_what_that_program_has(context: Context) -> None:
    serves(context, RECIPIENT, program="full", available=0)
    serves(context, RECIPIENT, program="far", region="halifax")
    serves(context, RECIPIENT, program="other_need", need="N03")
    serves(context, RECIPIENT, program="free")
    name = offer(context)
    for program in ("full", "far", "other_need", "unheard"):
        assert say(context, "claimed", RECIPIENT, name, program=program) == "nothing_free"
    assert say(context, "claimed", RECIPIENT, name, program="free") is None


def test_older_statement_posted_later_does_not_count(context: Context) -> None:
    serves(context, RECIPIENT, NOON, available=0)
    serves(context, RECIPIENT, NOON - timedelta(hours=1), available=5)
    assert say(context, "claimed", RECIPIENT, offer(context)) == "nothing_free"


def test_statement_of_another_unit_does_not_replace_the_first(context: Context) -> None:
    serves(context, RECIPIENT, unit="bed", available=2)
    serves(context, RECIPIENT, LATER, unit="place", available=0)
    assert say(context, "claimed", RECIPIENT, offer(context)) is None


def test_decline_is_kept_and_seen_by_the_opener_only(context: Context) -> None:
    serves(context, RECIPIENT)
    serves(context, OTHER)
    name = offer(context)
    for _ in range(2):  # said twice, it is the same answer
        assert say(context, "declined", RECIPIENT, name, reason="pets") is None
    seen = {agency: offers.read_offer(context, agency, name).declines for agency in (SENDER, RECIPIENT, OTHER)}
    assert [(one.agency, one.reason) for one in seen[SENDER]] == [(RECIPIENT, "pets")]
    assert (list(seen[RECIPIENT]), list(seen[OTHER])) == ([], [])
    assert told(context, SENDER) == [("offer.declined.v1", "declined")]


def test_decline_after_a_claim_ends_it_for_good(context: Context) -> None:
    serves(context, RECIPIENT)
    name = offer(context)
    say(context, "claimed", RECIPIENT, name)
    say(context, "declined", RECIPIENT, name, LATER, reason="no_capacity")
    assert [claim.ends_at for claim in offers.read_offer(context, SENDER, name).claims] == [LATER]
    assert say(context, "claimed", RECIPIENT, name) == "not_possible_now"


def test_claim_ends_with_the_offer_unless_it_states_its_end(context: Context) -> None:
    serves(context, RECIPIENT)
    serves(context, OTHER)
    name, until = offer(context), NOON + timedelta(days=2)
    say(context, "claimed", RECIPIENT, name)
    say(context, "claimed", OTHER, name, until=until.isoformat())
    ends = {claim.agency: claim.ends_at for claim in offers.read_offer(context, SENDER, name).claims}
    assert ends == {RECIPIENT: NOON + timedelta(hours=1), OTHER: until}


def test_offer_past_its_time_stays_with_those_in_it(context: Context, clock: StillClock) -> None:
    serves(context, RECIPIENT)
    serves(context, OTHER)
    name = offer(context)
    say(context, "claimed", RECIPIENT, name)
    clock.move(timedelta(hours=1))
    assert [listed(context, agency) for agency in (SENDER, RECIPIENT, OTHER)] == [[name], [name], []]
    assert not offers.read_offer(context, OTHER, name).is_open


def test_closed_offer_is_told_to_those_who_claimed_it(context: Context) -> None:
    serves(context, RECIPIENT)
    serves(context, OTHER)
    name = offer(context)
    say(context, "claimed", RECIPIENT, name)
    assert say(context, "closed", RECIPIENT, name) == "not_yours"
    assert [say(context, "closed", SENDER, name), say(context, "closed", SENDER, name)] == [None, None]
    assert [kind for kind, _ in told(context, RECIPIENT)].count("offer.closed.v1") == 1
    assert told(context, OTHER) == [("offer.opened.v1", "open")]
    assert say(context, "claimed", OTHER, name) == "offer_closed"


def test_referral_that_names_the_offer_closes_it_without_a_name(context: Context) -> None:
    serves(context, RECIPIENT)
    serves(context, OTHER)
    name = offer(context)
    say(context, "claimed", RECIPIENT, name)
    say(context, "claimed", OTHER, name)
    take(context, sealed(offer=name))
    [last] = read_feed(context, OTHER, 1).entries
    assert (last.type, last.subject, last.state) == ("offer.closed.v1", name, "closed")
    assert RECIPIENT not in str(offers.read_offer(context, OTHER, name))
    assert ENVELOPE not in str(offers.read_offer(context, OTHER, name))


@pytest.mark.parametrize(("days", "kept"), [(730, True), (731, False)])
def test_ended_offer_is_kept_for_two_years(context: Context, clock: StillClock, days: int, kept: bool) -> None:
    serves(context, RECIPIENT)
    serves(context, OTHER)
    old, closed = offer(context), offer(context)
    for name in (old, closed):
        say(context, "claimed", RECIPIENT, name)
        say(context, "declined", OTHER, name, reason="pets")
    say(context, "closed", SENDER, closed)
    clock.move(timedelta(days=days))
    still_open = offer(context, urgency="14d")
    assert offers.forget_ended(context) == (0 if kept else 2)
    rows = {table: rows_of(context, table) for table in (offer_claim, offer_decline, offer_region, offer_asked)}
    assert [bool({old, closed} & found) for found in rows.values()] == [kept] * 4
    assert still_open in rows[offer_asked]
    assert set(listed(context, SENDER)) == ({old, closed, still_open} if kept else {still_open})


def test_offers_are_forgotten_in_batches(context: Context, clock: StillClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "PAGE", 2)
    names = [offer(context) for _ in range(5)]
    clock.move(timedelta(days=800))
    assert offers.forget_ended(context) == len(names)
    assert listed(context, SENDER) == []


def test_pages_of_offers_have_no_gap_and_no_repeat(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "PAGE", 2)
    names, seen, after = sorted(offer(context) for _ in range(5)), list[str](), ""
    while page := [view.row.id for view in offers.read_offers(context, SENDER, after)]:
        assert len(page) <= 2
        seen, after = seen + page, page[-1]
    assert seen == names


def test_referral_of_somebody_elses_offer_leaves_it_open(context: Context) -> None:
    serves(context, RECIPIENT)
    name = offer(context, by=OTHER)
    for named in (name, str(uuid4())):
        take(context, sealed(offer=named))
    assert offers.read_offer(context, OTHER, name).is_open
    assert [kind for kind, _ in told(context, RECIPIENT)].count("referral.updated.v1") == 2


def test_referral_that_she_took_back_leaves_the_offer_open(context: Context) -> None:
    name, grant = offer(context), str(uuid4())
    take(context, ended(grant))
    take(context, sealed(grant=grant, offer=name))
    assert offers.read_offer(context, SENDER, name).is_open
