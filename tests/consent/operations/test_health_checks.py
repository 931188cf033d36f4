"""The doctor reports unsigned ledger entries, overdue key rotation, and keys that cannot be opened."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Table, update

from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants.grants import Wish
from services.consent.handlers.ledger import publish
from services.consent.handlers.operations import key_rotation
from services.consent.handlers.operations.health_checks import LATE, ROTATION_LATE, Soundness, soundness
from services.consent.handlers.rights import contacts
from services.consent.models import grant_key, ledger_tile
from services.consent.store import keys as store
from services.doctor import run_checks
from tests.support.consent import House

WELL = Soundness(ledger_is_signed=True, keys_are_young=True, keys_open=True)


def test_unsigned_ledger_is_reported_after_a_minute(own_house: House) -> None:
    own_house.person()
    assert soundness(own_house.context) == WELL
    own_house.clock.move(LATE + timedelta(seconds=1))
    assert not soundness(own_house.context).ledger_is_signed
    publish.publish(own_house.context)
    assert soundness(own_house.context) == WELL

    with own_house.context.database.transaction() as connection:
        connection.execute(update(ledger_tile).values(hashes=bytes(32)))
    own_house.person()
    publish.integrate(own_house.context)
    own_house.clock.move(LATE + timedelta(seconds=1))
    assert not soundness(own_house.context).ledger_is_signed


def test_overdue_rotation_is_reported_after_a_day(own_house: House) -> None:
    own_house.person()
    publish.publish(own_house.context)
    key_rotation.rotate_if_due(own_house.context)
    own_house.clock.move(ROTATION_LATE + timedelta(seconds=1))

    assert not soundness(own_house.context).keys_are_young
    key_rotation.rotate_if_due(own_house.context)
    publish.publish(own_house.context)
    assert soundness(own_house.context) == WELL


@pytest.mark.parametrize("table", store.LIVE, ids=lambda table: table.name)
def test_unopenable_live_key_is_reported_at_once(own_house: House, table: Table) -> None:
    agency = own_house.agency()
    person = own_house.person(agency)
    own_house.allow(person, agency)
    contacts.save(own_house.context, person.subject, {"channel": "text", "address": "", "window": "", "wording": ""})
    wish = Wish(agency.id, "referral", ["summary"], texts={"summary": {"text": "A quiet place, please."}})
    linked_acts.ask(own_house.context, agency.id, person.ppid, wish)
    publish.publish(own_house.context)
    assert soundness(own_house.context) == WELL

    with own_house.context.database.transaction() as connection:
        connection.execute(update(table).values(key_encryption_key=9))
    assert soundness(own_house.context) == replace(WELL, keys_open=False)
    told = run_checks(own_house.service.settings, ["consent"])
    [found] = [item for item in told if item.what == "every live key can be opened"]
    assert not found.well
    assert "fireweed grants end-all" in found.advice


def test_failing_rotation_stays_overdue_and_adds_one_key(own_house: House) -> None:
    agency = own_house.agency()
    own_house.allow(own_house.person(agency), agency)
    assert key_rotation.rotate_if_due(own_house.context) is None
    with own_house.context.database.transaction() as connection:
        connection.execute(update(grant_key).values(wrapped=bytes(40)))
    own_house.clock.move(ROTATION_LATE + timedelta(seconds=1))
    for _ in range(4):
        with pytest.raises(key_rotation.KeyLost):
            key_rotation.rotate_if_due(own_house.context)

    assert not soundness(own_house.context).keys_are_young
    assert own_house.context.keys.numbers() == [1, 2]


def test_soundness_check_creates_no_key(own_house: House) -> None:
    """If the key files are missing, a new key would hide that."""
    own_house.person()
    for path in (own_house.service.settings.keys_folder / "consent" / "key-encryption").iterdir():
        path.unlink()

    assert not soundness(own_house.context).keys_open
    assert own_house.context.keys.numbers() == []


def test_doctor_advises_restoring_missing_key_folder(own_house: House) -> None:
    own_house.person()
    elsewhere = own_house.service.settings.model_copy(update={"keys": own_house.service.settings.data / "not-there"})

    [found] = [item for item in run_checks(elsewhere, ["consent"]) if item.what.startswith("the key folder")]
    assert not found.well
    assert found.advice.startswith("if it ever ran, bring the folder back before anything starts")


@pytest.mark.parametrize("file", ["consent/pepper.key", "consent/ledger.key", "consent/signing.jwk", "consent"])
def test_doctor_creates_no_key_in_place_of_lost_one(own_house: House, tmp_path: Path, file: str) -> None:
    keys = own_house.service.settings.keys_folder
    shutil.copytree(keys, tmp_path / "copy")
    lost = tmp_path / "copy" / file
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    elsewhere = own_house.service.settings.model_copy(update={"keys": tmp_path / "copy"})

    for _ in range(2):
        [found] = [item for item in run_checks(elsewhere, ["consent"]) if item.what.startswith("consent has")]
        assert not found.well
        assert found.advice.startswith("if it ever ran, bring")
    assert not lost.exists()


def test_doctor_reports_unsigned_ledger_and_young_key(own_house: House) -> None:
    own_house.person()
    told = {item.what: item.well for item in run_checks(own_house.service.settings, ["consent"])}

    # The clock of the test stands in the past, so the unsigned entry is old for the doctor.
    assert told["every entry of the ledger is in a signed tree"] is False
    assert told["the key-encryption key is young"] is True


def test_doctor_of_embedded_hub_advises_fireweed_up(own_house: House) -> None:
    own_house.person()
    ill = [finding.advice for finding in run_checks(own_house.service.settings, ["consent"]) if not finding.well]
    assert any(advice.startswith("`fireweed up` must be running") for advice in ill)
    assert "fireweed serve" not in " ".join(ill)
