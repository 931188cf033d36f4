"""The feed: what changed for an agency, numbered without gaps in the order of commit; only ids and states."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Barrier, Thread
from uuid import uuid4

import pytest

from services.common.errors import Problem
from services.referral.context import Context
from services.referral.handlers import feed
from services.referral.models import agency_counter, feed_entry
from tests.support.clocks import StillClock
from tests.support.sorting import RECIPIENT, SENDER, STRANGER, answered, ended, made, sealed, shut_out, take


def entries(context: Context, agency: str, after: int = 0) -> list[tuple[int, str, str, str | None]]:
    page = feed.read_feed(context, agency, after)
    return [(row.number, row.type, row.subject, row.state) for row in page.entries]


def states(context: Context, agency: str) -> list[str | None]:
    return [state for _, _, _, state in entries(context, agency)]


def test_both_sides_are_told_each_state_of_a_referral(context: Context) -> None:
    event = sealed()
    for one in (event, answered("accepted", event.key), answered("started", event.key)):
        take(context, one)
    expected = [(n, feed.UPDATED, event.key, s) for n, s in enumerate(("requested", "accepted", "started"), 1)]
    assert entries(context, SENDER) == entries(context, RECIPIENT) == expected
    assert entries(context, STRANGER) == []


def test_refused_answer_is_told_to_its_sender_only(context: Context) -> None:
    event = sealed()
    take(context, event)
    late = answered("completed", event.key)
    take(context, late)
    assert entries(context, RECIPIENT)[-1] == (2, feed.REFUSED, late.id, "rejected")
    assert len(entries(context, SENDER)) == 1


def test_refused_claim_of_an_offer_is_told_in_the_feed(context: Context) -> None:
    name = str(uuid4())
    claim = made("offer.claimed.v1", STRANGER, {"offer": name}, name)
    take(context, claim)
    assert entries(context, STRANGER) == [(1, feed.REFUSED, claim.id, "rejected")]


def test_end_of_a_grant_is_told_as_withdrawn(context: Context) -> None:
    grant = str(uuid4())
    take(context, sealed(grant=grant))
    take(context, ended(grant))
    assert states(context, SENDER) == states(context, RECIPIENT) == ["requested", "withdrawn"]


@pytest.mark.parametrize("agency", [SENDER, RECIPIENT])
def test_shut_out_side_is_told_nothing_new(context: Context, clock: StillClock, agency: str) -> None:
    grant = str(uuid4())
    event = sealed(grant=grant)
    take(context, event)
    take(context, shut_out(grant, agency))
    clock.move(timedelta(hours=1))
    take(context, answered("accepted", event.key, RECIPIENT if agency == SENDER else STRANGER))
    take(context, ended(grant))
    assert states(context, agency) == ["requested"]


def test_referral_that_arrives_for_a_shut_out_side_is_not_told(context: Context) -> None:
    grant = str(uuid4())
    take(context, shut_out(grant, RECIPIENT))
    take(context, sealed(grant=grant))
    assert (states(context, RECIPIENT), states(context, SENDER)) == ([], ["requested"])


def test_side_that_is_let_in_again_is_told_where_it_stands(context: Context, clock: StillClock) -> None:
    grant = str(uuid4())
    event, quiet = sealed(grant=grant), sealed(grant=grant)
    take(context, event)
    take(context, quiet)
    clock.move(timedelta(hours=1))
    take(context, shut_out(grant))
    clock.move(timedelta(hours=1))
    for kind in ("accepted", "started"):
        take(context, answered(kind, event.key))
    take(context, shut_out(grant, is_out=False))
    assert [(subject, state) for _, _, subject, state in entries(context, SENDER)[2:]] == [(event.key, "started")]
    take(context, shut_out(grant, is_out=False))
    assert len(entries(context, SENDER)) == 3, "only once"


def test_notice_is_told_by_its_id_to_its_agency(context: Context) -> None:
    name = str(uuid4())
    with context.database.transaction() as connection:
        feed.note_notice(context, connection, made(feed.NOTICE, "consent", {"agency": RECIPIENT, "notice": name}, name))
    assert entries(context, RECIPIENT) == [(1, feed.NOTICE, name, None)]


def test_old_entry_of_a_notice_loses_its_id_only(context: Context, clock: StillClock) -> None:
    take(context, sealed())
    with context.database.transaction() as connection:
        feed.note_notice(context, connection, made(feed.NOTICE, "consent", {"agency": SENDER, "notice": "old"}, "old"))
    before = entries(context, SENDER)
    clock.move(feed.NOTICE_TIME)
    feed.forget_notices(context)
    assert entries(context, SENDER) == before
    clock.move(timedelta(seconds=1))
    feed.forget_notices(context)
    assert entries(context, SENDER) == [before[0], (2, feed.NOTICE, "", None)]


def test_entries_of_one_transaction_are_numbered_in_order(context: Context) -> None:
    with context.database.transaction() as connection:
        told = [
            feed.tell(context, connection, [RECIPIENT, SENDER, SENDER], feed.OVERDUE, name, "requested")
            for name in ("first", "second")
        ]
    assert [subject for _, _, subject, _ in entries(context, SENDER)] == ["first", "second"]
    assert [[one.number for one in each] for each in told] == [[1, 1], [2, 2]]


def test_transaction_that_fails_tells_nothing_and_leaves_no_gap(context: Context) -> None:
    def work() -> None:
        with context.database.transaction() as connection:
            feed.tell(context, connection, [SENDER], feed.OVERDUE, "lost", None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    with context.database.transaction() as connection:
        feed.tell(context, connection, [SENDER], feed.OVERDUE, "kept", None)
    assert [(number, subject) for number, _, subject, _ in entries(context, SENDER)] == [(1, "kept")]


def test_telling_outside_of_a_transaction_is_an_error(context: Context) -> None:
    with context.database.reading() as connection, pytest.raises(LookupError):
        feed.tell(context, connection, [SENDER], feed.OVERDUE, "lost", None)


def test_pages_of_a_feed_have_no_gap_and_no_repeat(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAGE", 3)
    for _ in range(7):
        take(context, sealed())
    seen, after = list[int](), 0
    while (page := feed.read_feed(context, SENDER, after)).entries:
        seen += [row.number for row in page.entries]
        after = page.next
    assert seen == list(range(1, 8))
    assert page.next == 7


def test_number_from_the_future_is_refused_with_its_member(context: Context) -> None:
    take(context, sealed())
    assert feed.read_feed(context, SENDER, 1).entries == []
    for agency, after in ((SENDER, 2), (STRANGER, 1)):
        with pytest.raises(Problem) as caught:
            feed.read_feed(context, agency, after)
        assert (caught.value.status, caught.value.faults[0].member) == (400, "query after")


def test_transactions_over_the_same_agencies_do_not_deadlock(context: Context) -> None:
    """Each tells the same agencies in another order; counters are locked in one order only."""
    names, start, failed = [f"agency-number{n}" for n in range(6)], Barrier(6), list[Exception]()

    def work(number: int) -> None:
        start.wait()
        try:
            for _ in range(10):
                with context.database.transaction() as connection:
                    for agency in names[number:] + names[:number]:
                        feed.tell(context, connection, [agency], feed.OVERDUE, "any", None)
        except Exception as error:  # noqa: BLE001 - shown below
            failed.append(error)

    _all([partial(work, number) for number in range(6)])
    assert failed == []
    for agency in names:
        assert [number for number, _, _, _ in entries(context, agency)] == list(range(1, 61))


def _all(acts: list[Callable[[], None]]) -> None:
    threads = [Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_feed_holds_ids_and_codes_only() -> None:
    assert set(feed_entry.c.keys()) == {"agency", "number", "type", "subject", "state", "at"}
    assert set(agency_counter.c.keys()) == {"agency", "feed", "listed"}
