"""After a restore from a backup, `grants end-all` ends all grants, so that nothing revoked since flows again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, insert, select, text

from services.cli import main
from services.common.database.process_lock import hold
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from services.consent.handlers.ledger import publish
from services.consent.handlers.operations.key_rotation import KeyLost, rotate
from services.consent.handlers.rights import contacts, erasure
from services.consent.ledger import entries as ledger
from services.consent.main import build_context
from services.consent.models import audit_key, metadata
from services.consent.models import notice as notices
from services.consent.store import pending_grants
from tests.support.consent import House
from tests.support.hubs import environment

WISH = {"channel": "text", "address": "sample", "window": "mornings", "wording": "plain"}
Backup = Sequence[tuple[Any, list[Any]]]


def back_up(house: House) -> Backup:
    with house.context.database.reading() as connection:
        return [(table, list(connection.execute(select(table)))) for table in metadata.sorted_tables]


def restore(house: House, backup: Backup) -> None:
    with house.context.database.transaction() as connection:
        without_guards(connection)
        for table, _ in reversed(backup):
            connection.execute(table.delete())
        for table, rows in backup:
            if rows:
                connection.execute(insert(table), [row._asdict() for row in rows])


def without_guards(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))


def run(house: House, *arguments: str, **more: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(arguments), env=environment(house.service.settings) | more)
    return done.exit_code, done.stdout, done.stderr


def end_all(house: House, *arguments: str) -> tuple[int, str, str]:
    return run(house, "grants", "end-all", *arguments)


def test_grant_revoked_after_backup_stays_closed(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    taken_back, kept = house.allow(person, agency), house.allow(house.person(agency), agency)
    envelope = house.envelope(taken_back)
    backup = back_up(house)
    grants.revoke_grant(house.context, person.subject, taken_back)
    assert house.open(agency, envelope).status_code == 404
    restore(house, backup)
    assert house.open(agency, envelope).status_code == 200

    status, told, progress = end_all(house, "--yes", "--json")
    assert (status, json.loads(told)) == (0, {"ended": 2, "held": 0, "keys_given_up": 0})
    assert progress == "2 survivors are seen to.\n"
    assert [house.open(agency, house.envelope(name)).status_code for name in (taken_back, kept)] == [404, 404]
    assert house.open(agency, envelope).status_code == 404
    assert [row.action for row in house.rows(notices)] == ["stop_use", "stop_use"]
    assert [entry.detail["reason"] for entry in house.ledger(person) if entry.kind == "grant.ended"] == ["restored"]
    assert house.open(agency, house.envelope(house.allow(person, agency))).status_code == 200
    rotate(house.context)


def test_pending_grant_of_backup_never_becomes_grant(own_house: House) -> None:
    house, advocate, clinic = own_house, own_house.agency("ngo"), own_house.agency("health")
    person = house.person(advocate)
    with house.context.database.transaction() as connection:
        connection.execute(text("UPDATE subject SET age_band = 'under_16'"))
    grants.give_grant(
        house.context, person.subject, Wish(clinic.id, "referral", ("summary",), second_look_by=advocate.id)
    )

    assert end_all(house, "--yes")[:2] == (0, "0 grants have ended, 0 survivors are left.\n")
    with house.context.database.reading() as connection:
        assert not pending_grants.waits_of(connection, person.subject)


def test_keys_missing_after_restore_are_given_up(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    grant = house.allow(person, agency)
    contacts.save(house.context, person.subject, WISH)
    backup = back_up(house)
    rotate(house.context)
    restore(house, backup)
    assert house.open(agency, house.envelope(grant)).status_code == 404
    assert contacts.read(house.context, person.subject) is None
    with pytest.raises(KeyLost):
        rotate(house.context)

    assert end_all(house, "--yes")[1].endswith(" 2 keys that nothing opens any more were given up.\n")
    rotate(house.context)
    house.allow(person, agency)
    told = [(entry.kind, entry.agency) for entry in house.ledger(person) if entry.kind.startswith("grant.")]
    assert told == [("grant.given", None), ("grant.ended", None), ("grant.given", agency.id)]
    assert contacts.read(house.context, person.subject) is None


def test_end_all_without_confirmation_ends_nothing(own_house: House) -> None:
    agency = own_house.agency()
    grant = own_house.allow(own_house.person(agency), agency)

    assert end_all(own_house)[0] == 1
    assert own_house.open(agency, own_house.envelope(grant)).status_code == 200


@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_end_all_reports_locked_survivor_as_left(own_house: House) -> None:
    agency = own_house.agency()
    person = own_house.person(agency)
    own_house.allow(person, agency)
    with own_house.context.locks.opening([person.subject]):
        status, told, problem = end_all(own_house, "--yes", "--json")
    assert (status, json.loads(told)["held"]) == (1, 1)
    assert "once more" in problem

    assert end_all(own_house, "--yes")[0] == 0


@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_end_all_refuses_while_hub_runs_on_same_file(own_house: House) -> None:
    with hold(own_house.context.database, "api"):
        status, _, problem = end_all(own_house, "--yes")

    assert status == 1
    assert "End it first" in problem


def test_witness_detects_restore_and_ledger_restarts_renamed(own_house: House, tmp_path: Path) -> None:
    house, agency = own_house, own_house.agency()
    house.person(agency)
    publish.publish(house.context)
    backup = back_up(house)
    house.allow(house.person(agency), agency)
    publish.publish(house.context)
    seen = tmp_path / "seen"
    seen.write_text(publish.checkpoint(house.context), "utf-8")
    restore(house, backup)

    key = run(house, "ledger", "key")[1].strip()
    assert run(house, "ledger", "copy", str(tmp_path / "copy"))[0] == 0
    assert run(house, "ledger", "verify", str(tmp_path / "copy"), "--key", key)[0] == 0
    assert run(house, "ledger", "verify", str(tmp_path / "copy"), "--key", key, "--earlier", str(seen))[0] == 1

    (house.service.settings.keys_folder / "consent" / "ledger.key").unlink()
    named = {"FIREWEED_LEDGER_ORIGIN": "fireweed.example/ledger-2"}
    assert run(house, "keys", "rotate", **named)[0] == 0
    renamed = house.service.settings.model_copy(update={"ledger_origin": named["FIREWEED_LEDGER_ORIGIN"]})
    begun = build_context(renamed, house.clock)
    publish.publish(begun)
    begun.database.close()
    key = run(house, "ledger", "key", **named)[1].strip()
    assert key.startswith("fireweed.example/ledger-2+")
    assert run(house, "ledger", "copy", str(tmp_path / "anew"), **named)[0] == 0
    assert run(house, "ledger", "verify", str(tmp_path / "anew"), "--key", key)[0] == 0


def test_erased_survivor_gets_no_new_audit_key(own_house: House) -> None:
    person = own_house.person()
    erasure.erase(own_house.context, person.subject)
    [before] = own_house.rows(audit_key)
    with own_house.context.database.transaction() as connection:
        ledger.begin_anew(connection, person.subject)

    assert own_house.rows(audit_key) == [before]
