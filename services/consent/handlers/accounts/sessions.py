"""Signing in: an agency registers a survivor, she claims her account, and holds sessions that end by themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

import schemas
from services.common.encoding import random_name
from services.common.errors import Fault, Problem, invalid
from services.consent.context import Context
from services.consent.credentials import is_pin, new_code, new_pin, new_session_token
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import subjects

CLAIM_TIME = timedelta(days=30)
CLAIM_AGAIN_TIME = timedelta(hours=1)
IDLE_TIME = timedelta(minutes=10)
# Also while it is in use: somebody else may be using a browser that she left open.
LONGEST_SESSION = timedelta(hours=12)
STEP_UP_TIME = timedelta(minutes=5)
# Often enough for an idle limit of minutes, without a write on every click.
SEEN_STEP = timedelta(seconds=30)
PIN_TRIES = 5
PPID_CHARACTERS = 26
POLICE = "police"


@dataclass(frozen=True, slots=True)
class Registered:
    """The codes that an agency hands over, once: its own name for her, and two codes for her alone."""

    ppid: str
    claim_code: str
    revoke_code: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of a claim: passphrase and PIN, shown once, and the token of an open session."""

    session: str
    passphrase: str
    pin: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session: its survivor, and whether its PIN was given in the last minutes.

    `known` tells that a passkey opened it or that her PIN was right in it: her passphrase alone does not lead there.
    """

    subject: UUID
    digest: bytes
    stepped_up: bool
    known: bool = False


def check_age(band: str | None) -> None:
    """Raise a 400 problem unless this is an age group or None."""
    if band not in schemas.code_set("age_bands") | {None}:
        raise invalid(Fault("/age_band", "Not one of the codes.", ", ".join(sorted(schemas.code_set("age_bands")))))


def check_pin(pin: str, member: str = "/pin") -> None:
    """Raise a 400 problem, which names the member, unless this has the form of a PIN."""
    if not is_pin(pin):
        raise invalid(Fault(member, "Not a PIN.", "six digits"))


def register(context: Context, agency: str, language: str, age_band: str | None = None) -> Registered:
    """Register a survivor, linked to the agency that she is with; return the codes.

    Raises 400 for an unknown age group, 403 for the police: nobody's account may begin with them.
    """
    check_age(age_band)
    claim, revoke = new_code(), new_code()
    subject, now = context.clock.new_id(), context.clock.now()
    row = {
        "id": subject,
        "state": "active",
        "epoch": 0,
        "language": language,
        "age_band": age_band,
        "advocate": agency,
        "claim_digest": context.secrets.code_digest("claim", claim),
        "claim_until": now + CLAIM_TIME,
        "revoke_digest": context.secrets.code_digest("revoke", revoke),
        "created_at": now,
    }
    with context.database.transaction() as connection:
        _refuse_police(context, connection, agency)
        subjects.add_subject(connection, row)
        ppid = subjects.add_link(connection, agency, new_ppid(), subject)
        ledger.append(connection, [Entry("registered", subject, agency)], now)
    return Registered(ppid, claim, revoke)


def _refuse_police(context: Context, connection: Connection, agency: str) -> None:
    known = context.roster.find(connection, [agency]).get(agency)
    if known is not None and known.sector == POLICE:
        raise Problem(
            403,
            "not-for-police",
            "The police register nobody. Another agency that she is with can; she may then give you a link code herself.",
        )


def check_claim(context: Context, code: str, pin: str | None) -> subjects.SubjectRow:
    """Return the subject row for a claim code; raise 401 if it is unknown or expired, 400 for a malformed PIN."""
    if pin is not None:
        check_pin(pin)
    with context.database.reading() as connection:
        subject = subjects.find_subject(connection, "claim_digest", context.secrets.code_digest("claim", code))
        row = subjects.get_subject(connection, subject) if subject else None
    if row is None or row.claim_until <= context.clock.now():
        raise not_let_in()
    return row


def claim(context: Context, code: str, pin: str | None, language: str | None = None) -> Claimed:
    """Exchange a claim code for a passphrase and a PIN.

    The answer may be lost on a bad connection after everything is stored, and must not lock her out. So the code works again,
    each time with a new passphrase that voids the earlier one, until passphrase or PIN are used for the first time: then she
    has them, and the slip is worthless to anybody who finds it. An hour after the first claim it ends in any case.
    """
    row, now = check_claim(context, code, pin), context.clock.now()
    digest = context.secrets.code_digest("claim", code)
    # The slow hashes come before the transaction, which on SQLite holds up every other writer.
    language = language or row.language
    claimed = Claimed(new_session_token(), context.secrets.new_passphrase(language), pin or new_pin())
    passphrase_digest = context.secrets.passphrase_digest(claimed.passphrase)
    kept = {
        "passphrase_digest": passphrase_digest,
        "pin_hash": context.secrets.pin_hash(claimed.pin),
        "language": language,
    }
    with context.database.transaction() as connection:
        until = min(row.claim_until, now + CLAIM_AGAIN_TIME)
        if not subjects.use_claim(connection, digest, until, **kept):
            raise not_let_in()
        subjects.end_sessions(connection, row.id)
        subjects.add_session(connection, context.secrets.session_digest(claimed.session), row.id, now)
        ledger.append(connection, [Entry("claimed", row.id)], now)
    return claimed


def come_in(context: Context, passphrase: str) -> str:
    """Open a session with her passphrase and return its token; raise 401. From then on it cannot be claimed anew."""
    digest = context.secrets.passphrase_digest(passphrase)
    token = new_session_token()
    with context.database.transaction() as connection:
        subject = subjects.confirm_claim(connection, passphrase_digest=digest)
        if subject is None:
            raise not_let_in()
        subjects.add_session(connection, context.secrets.session_digest(token), subject, context.clock.now())
    return token


def find_session(context: Context, token: str | None) -> Session:
    """Return the session of a token; raise 401 if there is none, or if it was idle or lasted too long."""
    digest, now = context.secrets.session_digest(token or ""), context.clock.now()
    with context.database.reading() as connection:
        row = subjects.get_session(connection, digest)
    if row is None or row.seen_at <= now - IDLE_TIME or row.began_at <= now - LONGEST_SESSION:
        raise not_let_in()
    if row.seen_at <= now - SEEN_STEP:
        with context.database.transaction() as connection:
            subjects.change_session(connection, digest, seen_at=now)
    stepped_up = row.stepped_up_until is not None and row.stepped_up_until > now
    return Session(row.subject_id, digest, stepped_up, row.known)


def step_up(context: Context, session: Session, pin: str) -> None:
    """Step a session up for a few minutes; raise 403 for a wrong PIN. Five wrong PINs end the session."""
    with context.database.transaction() as connection:
        # Counted before it is checked, so that guesses sent all at once are counted too.
        tries = subjects.count_pin_try(connection, session.digest)
        row = subjects.get_subject(connection, session.subject)
    if tries is None or row is None:
        raise not_let_in()
    right = tries <= PIN_TRIES and row.pin_hash is not None and context.secrets.pin_fits(pin, row.pin_hash)
    with context.database.transaction() as connection:
        if right:
            # Her row before her session's, in the order of all callers; a claim may have replaced the PIN since.
            if subjects.confirm_claim(connection, id=session.subject, pin_hash=row.pin_hash) is None:
                raise not_let_in()
            until = context.clock.now() + STEP_UP_TIME
            subjects.change_session(connection, session.digest, stepped_up_until=until, pin_tries=0, known=True)
        elif tries >= PIN_TRIES:
            subjects.end_session(connection, session.digest)
    if not right:
        raise Problem(
            403, "wrong-pin", "That is not the PIN.", [Fault("/pin", "Not the one that was set.", "six digits")]
        )


@contextmanager
def replacing(
    context: Context, session: Session, row: subjects.SubjectRow, secret: str, twice: Problem
) -> Iterator[Connection]:
    """Open a transaction that replaces a secret of hers; raise `twice` if the secret has changed since `row` was read.

    Raises 401 if the session has ended meanwhile, 403 if its step-up has: another session may just have ended it or set
    another PIN, and then this one may not go on.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        # Her row before her sessions, in the order of all callers: a caller that waited here sees what the one before left.
        unchanged = subjects.confirm_claim(connection, id=row.id, **{secret: getattr(row, secret)})
        present = subjects.get_session(connection, session.digest)
        if present is None:
            raise not_let_in()
        if present.stepped_up_until is None or present.stepped_up_until <= now:
            raise pin_needed()
        if unchanged is None:
            raise twice
        yield connection


def hold_subject(connection: Connection, subject: UUID) -> None:
    """Hold her row until the caller's transaction ends; raise 401 if she erased herself since she signed in."""
    if not subjects.hold(connection, [subject]):
        raise not_let_in()


def agency_of(context: Context, session: Session) -> str | None:
    """Return the agency that registered the session's survivor; None if she was erased meanwhile."""
    with context.database.reading() as connection:
        row = subjects.get_subject(connection, session.subject)
    return row.advocate if row else None


def leave(context: Context, session: Session) -> None:
    """End the session."""
    with context.database.transaction() as connection:
        subjects.end_session(connection, session.digest)


def forget_stale(context: Context) -> None:
    """End sessions that are idle or too old to be used."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        subjects.end_stale_sessions(connection, now - IDLE_TIME, now - LONGEST_SESSION)


def subject_of_card(context: Context, code: str) -> UUID:
    """Return the survivor whose revoke card bears this code, which opens nothing else; raise 401."""
    digest = context.secrets.code_digest("revoke", code)
    with context.database.reading() as connection:
        subject = subjects.find_subject(connection, "revoke_digest", digest)
    if subject is None:
        raise not_let_in()
    return subject


def new_ppid() -> str:
    """Return a new ppid, a random name by which one agency knows one survivor; no two agencies share one."""
    return random_name(PPID_CHARACTERS)


def pin_needed(how: str = "POST it to session/step-up.") -> Problem:
    """Return the 403 problem for an act that needs her PIN and came without it; `how` says where the PIN belongs."""
    return Problem(403, "pin-needed", "This needs your PIN first.", [Fault("/pin", how)])


def not_let_in() -> Problem:
    """Return the 401 problem, one for every wrong, used or unknown secret."""
    return Problem(401, "not-let-in", "That did not work. Please check it and try again.")
