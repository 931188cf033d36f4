"""The published tree is complete, append-only and served as C2SP specifies; its leaves reveal nothing about survivors."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, update

from services.common.transparency_log.merkle import leaf_hash
from services.common.transparency_log.signed_notes import (
    COSIGNATURE,
    Checkpoint,
    Note,
    Verifier,
    cosignature,
    note,
    verifier,
)
from services.consent.handlers.grants import grants
from services.consent.handlers.ledger import publish
from services.consent.handlers.ledger.publish import HistoryChanged
from services.consent.handlers.rights import erasure
from services.consent.ledger import entries as ledger
from services.consent.ledger.commitments import leaf_shown, padding_leaf, shown
from services.consent.ledger.entries import Entry
from services.consent.ledger.verify import Broken, verify_leaf
from services.consent.main import build_context
from services.consent.models import ledger_checkpoint, ledger_entry, ledger_head, ledger_tile
from tests.support import transparency_log_client as tlog
from tests.support.consent import Agency, House, Person

PREFIX = "/consent/v1/ledger/"


def test_independent_client_reads_whole_log(own_house: House) -> None:
    record(own_house, 700)
    for _ in range(3):
        record(own_house, 23)
        publish.publish(own_house.context)

    head, entries = tlog.read_log(lambda name: fetch(own_house, name), vkey(own_house))
    assert head.size == len(entries) == 724 + 24 + 24
    assert head.origin == own_house.url.partition("://")[2] + "/consent/v1/ledger"


def test_ledger_origin_survives_new_url_and_changes_by_setting(own_house: House) -> None:
    moved = own_house.service.settings.model_copy(update={"public_url": "http://127.0.0.1:1"})
    for settings, name in (
        (moved, own_house.context.ledger_key.origin),
        (moved.model_copy(update={"ledger_origin": "fireweed.example/ledger"}), "fireweed.example/ledger"),
    ):
        context = build_context(settings, own_house.clock)
        context.database.close()
        assert context.ledger_key.origin == name


@pytest.mark.slow
def test_ten_thousand_concurrent_entries_form_one_tree(own_house: House) -> None:
    def write(_: int) -> None:
        for _ in range(25):
            record(own_house, 50)
            if own_house.context.database.is_postgresql:
                publish.publish(own_house.context)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    publish.publish(own_house.context)

    head, entries = tlog.read_log(lambda name: tile_or_note(own_house, name), vkey(own_house))
    rows = own_house.rows(ledger_entry)
    assert len([row for row in rows if row.kind == "sample"]) == 10_000
    assert head.size == len(rows) == len(set(entries))
    assert sorted(row.leaf_index for row in rows) == list(range(head.size))
    assert {row.leaf_index: row.leaf for row in rows} == dict(enumerate(entries))


def test_each_checkpoint_is_prefix_of_the_next(own_house: House) -> None:
    notes = []
    for number in (1, 2, 255, 300, 5):
        record(own_house, number)
        publish.publish(own_house.context)
        notes.append(fetch(own_house, "checkpoint").decode())
    heads = [tlog.open_checkpoint(text, vkey(own_house)) for text in notes]
    _, entries = tlog.read_log(lambda name: fetch(own_house, name), vkey(own_house))
    leaves = [leaf_hash(entry) for entry in entries]

    assert [head.size for head in heads] == [4, 8, 264, 564, 572]
    assert [head.root for head in heads] == [tlog.tree_hash(leaves[: head.size]) for head in heads]


def test_tree_holds_committed_entries_only(own_house: House) -> None:
    class Undone(Exception):
        pass

    for keep in (True, False, True):
        try:
            with own_house.context.database.transaction() as connection:
                ledger.append(connection, entries(3), own_house.clock.now())
                if not keep:
                    raise Undone
        except Undone:
            pass
    publish.publish(own_house.context)

    assert len([row for row in own_house.rows(ledger_entry) if row.kind == "sample"]) == 6
    assert own_house.rows(ledger_head)[0].size == 8


def test_changed_tree_is_not_signed(own_house: House) -> None:
    record(own_house, 9)
    publish.publish(own_house.context)
    with own_house.context.database.transaction() as connection:
        hashes = own_house.rows(ledger_tile)[0].hashes
        connection.execute(update(ledger_tile).values(hashes=bytes(32) + hashes[32:]))
    record(own_house, 1)

    with pytest.raises(HistoryChanged):
        publish.publish(own_house.context)
    assert [row.size for row in own_house.rows(ledger_checkpoint)] == [12]


def test_shortened_ledger_is_not_signed(own_house: House) -> None:
    record(own_house, 5)
    publish.publish(own_house.context)
    with own_house.context.database.transaction() as connection:
        connection.execute(delete(ledger_entry).where(ledger_entry.c.leaf_index >= 3))
        connection.execute(update(ledger_head).values(size=0, edge=b""))
        connection.execute(update(ledger_entry).values(leaf_index=None))

    with pytest.raises(HistoryChanged):
        publish.publish(own_house.context)


def test_leaf_reveals_nothing_about_survivor(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    grants.revoke_grant(house.context, person.subject, name)

    rows = house.rows(ledger_entry, ledger_entry.c.subject_id == person.subject)
    leaves = b"".join(leaf for row in rows for leaf in (row.leaf, row.tree_leaf or b""))
    for secret in (agency.id, str(name), str(person.subject), person.subject.hex, person.ppid, "grant.", "summary"):
        assert secret.encode() not in leaves
    times = [entry.at.isoformat() for entry in house.ledger(person)]
    assert not any(time.encode() in leaves for time in times)


def test_equal_entries_have_different_leaves(house: House) -> None:
    person = house.person()
    for _ in range(10):
        grants.pause(house.context, person.subject)
    parts = [
        value
        for row in house.rows(ledger_entry, ledger_entry.c.subject_id == person.subject)
        for value in json.loads(row.leaf).values()
    ]
    assert len(set(parts)) == len(parts) == 4 * 11


@pytest.mark.parametrize("number", [0, 1, 5])
def test_tree_grows_alike_however_many_grants_an_act_ends(own_house: House, number: int) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    for days in range(number):
        house.allow(person, agency, days=days + 1)
    publish.publish(house.context)
    before = house.rows(ledger_head)[0].size
    known, _ = tlog.read_log(lambda name: fetch(house, name), vkey(house))
    erasure.erase(house.context, person.subject)
    publish.publish(house.context)

    head, entries = tlog.read_log(lambda name: fetch(house, name), vkey(house))
    assert head.size == before + publish.EVEN
    assert {len(entry) for entry in entries[known.size :]} == {len(padding_leaf())}


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_checkpoint_does_not_tell_number_of_acts(own_house: House, number: int) -> None:
    people = [own_house.person() for _ in range(4)]
    publish.publish(own_house.context)
    before = own_house.rows(ledger_head)[0].size
    for person in people[:number]:
        grants.pause(own_house.context, person.subject)
    publish.publish(own_house.context)

    assert own_house.rows(ledger_head)[0].size == before + publish.EVEN


def test_each_entry_of_an_act_is_proven_by_its_own_way(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    for days in range(3):
        house.allow(person, agency, days=days + 1)
    grants.revoke_all(house.context, person.subject)
    publish.publish(house.context)
    told = house.ledger(person)
    proofs = publish.proofs(house.context, told)
    known = verifier(vkey(house))

    assert len({entry.leaf_index for entry in told}) < len(told)
    for entry, proven in zip(told, proofs, strict=True):
        leaf = leaf_shown(shown(entry.record, entry.salt))
        verify_leaf(leaf, str(proven), known)
        for other in told:
            if other is not entry:
                with pytest.raises(Broken):
                    verify_leaf(leaf_shown(shown(other.record, other.salt)), str(proven), known)


def test_erasure_keeps_tree_valid_and_entries_unreadable(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person, other = house.person(agency), house.person(agency)
    envelope = house.envelope(house.allow(person, agency))
    house.open(agency, envelope)
    grants.pause(house.context, other.subject)
    publish.publish(house.context)
    before = tlog.read_log(lambda name: fetch(house, name), vkey(house))
    erasure.erase(house.context, person.subject)
    house.open(agency, envelope)
    publish.publish(house.context)

    head, after = tlog.read_log(lambda name: fetch(house, name), vkey(house))
    assert after[: before[0].size] == before[1]
    assert head.size > before[0].size
    with house.context.database.reading() as connection:
        assert ledger.about(connection, person.subject, None, 100) == []
    rows = [row for row in house.rows(ledger_entry) if row.kind != "padding"]
    assert {row.subject_id for row in rows if row.subject_id} == {other.subject}
    assert [row.kind for row in rows if row.sealed] == [entry.kind for entry in house.ledger(other)]
    assert rows[-1].kind == "opening.refused"


@pytest.mark.parametrize(
    "path",
    ["tile/0/000", "tile/0/000.p/9", "tile/1/000.p/1", "tile/entries/000.p/9", "tile/64/000", "tile/0/0", "tile/x"],
)
def test_unavailable_tile_returns_404(own_house: House, path: str) -> None:
    record(own_house, 5)
    publish.publish(own_house.context)

    assert own_house.http.get(own_house.url + PREFIX + path).status_code == 404
    assert len(fetch(own_house, "tile/0/000.p/8")) == 8 * 32


def test_tiles_are_cached_for_ever_and_checkpoints_briefly(house: House) -> None:
    house.person()
    publish.publish(house.context)
    headers = {name: house.http.get(house.url + PREFIX + name).headers for name in ("checkpoint", "tile/0/000.p/1")}

    assert headers["checkpoint"]["cache-control"] == "public, max-age=1"
    assert headers["checkpoint"]["content-type"] == "text/plain; charset=utf-8"
    assert headers["tile/0/000.p/1"]["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["tile/0/000.p/1"]["content-type"] == "application/octet-stream"


def test_old_uncosigned_checkpoints_are_deleted(own_house: House) -> None:
    witness, agency = Witness("w1.example"), own_house.agency()
    for _ in range(4):
        record(own_house, 1)
        publish.publish(own_house.context)
        if own_house.rows(ledger_head)[0].size == 8:
            assert witness.cosigns(own_house, agency, fetch(own_house, "checkpoint").decode()).status_code == 201
            publish.publish(own_house.context)
    own_house.clock.move(timedelta(days=3))
    record(own_house, 1)
    publish.publish(own_house.context)

    # Cosigning added an entry with the key of the witness.
    assert [row.size for row in own_house.rows(ledger_checkpoint)] == [8, 24]


class Witness:
    """A witness of an agency: it cosigns checkpoints."""

    def __init__(self, name: str) -> None:
        self.name, self.key = name, Ed25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes_raw()

    @property
    def vkey(self) -> str:
        return str(Verifier(self.name, COSIGNATURE, self.public))

    def cosigned(self, house: House, checkpoint: str, ahead: int = 0) -> str:
        read = note(checkpoint)
        seconds = int(house.clock.now().timestamp()) + ahead
        return str(Note(read.body, (*read.signatures, cosignature(read.body, self.name, self.key, seconds))))

    def cosigns(self, house: House, agency: Agency, checkpoint: str, **given: Any) -> Any:
        body = {"key": self.vkey, "checkpoint": self.cosigned(house, checkpoint, **given)}
        return house.call(agency, PREFIX + "cosignatures", body)


def test_cosigned_checkpoint_is_served_with_cosignatures(own_house: House) -> None:
    house, agency, witness = own_house, own_house.agency(), Witness("w1.example/a")
    record(house, 3)
    publish.publish(house.context)
    old = fetch(house, "checkpoint").decode()
    assert house.http.get(house.url + PREFIX + "checkpoint/cosigned").status_code == 404
    record(house, 2)
    publish.publish(house.context)

    answer = witness.cosigns(house, agency, old)
    assert (answer.status_code, answer.json()) == (201, {"size": 4})
    served = fetch(house, "checkpoint/cosigned").decode()
    assert tlog.open_checkpoint(served, vkey(house)).size == 4
    assert tlog.cosigned_by(served, witness.name, witness.public) == int(house.clock.now().timestamp())
    assert tlog.open_checkpoint(fetch(house, "checkpoint").decode(), vkey(house)).size == 8

    second = Witness("w2.example")
    assert second.cosigns(house, house.agency(), old).status_code == 201
    both = fetch(house, "checkpoint/cosigned").decode()
    for each in (witness, second):
        assert tlog.cosigned_by(both, each.name, each.public)
    witnesses = [json.loads(row.leaf) for row in house.rows(ledger_entry) if row.kind == "witness.key"]
    assert [leaf["detail"]["key"] for leaf in witnesses] == [witness.vkey, second.vkey]


def test_cosigning_older_checkpoint_returns_409(own_house: House) -> None:
    house, agency, witness = own_house, own_house.agency(), Witness("w1.example")
    record(house, 3)
    publish.publish(house.context)
    old = fetch(house, "checkpoint").decode()
    record(house, 2)
    publish.publish(house.context)
    assert witness.cosigns(house, agency, fetch(house, "checkpoint").decode()).status_code == 201

    answer = witness.cosigns(house, agency, old)
    assert (answer.status_code, answer.json()["size"]) == (409, 8)


def test_invalid_cosignature_returns_400(own_house: House) -> None:
    house, agency, witness = own_house, own_house.agency(), Witness("w1.example")
    record(house, 3)
    publish.publish(house.context)
    good = fetch(house, "checkpoint").decode()
    ours = house.context.ledger_key

    assert witness.cosigns(house, agency, good, ahead=3600).status_code == 400
    for text in (ours.checkpoint(2, bytes(32)), good.replace("\n4\n", "\n5\n"), "x" + good):
        assert witness.cosigns(house, agency, text).status_code == 400
    made_up = str(Checkpoint(ours.origin, 4, bytes(32)))
    stamped = cosignature(made_up, witness.name, witness.key, int(house.clock.now().timestamp()))
    for body in (
        {"key": witness.vkey, "checkpoint": str(Note(made_up, (stamped,)))},
        {"key": witness.vkey, "checkpoint": good},
        {"key": vkey(house).strip(), "checkpoint": good},
        {"key": "x", "checkpoint": good},
        {"key": Witness("w1.example").vkey, "checkpoint": witness.cosigned(house, good)},
        {"key": witness.vkey, "checkpoint": witness.cosigned(house, good).replace("\n4\n", "\n5\n")},
        {"key": witness.vkey, "checkpoint": "nothing"},
    ):
        answer = house.call(agency, PREFIX + "cosignatures", body)
        wrong = "/key" if body["key"] in {"x", vkey(house).strip()} else "/checkpoint"
        assert (answer.status_code, answer.json()["errors"][0]["member"]) == (400, wrong), body
    assert house.rows(ledger_checkpoint)[-1].size == 4


def test_second_history_signed_by_own_key_returns_409(own_house: House) -> None:
    house, agency, witness = own_house, own_house.agency(), Witness("w1.example")
    record(house, 3)
    publish.publish(house.context)

    answer = witness.cosigns(house, agency, house.context.ledger_key.checkpoint(4, bytes(32)))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:fireweed:problem:two-histories")


def record(house: House, number: int, person: Person | None = None) -> None:
    with house.context.database.transaction() as connection:
        ledger.append(connection, entries(number, person), house.clock.now())


def entries(number: int, person: Person | None = None) -> list[Entry]:
    return [Entry("sample", person.subject if person else None, None, {"id": str(uuid4())}) for _ in range(number)]


def vkey(house: House) -> str:
    return fetch(house, "key").decode()


def fetch(house: House, name: str) -> bytes:
    answer = house.http.get(house.url + PREFIX + name)
    assert answer.status_code == 200, name
    return answer.content


def tile_or_note(house: House, name: str) -> bytes:
    return publish.checkpoint(house.context).encode() if name == "checkpoint" else publish.tile(house.context, name[5:])
