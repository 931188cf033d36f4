"""Witnesses: agencies cosign the checkpoints they have seen, so that the hub cannot show each of them another history."""

from services.common import telemetry
from services.common.errors import Fault, Problem, invalid
from services.common.transparency_log.signed_notes import (
    COSIGNATURE,
    NotANote,
    Note,
    Verifier,
    checkpoint,
    note,
    verifier,
)
from services.consent.context import Context
from services.consent.handlers.ledger.publish import begins_with
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import ledger_tree as store

_AHEAD_SECONDS = 60


def cosign(context: Context, agency: str, key: str, cosigned: str) -> int:
    """Keep an agency's cosignature over one of our checkpoints; return the checkpoint's size.

    The key of each witness is in the ledger, so that nobody can change it unseen. Raises 400 for a checkpoint that is not
    ours, 409 for an older one than before or one that shows two histories.
    """
    by, signed = _read(key, cosigned)
    said = checkpoint(signed.body)
    _check_signature(context, by, signed)
    now = context.clock.now()
    with context.database.transaction() as connection:
        edge = store.hold_edge(connection)
        row = store.checkpoint_of(connection, said.size)
        if row is None or row.root != said.root or said.origin != context.ledger_key.origin:
            _check_for_fork(context, signed, known=row is not None)
            raise invalid(Fault("/checkpoint", "Not a checkpoint of this ledger.", "one of the last two days"))
        if not begins_with(connection, (said.size, said.root), (edge.size, edge.root())):
            raise _two_histories()
        before = store.witness(connection, agency)
        if before and said.size < before.size:
            raise Problem(
                409, "stale-checkpoint", "You have cosigned a newer one already.", extra={"size": before.size}
            )
        line = str(signed).splitlines()[-1]
        store.keep_witness(connection, {"agency": agency, "key": key, "size": said.size, "line": line})
        if before is None or before.key != key:
            ledger.append(connection, [Entry("witness.key", None, agency, {"key": key})], now)
    return said.size


def _read(key: str, cosigned: str) -> tuple[Verifier, Note]:
    """Return the witness's key, and the note with this witness's signature last; raise 400."""
    try:
        by = verifier(key)
    except NotANote as error:
        raise invalid(Fault("/key", "Not a verifier key.", "a C2SP vkey of type 0x04 (Ed25519)")) from error
    if by.kind != COSIGNATURE:
        raise invalid(Fault("/key", "Not the key of a witness.", "a C2SP vkey of type 0x04 (Ed25519)"))
    fault = Fault(
        "/checkpoint", "Not a checkpoint that this key has cosigned.", "a C2SP checkpoint with cosignature/v1"
    )
    try:
        read = note(cosigned)
        if read.signature_by(by) is None:
            raise invalid(fault)
        checkpoint(read.body)
    except NotANote as error:
        raise invalid(fault) from error
    mine = tuple(each for each in read.signatures if each[0] == by.name and each[1][:4] == by.id)
    others = tuple(each for each in read.signatures if each not in mine)
    return by, Note(read.body, (*others, mine[0]))


def _check_signature(context: Context, by: Verifier, signed: Note) -> None:
    signature = signed.signature_by(by) or b""
    if int.from_bytes(signature[:8], "big") > context.clock.now().timestamp() + _AHEAD_SECONDS:
        raise invalid(Fault("/checkpoint", "Its time lies in the future.", f"at most {_AHEAD_SECONDS} s ahead"))


def _check_for_fork(context: Context, signed: Note, *, known: bool) -> None:
    """Raise 409 if our key has signed the checkpoint and our tree does not contain it: then there are two histories."""
    try:
        ours = signed.signature_by(context.ledger_key.verifier) is not None
    except NotANote:
        return
    if ours and known:
        raise _two_histories()


def _two_histories() -> Problem:
    telemetry.log.error("a witness holds a checkpoint that was signed here and does not fit the ledger")
    return Problem(409, "two-histories", "This checkpoint was signed here and does not fit the ledger. Keep it.")
