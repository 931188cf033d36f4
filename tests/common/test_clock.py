"""The clock returns times in UTC and ordered identifiers."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from services.common.clock import SystemClock, monotonic, pause


def test_present_time_is_in_utc() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_an_id_is_a_version_7_uuid() -> None:
    new = SystemClock().new_id()
    assert type(new) is UUID
    assert (new.version, new.variant) == (7, RFC_4122)


def test_ids_differ_and_follow_the_order_in_which_they_were_made() -> None:
    clock = SystemClock()
    ids = [clock.new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)


def test_an_id_begins_with_the_time_at_which_it_was_made() -> None:
    clock = SystemClock()
    before, new, after = clock.now(), clock.new_id(), clock.now()
    assert (
        before - timedelta(seconds=1)
        <= datetime.fromtimestamp((new.int >> 80) / 1000, UTC)
        <= after + timedelta(seconds=1)
    )


def test_waits_are_measured_on_a_clock_that_never_goes_back() -> None:
    before = monotonic()
    pause(0.01)
    assert monotonic() - before >= 0.01
