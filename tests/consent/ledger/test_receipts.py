"""Receipts: a survivor can show each grant and its end to others, who can verify them without the hub."""

import json
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.cli import main
from services.consent.handlers.grants import grants
from services.consent.handlers.ledger import publish
from services.consent.handlers.rights import erasure
from services.consent.policy import privacy_notice
from tests.support.consent import House


def ask(house: House, person: Any, grant: Any) -> Any:
    return house.my("GET", f"/receipts/{grant}", house.session(person))


def verify(house: House, folder: Path, document: Any, option: str = "--receipt") -> Result:
    path = folder / "document.json"
    path.write_text(json.dumps(document))
    key = str(house.context.ledger_key.verifier)
    return CliRunner().invoke(main, ["ledger", "verify", "--key", key, option, str(path), "--json"])


def test_grant_receipt_has_every_section_of_record(house: House) -> None:
    agency, person = house.agency(), house.person(language="fr")
    name = house.allow(person, agency, "summary", "housing", days=7)
    publish.publish(house.context)
    [receipt] = ask(house, person, name).json()["receipts"]

    facts = receipt["receipt"]
    assert facts["schema_version"] == "ISO/IEC TS 27560:2023"
    assert facts["record_id"] == facts["pii_principal_id"] == f"urn:uuid:{name}"
    processing = facts["pii_processing"]
    shown = privacy_notice("fr")
    assert processing["privacy_notice"] == {"version": shown.version, "sha256": shown.sha256}
    assert processing["language"] == "fr"
    assert [purpose["purpose"] for purpose in processing["purposes"]] == ["referral"]
    assert [each["pii_type"] for each in processing["pii_information"]] == ["housing", "summary"]
    assert processing["recipient_third_parties"] == [agency.id]
    assert processing["withdrawal_method"] == f"{house.url}/my"
    for member in ("lawful_basis", "pii_controllers", "storage_locations", "jurisdictions", "retention_period"):
        assert processing[member]
    assert [party["party_role"] for party in facts["party_identification"]] == ["pii_controller", "recipient"]
    [event] = facts["events"]
    assert (event["event_state"], event["validity_duration"], event["entity_id"]) == (
        "consent_given",
        "P7D",
        "pii_principal",
    )
    assert str(person.subject) not in json.dumps(receipt)
    assert person.ppid not in json.dumps(receipt)


@pytest.mark.parametrize("reason", ["revoked", "expired"])
def test_end_of_grant_has_receipt(house: House, tmp_path: Path, reason: str) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency, days=1)
    if reason == "revoked":
        grants.revoke_grant(house.context, person.subject, name)
    else:
        house.clock.move(timedelta(days=2))
        grants.end_lapsed(house.context)
    publish.publish(house.context)
    document = ask(house, person, name).json()

    given, ended = (receipt["receipt"] for receipt in document["receipts"])
    assert given["receipt_id"] != ended["receipt_id"]
    [event] = ended["events"]
    assert (event["event_state"], event["event_type"]) == ("consent_withdrawn", reason)
    assert event["entity_id"] == ("pii_principal" if reason == "revoked" else "hub")
    told = verify(house, tmp_path, document)
    assert (told.exit_code, json.loads(told.output)) == (0, {"receipts": 2, "proven": 2})


def test_receipt_is_signed_at_once_and_proven_after_publishing(house: House, tmp_path: Path) -> None:
    person = house.person()
    name = house.allow(person, house.agency())
    first = ask(house, person, name).json()
    assert first["receipts"][0]["proof"] is None
    assert json.loads(verify(house, tmp_path, first).output) == {"receipts": 1, "proven": 0}

    publish.publish(house.context)
    second = ask(house, person, name).json()
    assert second["receipts"][0]["receipt"] == first["receipts"][0]["receipt"]
    assert second["receipts"][0]["proof"].startswith("c2sp.org/tlog-proof@v1\n")
    assert json.loads(verify(house, tmp_path, second["receipts"][0]).output) == {"receipts": 1, "proven": 1}
    assert verify(house, tmp_path, first).exit_code == 0, "and the first one stays good"


def test_changed_receipt_fails_verification(house: House, tmp_path: Path) -> None:
    person = house.person()
    names = [house.allow(person, house.agency(), category) for category in ("summary", "health")]
    publish.publish(house.context)
    one, other = (ask(house, person, name).json()["receipts"][0] for name in names)

    def changed(**members: Any) -> Any:
        return {**deepcopy(one), **members}

    edited = deepcopy(one["receipt"])
    edited["pii_processing"]["pii_information"] = other["receipt"]["pii_processing"]["pii_information"]
    header, payload, signature = one["jws"].split(".")
    wrong = [
        changed(receipt=edited),
        changed(receipt=other["receipt"]),
        changed(jws=other["jws"]),
        changed(jws=f"{header}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"),
        changed(proof=other["proof"]),
        changed(proof=one["proof"].replace("index ", "index 1")),
        changed(proof="nothing"),
        changed(proof=5),
        {"jws": one["jws"], "proof": one["proof"]},
        {"receipt": one["receipt"]},
        {},
        changed(jws=house.context.ledger_key.receipt({**one["receipt"], "pii_processing": edited["pii_processing"]})),
    ]
    for document in wrong:
        told = verify(house, tmp_path, document)
        assert told.exit_code == 1, document
        assert "This does not hold" in told.output
    assert verify(house, tmp_path, one).exit_code == 0


def test_signed_receipt_that_differs_from_ledger_fails(house: House, tmp_path: Path) -> None:
    """The signature of the ledger's key is not enough: the ledger entry must hold the same facts."""
    person = house.person()
    name = house.allow(person, house.agency())
    publish.publish(house.context)
    [receipt] = ask(house, person, name).json()["receipts"]
    facts = deepcopy(receipt["receipt"])
    facts["pii_processing"]["purposes"][0]["purpose"] = "court_support"

    forged = {**receipt, "receipt": facts, "jws": house.context.ledger_key.receipt(facts)}
    assert verify(house, tmp_path, forged).exit_code == 1


def test_receipt_of_another_survivor_returns_404(house: House) -> None:
    person, other = house.person(), house.person()
    name = house.allow(person, house.agency())

    for grant in (name, "00000000-0000-4000-8000-000000000000"):
        assert ask(house, other, grant).status_code == 404
    assert ask(house, person, name).status_code == 200


def test_exported_entries_verify_and_changed_ones_fail(house: House, tmp_path: Path) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    house.open(agency, house.envelope(name))
    grants.pause(house.context, person.subject)
    publish.publish(house.context)
    house.my("POST", "/pause", house.session(person))
    copy = house.copy(person)

    told = verify(house, tmp_path, copy, "--export")
    assert json.loads(told.output) == {"lines": len(copy["ledger"]) - 1, "not_yet_in_the_ledger": 1}
    for member, value in (("kind", "resumed"), ("agency", "x"), ("at", "2026-01-01"), ("detail", {}), ("salt", "AAAA")):
        damaged = deepcopy(copy)
        damaged["ledger"][1][member] = value
        told = verify(house, tmp_path, damaged, "--export")
        assert told.exit_code == 1
        assert f"line {copy['ledger'][1]['position']} of the copy" in told.output


def test_receipts_after_erasure_return_401(house: House) -> None:
    person = house.person()
    name = house.allow(person, house.agency())
    session = house.session(person)
    erasure.erase(house.context, person.subject)

    assert house.my("GET", f"/receipts/{name}", session).status_code == 401
