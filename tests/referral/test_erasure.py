"""Referrals of an erased survivor stay as routing facts, with nothing that joins them to each other or to her."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Table, select

from services.common.messaging.consumer import INBOX_DAYS
from services.referral import handlers
from services.referral.context import Context
from services.referral.models import envelope, grant_seen, referral
from tests.support.clocks import StillClock
from tests.support.sorting import answered, ended, sealed, sent, take, withdrawn

HERS, OTHERS = "a" * 26, "b" * 26


def rows(context: Context, table: Table) -> list[Any]:
    with context.database.reading() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key)))


def begun(context: Context, grant: str, statistics: str = HERS) -> str:
    event = sealed(grant=grant, statistics=statistics)
    take(context, event)
    return event.key


def test_erasure_cuts_referrals_from_grant_and_pseudonym(context: Context) -> None:
    grant, other = str(uuid4()), str(uuid4())
    hers, kept = [begun(context, grant) for _ in range(2)], begun(context, other, OTHERS)
    take(context, answered("declined", hers[0]))
    take(context, ended(grant, "erased"))

    found = {row.id: row for row in rows(context, referral)}
    assert [(found[name].grant_id, found[name].statistics) for name in hers] == [(name, None) for name in hers]
    assert [found[name].state for name in hers] == ["declined", "withdrawn"]
    assert (found[kept].grant_id, found[kept].statistics, found[kept].state) == (other, OTHERS, "requested")
    assert [row.referral_id for row in rows(context, envelope)] == [kept]
    told = [data for kind, data in sent(context) if kind == "referral.updated.v1"][-1]
    assert (told["state"], "statistics" in told) == ("withdrawn", False)


def test_erasure_after_revocation_still_cuts_referrals(context: Context) -> None:
    grant = str(uuid4())
    name = begun(context, grant)
    take(context, ended(grant))
    assert rows(context, referral)[0].grant_id == grant
    take(context, ended(grant, "erased"))

    [row] = rows(context, referral)
    assert (row.grant_id, row.statistics, row.state) == (name, None, "withdrawn")


def test_late_referral_of_the_erased_keeps_no_join_key(context: Context) -> None:
    grant = str(uuid4())
    take(context, ended(grant, "erased"))
    names = [begun(context, grant) for _ in range(2)]

    found = {row.id: row for row in rows(context, referral)}
    assert [(found[name].grant_id, found[name].statistics) for name in names] == [(name, None) for name in names]
    assert {row.state for row in found.values()} == {"withdrawn"}
    assert rows(context, envelope) == []


def test_withdrawn_statistics_removes_only_the_pseudonym(context: Context) -> None:
    grant = str(uuid4())
    name, kept = begun(context, grant), begun(context, grant, OTHERS)
    take(context, withdrawn(HERS, "c" * 26))

    found = {row.id: row for row in rows(context, referral)}
    assert (found[name].statistics, found[name].grant_id, found[name].state) == (None, grant, "requested")
    assert found[kept].statistics == OTHERS


def test_erased_grant_is_forgotten_when_nothing_can_arrive(context: Context, clock: StillClock) -> None:
    erased, revoked = str(uuid4()), str(uuid4())
    take(context, ended(erased, "erased"))
    take(context, ended(revoked))
    clock.move(INBOX_DAYS)
    handlers.forget_erased(context)
    assert {row.id for row in rows(context, grant_seen)} == {erased, revoked}
    clock.move(timedelta(seconds=1))
    handlers.forget_erased(context)
    assert [row.id for row in rows(context, grant_seen)] == [revoked]
