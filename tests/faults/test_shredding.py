"""Erased data is unreadable: no byte on a disk, in a log, on the bus or in an earlier backup opens any of it."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from click.testing import CliRunner

from deploy.testing.kafka import KafkaServer
from deploy.testing.postgresql import SUPERUSER, PostgresServer
from services.cli import main
from services.client import Partner
from services.consent.handlers.disclosures import sent
from services.consent.handlers.grants import drafts
from services.consent.handlers.operations.key_rotation import rotate, rotate_if_due
from services.consent.handlers.rights import erasure
from services.consent.key_encryption import KeyFiles, KeyGone
from tests.support.canary import contents, files_with
from tests.support.consent import house
from tests.support.hubs import TestHub, distributed_hub, environment, eventually
from tests.support.people import Person, meet, open_status, referral, waiting
from tests.support.word_for_word import allow, ask, send

CANARY = "Canary-Wm4tR8pLx2"
HORIZON = 60
"""Seconds in which an erasure must have become final."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A survivor's keys before they were destroyed: wrapped, with the number of the wrapping key, and in plain bytes."""

    wrapped: tuple[tuple[int, bytes], ...]
    plain: tuple[bytes, ...]


@pytest.mark.backend("postgresql")
def test_no_file_of_the_database_holds_a_usable_key_of_hers(own_postgres: PostgresServer, tmp_path: Path) -> None:
    """Neither a page nor the log nor a backup does."""
    with house(own_postgres.url("fireweed_consent"), tmp_path) as made:
        agency = made.agency()
        erased, kept = made.person(agency), made.person(agency)
        envelopes = [
            made.envelope(made.allow(person, agency), {"summary": {"text": CANARY}}) for person in (erased, kept)
        ]
        assert CANARY in made.open(agency, envelopes[0]).text
        request = ask(made, agency, erased, agency, {"summary": {"text": CANARY}})
        assert drafts.show(made.context, [request])[request]["summary"]["text"] == CANARY
        grant = allow(made, erased, ask(made, agency, erased, agency, {"health": {"needs": CANARY}}))
        send(made, grant, agency, {"health": {"needs": CANARY}})
        assert CANARY in str(sent.read(made.context, erased.subject, grant).sent)
        files = KeyFiles(tmp_path / "keys" / "consent" / "key-encryption")
        before_rotation, old_keys = _keys_of_all(own_postgres, files), [_key_bytes(files)]
        rotate(made.context)
        lived = _keys_of_all(own_postgres, files)
        old_keys.append(_key_bytes(files))
        backup = _backup(own_postgres)
        erasure.erase(made.context, erased.subject)
        assert rotate_if_due(made.context) is not None
        _write_down(own_postgres)
        hers = _of(before_rotation, lived, gone_from=_keys_of_all(own_postgres, files))

        assert made.open(agency, envelopes[0]).status_code == 404
        assert CANARY in made.open(agency, envelopes[1]).text
    _check(hers, old_keys, files, [own_postgres.data, backup, tmp_path], keys=4)


@pytest.mark.slow
@pytest.mark.backend("postgresql", "kafka")
def test_nothing_written_opens_her_data_after_erasure(
    own_postgres: PostgresServer, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    """This holds after the rotation that follows the erasure."""
    with distributed_hub(tmp_path, own_postgres, kafka_server) as hub:
        sender, recipient = hub.join("Sample Outreach", "ngo"), hub.join("Sample Clinic", "health")
        erased, kept = meet(hub, sender), meet(hub, sender)
        envelopes = [_opened(person, sender, recipient) for person in (erased, kept)]
        _read_word_for_word(erased, sender, recipient)
        files = KeyFiles(hub.settings.keys_folder / "consent" / "key-encryption")
        before_rotation = _keys_of_all(own_postgres, files)
        old_keys = [_key_bytes(files)]
        hub.command("keys", "rotate")
        wrapping = files.newest()
        old_keys.append(_key_bytes(files))
        lived = _keys_of_all(own_postgres, files)
        signed = _get(hub, "checkpoint")
        backup = _backup(own_postgres)

        erased.page.call("DELETE", "", {"pin": erased.pin})
        erased_at = time.monotonic()
        assert open_status(recipient, envelopes[0]) == 404
        eventually(lambda: files.numbers()[0] > wrapping, HORIZON)
        assert time.monotonic() - erased_at < HORIZON

        assert open_status(recipient, envelopes[1]) == 200
        assert len(kept.page.ledger()) > 4
        _write_down(own_postgres)
        eventually(lambda: _get(hub, "checkpoint") != signed)
        _the_ledger_still_verifies(hub, tmp_path, signed)
        hers = _of(before_rotation, lived, gone_from=_keys_of_all(own_postgres, files))
    _check(hers, old_keys, files, [own_postgres.data, backup, kafka_server.data, tmp_path], keys=3)


def _check(hers: Keys, old_keys: list[bytes], files: KeyFiles, folders: list[Path], keys: int) -> None:
    """Check that her wrapped `keys` exist but cannot be opened, and that no plain key and no canary is found."""
    data, backup = folders[:2]
    assert list(files_with([CANARY], folders)) == []
    assert len(hers.wrapped) == 2 * keys, "each key, as two key-encryption keys wrapped it"
    left = {path for path in folders[-1].rglob("key-encryption/*") if path.is_file()}
    assert [path.name for path in left] == [f"{files.newest()}.key"]
    for number, wrapped in hers.wrapped:
        for each in {number, *files.numbers()}:
            with pytest.raises(KeyGone):
                files.unwrap(each, wrapped)
    was_written = {wrapped for _, wrapped in hers.wrapped}
    assert _found(list(was_written), [data]) == was_written, "what was never written proves nothing by its end"
    assert _found([hers.wrapped[-1][1]], [backup]) == {hers.wrapped[-1][1]}
    assert _found([*hers.plain, *old_keys], folders) == set()


def _write_down(postgres: PostgresServer) -> None:
    """Make PostgreSQL write everything in its memory to disk."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _opened(person: Person, sender: Partner, recipient: Partner) -> str:
    """Send an envelope with a canary and open it as its recipient; return the envelope."""
    person.page.step_up(person.pin)
    person.page.allow(recipient.client_id, "referral", ["summary"])
    thread = sender.post(referral(person, recipient, parts={"summary": {"text": CANARY}}))["thread"]
    envelope = str(waiting(recipient, thread)["envelope"])
    answer = recipient.call("POST", "/consent/v1/openings", {"envelope": envelope})
    assert answer["parts"]["summary"]["text"] == CANARY
    return envelope


def _read_word_for_word(person: Person, sender: Partner, recipient: Partner) -> None:
    """Let her read a draft, and what was sent."""
    asked = {"ppid": person.ppid, "agency": recipient.client_id, "purpose": "referral", "categories": ["summary"]}
    sender.call("POST", "/consent/v1/consent-requests", {**asked, "drafts": {"summary": CANARY}})
    assert CANARY in str(person.page.call("GET", "/requests"))
    [grant] = person.page.call("GET", "/grants")["grants"]
    eventually(lambda: CANARY in str(person.page.call("GET", f"/grants/{grant['id']}/sent")))


def _keys_of_all(postgres: PostgresServer, files: KeyFiles) -> dict[Any, tuple[int, bytes, bytes]]:
    """Return every live key by its owner: number of the wrapping key, wrapped bytes, plain bytes."""
    found = {}
    with psycopg.connect(postgres.url("fireweed_consent")) as connection:
        for table, name in (("grant_key", "grant_id"), ("audit_key", "subject_id"), ("request_draft", "request_id")):
            query = f"SELECT {name}, key_encryption_key, wrapped FROM {table} WHERE wrapped IS NOT NULL"  # noqa: S608
            for whose, number, wrapped in connection.execute(query.encode()):
                found[table, whose] = (number, bytes(wrapped), files.unwrap(number, bytes(wrapped)))
    return found


def _of(*times: dict[Any, tuple[int, bytes, bytes]], gone_from: dict[Any, Any]) -> Keys:
    """Return the keys that were destroyed, with their wrapped bytes at each time."""
    gone = [key for key in times[-1] if key not in gone_from]
    wrapped = tuple(known[key][:2] for known in times for key in gone)
    return Keys(wrapped, tuple({times[-1][key][2] for key in gone}))


def _key_bytes(files: KeyFiles) -> bytes:
    return files._read(files.newest())


def _backup(postgres: PostgresServer) -> Path:
    folder = postgres.folder / "backup"
    where = ("-h", "127.0.0.1", "-p", str(postgres.port), "-U", SUPERUSER)
    postgres._run("pg_basebackup", "-D", str(folder), *where, "-X", "stream", "-c", "fast")
    return folder


def _get(hub: TestHub, name: str) -> str:
    return httpx2.get(hub.origins.url(f"/consent/v1/ledger/{name}")).text


def _the_ledger_still_verifies(hub: TestHub, folder: Path, signed: str) -> None:
    consent = hub.processes["consent-api"].settings
    (folder / "signed-before").write_text(signed)
    (folder / "ledger-key").write_text(_get(hub, "key"))
    variables = environment(consent)
    copied = CliRunner().invoke(main, ["ledger", "copy", str(folder / "copy")], env=variables)
    assert copied.exit_code == 0, copied.output
    options = ["--key", str(folder / "ledger-key"), "--earlier", str(folder / "signed-before"), "--json"]
    told = CliRunner().invoke(main, ["ledger", "verify", str(folder / "copy"), *options])
    assert told.exit_code == 0, told.output
    assert json.loads(told.output)["entries"] > int(signed.splitlines()[1])


def _found(wanted: list[bytes], folders: list[Path]) -> set[bytes]:
    """Return those byte strings that occur in a file, plain or in hexadecimal."""
    forms = {form: content for content in wanted for form in (content, content.hex().encode())}
    return {content for _, data in contents(folders) for form, content in forms.items() if form in data}
