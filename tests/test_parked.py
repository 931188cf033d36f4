"""An operator lists parked events and releases them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services import composition
from services.cli import main
from services.common.clock import SystemClock
from services.common.messaging.broker import Received, Record
from services.common.service import Service
from services.common.settings import Settings
from tests.common.test_cli import CLEARED

pytestmark = pytest.mark.backend("sqlite", "local_log")
KEY = "0190aaaa-0000-7000-8000-000000000001"
GOOD = {
    "content-type": "application/json",
    "ce_specversion": "1.0",
    "ce_id": "one",
    "ce_source": "consent",
    "ce_type": "grant.ended.v1",
    "ce_time": "2026-01-01T00:00:00+00:00",
}
ENDED = {"grant": KEY, "agency": KEY, "reason": "revoked", "epoch": 1}


@pytest.fixture
def referral(tmp_path: Path) -> Service:
    """Return the referral service of a new hub."""
    settings = Settings(data=tmp_path)
    composition.migrate_all(settings)
    return composition.build_one("referral", settings)


def park(service: Service, offset: int, value: bytes) -> None:
    received = Received(Record("fireweed.consent.grant", KEY, GOOD, value), 0, offset)
    with service.database.transaction() as connection:
        service.plumbing.parking.park(connection, received, "ValueError", SystemClock().now())


def release(folder: Path, key: str, *options: str) -> Result:
    return CliRunner().invoke(
        main, ["parked", "release", "referral", key, "--data", str(folder), *options], env=CLEARED
    )


def test_release_of_an_unparked_key_is_refused(tmp_path: Path, referral: Service) -> None:
    park(referral, 1, b"{}")
    told = release(tmp_path, "another")
    assert (told.exit_code, "Nothing is parked in referral under that key." in told.output) == (1, True)


def test_release_handles_events_that_succeed_now(tmp_path: Path, referral: Service) -> None:
    park(referral, 1, json.dumps(ENDED).encode())
    told = release(tmp_path, KEY)
    assert (told.exit_code, told.output) == (0, "Events handled: 1.\n")


def test_release_keeps_and_reports_events_that_still_fail(tmp_path: Path, referral: Service) -> None:
    park(referral, 1, b"no JSON at all")
    park(referral, 2, json.dumps(ENDED).encode())
    told = release(tmp_path, KEY, "--json")
    answer = json.loads(told.stdout)
    assert (told.exit_code, answer["handled"]) == (1, 0)
    assert [(item["key"], item["events"], item["reason"]) for item in answer["parked"]] == [(KEY, 2, "ValueError")]
