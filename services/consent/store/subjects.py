"""Queries on survivors, their links to agencies, and their sessions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, case, delete, or_, select, update

from services.common.database.inserts import insert_new
from services.common.database.list_parameters import listed, one_of, rows_like
from services.consent.models import (
    approved_text,
    approved_words,
    correction,
    letter,
    link,
    link_code,
    passkey,
    pin_lane_use,
    pin_turn,
    request_draft,
    safe_contact,
    sent_envelope,
    session,
    subject,
)

SubjectRow = Row[tuple[Any, ...]]
# Built once: they are asked for each request.
_LINKED = rows_like([link.c.agency, link.c.ppid], "pairs")
_WRITTEN = (approved_words, approved_text, request_draft, sent_envelope, safe_contact, letter, correction)
_HERS = (session, link_code, link, pin_turn, pin_lane_use, passkey, *_WRITTEN)
_STILL_HERE = (
    select(subject.c.id)
    .where(one_of(subject.c.id, "subjects"), subject.c.state != "erased")
    .order_by(subject.c.id)
    .with_for_update()
)


def add_subject(connection: Connection, row: Mapping[str, object]) -> None:
    """Add a survivor."""
    connection.execute(subject.insert(), dict(row))


def get_subject(connection: Connection, subject_id: UUID) -> SubjectRow | None:
    """Return a survivor's row."""
    return connection.execute(select(subject).where(subject.c.id == subject_id)).one_or_none()


def find_subject(connection: Connection, digest_column: str, digest: bytes) -> UUID | None:
    """Return the survivor whose claim code, revoke code or passphrase has this digest."""
    return connection.scalar(select(subject.c.id).where(subject.c[digest_column] == digest))


def change_subject(connection: Connection, subject_id: UUID, **values: object) -> None:
    """Change columns of a survivor's row."""
    connection.execute(update(subject).where(subject.c.id == subject_id).values(**values))


def hold(connection: Connection, subject_ids: Collection[UUID]) -> frozenset[UUID]:
    """Lock the rows of those survivors who are not erased until the transaction ends; return who they are.

    Rows written about an erased survivor would stay for ever. So every write outside of `changing` calls this first, before
    any other lock that an erasure takes too, in one order for all callers. SQLite allows one writer anyway.
    """
    return frozenset(connection.scalars(_STILL_HERE, {"subjects": listed(subject_ids)}))


def use_claim(connection: Connection, digest: bytes, until: datetime, **kept: object) -> bool:
    """Store what she claimed with a code and let the code work until then; tell whether the code still existed."""
    # Of two claims at once, the second waits here for the first. The end only ever moves nearer.
    sooner = case((subject.c.claim_until < until, subject.c.claim_until), else_=until)
    statement = update(subject).where(subject.c.claim_digest == digest).values(claim_until=sooner, **kept)
    return connection.execute(statement).rowcount == 1


def confirm_claim(connection: Connection, **known: object) -> UUID | None:
    """Use her claim code up, since passphrase or PIN have reached her; return the subject, None if nothing matches."""
    statement = update(subject).where(*(subject.c[name] == value for name, value in known.items()))
    used_up = statement.values(claim_digest=None, claim_until=None)
    confirmed: UUID | None = connection.scalar(used_up.returning(subject.c.id))
    return confirmed


def raise_epoch(connection: Connection, subject_id: UUID) -> int:
    """Count one consent change and return the new epoch."""
    statement = update(subject).where(subject.c.id == subject_id).values(epoch=subject.c.epoch + 1)
    return int(connection.execute(statement.returning(subject.c.epoch)).scalar_one())


def add_link(connection: Connection, agency: str, ppid: str, subject_id: UUID) -> str:
    """Link an agency to a survivor; return the ppid by which that agency knows her, an earlier one if there is one."""
    row = {"agency": agency, "ppid": ppid, "subject_id": subject_id}
    insert_new(connection, link, [row])
    query = select(link.c.ppid).where(link.c.agency == agency, link.c.subject_id == subject_id)
    return str(connection.scalar(query))


def linked(connection: Connection, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
    """Return the survivors by pairs of agency and ppid; a pair that is not linked is left out."""
    found = connection.execute(_LINKED, {"pairs": listed(pairs)})
    return {(agency, ppid): subject_id for agency, ppid, subject_id in found}


def links_of(connection: Connection, subject_id: UUID) -> dict[str, str]:
    """Return a survivor's ppids by agency."""
    query = select(link.c.agency, link.c.ppid).where(link.c.subject_id == subject_id)
    return {row.agency: row.ppid for row in connection.execute(query)}


def is_linked(connection: Connection, agency: str, subject_id: UUID) -> bool:
    """Tell whether an agency has a ppid for a survivor."""
    query = select(link.c.ppid).where(link.c.agency == agency, link.c.subject_id == subject_id)
    return connection.scalar(query) is not None


def remove_link(connection: Connection, agency: str, subject_id: UUID) -> None:
    """Remove an agency's ppid for a survivor."""
    connection.execute(delete(link).where(link.c.agency == agency, link.c.subject_id == subject_id))


def ppids(connection: Connection, agency: str, subject_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return one agency's ppids by survivor; those it is not linked to are left out."""
    query = select(link.c.subject_id, link.c.ppid).where(
        link.c.agency == agency, link.c.subject_id.in_(set(subject_ids))
    )
    return {row.subject_id: row.ppid for row in connection.execute(query)}


def add_link_code(connection: Connection, digest: bytes, subject_id: UUID, expires_at: datetime) -> None:
    """Add a code by which one agency may link itself."""
    connection.execute(link_code.insert(), {"digest": digest, "subject_id": subject_id, "expires_at": expires_at})


def use_link_code(connection: Connection, digest: bytes, now: datetime) -> UUID | None:
    """Use a link code up and return its survivor; None if it is unknown, used or expired."""
    statement = delete(link_code).where(link_code.c.digest == digest, link_code.c.expires_at > now)
    return connection.scalar(statement.returning(link_code.c.subject_id))


def add_session(connection: Connection, digest: bytes, subject_id: UUID, now: datetime, *, known: bool = False) -> None:
    """Add a session; `known` says that it was opened by more than her passphrase."""
    row = {"digest": digest, "subject_id": subject_id, "began_at": now, "seen_at": now, "pin_tries": 0}
    connection.execute(session.insert(), {**row, "known": known})


def get_session(connection: Connection, digest: bytes) -> Row[tuple[Any, ...]] | None:
    """Return a session's row; None for an erased survivor, who may have signed in at the very moment of erasing."""
    query = select(session).join(subject).where(session.c.digest == digest, subject.c.state != "erased")
    return connection.execute(query).one_or_none()


def change_session(connection: Connection, digest: bytes, **values: object) -> None:
    """Change columns of a session's row."""
    connection.execute(update(session).where(session.c.digest == digest).values(**values))


def count_pin_try(connection: Connection, digest: bytes) -> int | None:
    """Count one more try of a PIN since the last right one; return the count, None if the session has ended."""
    statement = update(session).where(session.c.digest == digest).values(pin_tries=session.c.pin_tries + 1)
    tries: int | None = connection.scalar(statement.returning(session.c.pin_tries))
    return tries


def end_session(connection: Connection, digest: bytes) -> None:
    """End one session."""
    connection.execute(delete(session).where(session.c.digest == digest))


def end_sessions(connection: Connection, subject_id: UUID, but: bytes = b"") -> None:
    """End every session of a survivor, except for the one with this digest."""
    connection.execute(delete(session).where(session.c.subject_id == subject_id, session.c.digest != but))


def end_step_ups(connection: Connection, subject_id: UUID, but: bytes) -> None:
    """End the step-up of a survivor's sessions, except for the one with this digest; the others are not known any more."""
    others = update(session).where(session.c.subject_id == subject_id, session.c.digest != but)
    connection.execute(others.values(stepped_up_until=None, known=False))


def end_stale_sessions(connection: Connection, seen_before: datetime, begun_before: datetime) -> None:
    """End every session that was last seen, or began, before these moments."""
    connection.execute(delete(session).where(or_(session.c.seen_at < seen_before, session.c.began_at < begun_before)))


def forget_subject(connection: Connection, subject_id: UUID) -> None:
    """Remove everything by which a survivor could be found or could sign in.

    Her row stays as a tombstone for a moment, so that a request that has just found her sees that she is erased.
    """
    for table in _HERS:
        connection.execute(delete(table).where(table.c.subject_id == subject_id))
    emptied = dict.fromkeys(
        (
            "claim_digest",
            "claim_until",
            "revoke_digest",
            "passphrase_digest",
            "pin_hash",
            "statistics_key",
            "statistics_since",
            "age_band",
            "advocate",
            "created_at",
        )
    )
    change_subject(connection, subject_id, state="erased", epoch=0, language="en", **emptied)


def tombstones(connection: Connection, limit: int) -> Sequence[UUID]:
    """Return some survivors who were erased and whose rows are still there, in order."""
    query = select(subject.c.id).where(subject.c.state == "erased").order_by(subject.c.id).limit(limit)
    return connection.scalars(query).all()


def remove_tombstones(connection: Connection, gone: Sequence[UUID]) -> None:
    """Remove the rows of erased survivors, with what was written at the very moment of erasing."""
    # Locked first, so that nothing more is written about them meanwhile.
    connection.execute(select(subject.c.id).where(subject.c.id.in_(gone)).order_by(subject.c.id).with_for_update())
    for table in _HERS:
        connection.execute(delete(table).where(table.c.subject_id.in_(gone)))
    connection.execute(delete(subject).where(subject.c.id.in_(gone)))
