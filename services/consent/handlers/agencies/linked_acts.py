"""Acts of an agency about a survivor it is linked to: link itself, ask for consent, pass on her spoken no."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.common.errors import Fault, Problem, invalid, not_found
from services.consent import consistency_tokens
from services.consent.consistency_tokens import Known
from services.consent.context import Context
from services.consent.handlers.accounts.sessions import new_ppid
from services.consent.handlers.grants import drafts
from services.consent.handlers.grants.grants import Wish, code_faults, revoke_all
from services.consent.handlers.speakers import must_speak_for, spoken_for
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.speaking import Act, Speech
from services.consent.store import permissions, subjects

SAME = ("choices", "purpose", "categories", "drafts_digest")
"""Columns in which two requests are equal that count as one."""


def link(context: Context, agency: str, code: str) -> str:
    """Link an agency by the code that she told it; return its ppid for her. Raises 422 for a wrong, used or old code."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        subject = subjects.use_link_code(connection, context.secrets.code_digest("link", code), now)
        if subject is None:
            # The agency proved who it is: a 401 would send its client for a new token, again and again.
            fault = Fault("/link_code", "Wrong, used or too old.", "a new code, which she makes on her page")
            raise Problem(422, "wrong-link-code", "This link code cannot be used.", [fault])
        ppid = subjects.add_link(connection, agency, new_ppid(), subject)
        ledger.append(connection, [Entry("linked", subject, agency)], now)
    return ppid


def epoch_token(context: Context, agency: str, ppid: str) -> str:
    """Return the consistency token of a survivor's present epoch, for an agency linked to her; raise 404."""
    with context.database.reading() as connection:
        subject = subjects.linked(connection, [(agency, ppid)]).get((agency, ppid))
        row = subjects.get_subject(connection, subject) if subject else None
    if row is None:
        raise not_found()
    return consistency_tokens.issue(context, Known(agency, row.id, row.epoch))


def ask(context: Context, asking: str, ppid: str, wish: Wish, choices: Sequence[str] = ()) -> UUID:
    """Put a request for consent before her and return its id; she answers when it is safe, or not at all.

    With `choices` it is about one of these agencies, which she chooses, in the place of `wish.agency`.

    Asking the same again while a request may be open, also after a "not now", shows her nothing and returns the same id: no
    agency can press her by asking, nor learn from the answer whether she has said no. `wish.texts` are drafts, which she
    reads in full; a request with other drafts is another request.
    """
    now, name = context.clock.now(), context.clock.new_id()
    if wrong := code_faults(context, wish):
        raise invalid(*wrong)
    parts = drafts.checked(wish.texts or {}, wish.categories)
    with context.database.transaction() as connection:
        speech = Speech(Act.ASK_CONSENT, wish.purpose, frozenset(wish.categories))
        subject = must_speak_for(context, connection, asking, ppid, speech)
        if not subjects.hold(connection, [subject]):
            raise not_found()
        among = sorted(set(choices)) or [wish.agency]
        known = context.roster.find(connection, among)
        if any(name not in known or known[name].standing != "active" for name in among):
            # Also because she will read it: an agency must not be able to write text to her in its place.
            member = "/agencies" if choices else "/agency"
            raise invalid(Fault(member, "No such agency is active here.", "the id of an active agency"))
        row = {
            "id": name,
            "subject_id": subject,
            "asked_by": asking,
            "choices": among,
            "agency": among[0] if len(among) == 1 else None,
            "purpose": wish.purpose,
            "categories": sorted(set(wish.categories)),
            "asked_at": now,
            "open_until": now + context.duty_rules.request_time,
            "drafts_digest": drafts.digest(context, connection, subject, parts),
        }
        if (same := _asked_before(connection, context, row)) is not None:
            return same
        permissions.add_request(connection, row)
        told: dict[str, Any] = {"request": str(name)}
        told |= {"for": among[0]} if len(among) == 1 else {"one_of": among}
        if parts:
            drafts.keep(context, connection, name, subject, parts)
            told["drafts"] = sorted(parts)
        ledger.append(connection, [Entry("request.made", subject, asking, told)], now)
    return name


def _asked_before(connection: Connection, context: Context, row: Mapping[str, Any]) -> UUID | None:
    """Return the id of an earlier equal request; raise 429 when this agency asks too much."""
    since = row["asked_at"] - context.duty_rules.request_time
    recent = permissions.requests_by(connection, row["subject_id"], row["asked_by"], since)
    for asked in recent:
        same = all(getattr(asked, member) == row[member] for member in SAME)
        # A grant to another agency is not for this one to see; of its own grant it knows.
        if same and not (asked.accepted and asked.agency == asked.asked_by):
            found: UUID = asked.id
            return found
    # Counted whatever she answered: otherwise this would tell that she did.
    if len(recent) >= context.duty_rules.requests_at_most:
        raise Problem(429, "asked-enough", "You have asked her enough for now. She answers when it is safe.")
    return None


def revoke_on_her_word(context: Context, told: str, ppid: str, only_to: str | None) -> None:
    """End her grants because she told a linked agency to: taking away never needs more than her word. Raises 404.

    The agency does not learn whether there was anything to end, or with whom.
    """
    with context.database.reading() as connection:
        subject = spoken_for(context, connection, told, ppid, Speech(Act.STOP_EVERYTHING))
        own = spoken_for(context, connection, told, ppid, Speech(Act.STOP_OWN_ACCESS))
    if subject is None:
        # Shut out, it may still give up what it has itself, and is answered as if that had been everything.
        subject, only_to = own, told
    if subject is None:
        raise not_found()
    revoke_all(context, subject, told_to=told, only_to=only_to)
