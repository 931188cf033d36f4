"""Giving and taking back: grants, restrictions, pause, resume, and revoking by card or on her word."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.common import metrics
from services.common.errors import Fault, Problem, invalid, not_found
from services.consent.handlers import words
from services.consent.handlers.changes import Change, changing
from services.consent.keys import new_grant_key
from services.consent.policy import notice
from services.consent.room import Room
from services.consent.store import permissions, subjects
from services.consent.store.keys import newest_for

SAME_GRANT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Wish:
    """What she would allow: one agency, one purpose, some categories, for a number of days (None: the default).

    `words` are hers for this agency: if she gives some, they are the `summary` that it reads, whatever was sent.
    """

    agency: str
    purpose: str
    categories: Sequence[str]
    days: int | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What she allows of what was asked for, and her own words for it."""

    categories: Sequence[str]
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What she forbids; None matches everything."""

    agency: str | None = None
    sector: str | None = None
    category: str | None = None
    purpose: str | None = None


def give_grant(room: Room, subject: UUID, wish: Wish) -> UUID:
    """Make a grant with a key pair of its own."""
    with changing(room, subject) as change:
        return _give(change, wish)


def revoke_grant(room: Room, subject: UUID, grant: UUID) -> None:
    """End one grant; ending an ended one changes nothing and succeeds."""
    with changing(room, subject) as change:
        row = permissions.get_grant(change.connection, grant)
        if row is None or row.subject_id != subject:
            raise not_found()
        change.end([row] if row.ended_at is None else [], "revoked")
    metrics.revocations.add(1, {"kind": "grant"})


def revoke_all(room: Room, subject: UUID, *, told_to: str | None = None, only_to: str | None = None) -> int:
    """End every grant, or those to one agency; `told_to` is the agency that passes on her spoken word. How many ended."""
    with changing(room, subject) as change:
        live = permissions.live_grants(change.connection, subject)
        ending = [grant for grant in live if only_to in {None, grant.agency}]
        change.end(ending, "revoked", **({"told_to": told_to} if told_to else {}))
        if not ending:
            change.record("nothing.to.end", told_to)
    metrics.revocations.add(1, {"kind": "word" if told_to else "card"})
    return len(ending)


def restrict(room: Room, subject: UUID, rule: Rule) -> UUID:
    """Forbid something; it wins over every grant, at once."""
    if rule == Rule():
        raise invalid(Fault("/", "A restriction must name something.", "agency, sector, category or purpose"))
    _check_codes(room, rule)
    with changing(room, subject) as change:
        name = room.clock.new_id()
        parts = {"sector": rule.sector, "category": rule.category, "purpose": rule.purpose}
        row = {"id": name, "subject_id": subject, "agency": rule.agency, "created_at": change.now, **parts}
        permissions.add_restriction(change.connection, row)
        change.record("restriction.added", rule.agency, restriction=str(name), **parts)
    metrics.revocations.add(1, {"kind": "restriction"})
    return name


def lift_restriction(room: Room, subject: UUID, restriction: UUID) -> None:
    """Allow again what grants allow."""
    with changing(room, subject) as change:
        if not permissions.lift_restriction(change.connection, subject, restriction, change.now):
            raise not_found()
        change.record("restriction.lifted", restriction=str(restriction))


def pause(room: Room, subject: UUID) -> None:
    """Stop everything until she resumes; grants and keys stay."""
    with changing(room, subject) as change:
        subjects.change_subject(change.connection, subject, state="paused")
        change.record("paused")
    metrics.revocations.add(1, {"kind": "pause"})


def resume(room: Room, subject: UUID) -> None:
    """Let her grants work again."""
    with changing(room, subject) as change:
        subjects.change_subject(change.connection, subject, state="active")
        change.record("resumed")


def answer_request(
    room: Room, subject: UUID, request: UUID, *, accept: bool, days: int | None, chosen: Chosen | None = None
) -> UUID | None:
    """Answer what an agency asked for; saying yes makes the grant. The grant, None after a no.

    She may have `chosen` less than was asked for, never more.
    """
    with changing(room, subject) as change:
        row = permissions.answer_request(change.connection, subject, request, accepted=accept, now=change.now)
        if row is None:
            raise not_found()
        change.record("request.answered", row.asked_by, request=str(request), accepted=accept)
        if not accept:
            return None
        chosen = chosen or Chosen(row.categories)
        if not set(chosen.categories) <= set(row.categories):
            raise invalid(Fault("/categories", "More than was asked for.", ", ".join(row.categories)))
        return _give(change, Wish(row.agency, row.purpose, chosen.categories, days, chosen.words))


def end_lapsed(room: Room, limit: int = 100) -> int:
    """End grants whose time is over, with the same consequences as a revocation. How many survivors were seen to.

    They have been dead since their last instant, by the comparison in each decision; this destroys their keys.
    """
    with room.database.reading() as connection:
        lapsed = permissions.lapsed_grants(connection, room.clock.now(), limit)
    for subject in sorted({row.subject_id for row in lapsed}):
        # She may have been erased since, or be held; one of many must not keep the others. The next round sees to her.
        with suppress(Problem), changing(room, subject) as change:
            live = permissions.live_grants(change.connection, subject)
            change.end([grant for grant in live if grant.valid_until <= change.now], "expired")
    return len(lapsed)


def _give(change: Change, wish: Wish) -> UUID:
    room, days = change.room, change.room.policy.default_days if wish.days is None else wish.days
    _check_wish(change, wish, days)
    until, wanted = change.now + timedelta(days=days), sorted(set(wish.categories))
    if same := _just_given(change, wish, wanted, until):
        return same
    private, public = new_grant_key()
    number = newest_for(change.connection, room.keys)
    shown = notice(change.row.language)
    name = room.clock.new_id()
    row = {
        "id": name,
        "subject_id": change.subject,
        "agency": wish.agency,
        "purpose": wish.purpose,
        "categories": wanted,
        "valid_from": change.now,
        "valid_until": until,
        "notice_version": shown.version,
        "notice_sha256": shown.sha256,
        "language": shown.language,
        "epoch": change.epoch,
        "public_key": public,
    }
    permissions.add_grant(change.connection, row, number, room.keys.wrap(number, private))
    words.keep(change.connection, name, change.subject, public, wish.words)
    told = {name: row[name] for name in ("purpose", "categories", "notice_version", "notice_sha256")}
    change.record("grant.given", wish.agency, grant=str(name), days=days, **told)
    return name


def _just_given(change: Change, wish: Wish, categories: list[str], until: datetime) -> UUID | None:
    """The same grant, given a moment ago: an answer was lost on a bad line, or a button was pressed twice.

    A second grant would outlive the taking back of the first, which she would not expect.
    """
    for grant in permissions.live_grants(change.connection, change.subject):
        told_the_same = (grant.agency, grant.purpose, grant.categories) == (wish.agency, wish.purpose, categories)
        if told_the_same and until - SAME_GRANT <= grant.valid_until <= until:
            grant_id: UUID = grant.id
            return grant_id
    return None


def _check_wish(change: Change, wish: Wish, days: int) -> None:
    policy = change.room.policy
    known = change.room.roster.find(change.connection, [wish.agency]).get(wish.agency)
    faults = []
    if known is None or known.standing != "active":
        faults.append(Fault("/agency", "No such agency is active here.", "the id of an active agency"))
    if wish.purpose not in policy.purposes:
        faults.append(Fault("/purpose", "Not one of the codes.", ", ".join(sorted(policy.purposes))))
    if not wish.categories or not policy.categories.issuperset(wish.categories):
        accepted = ", ".join(sorted(policy.categories))
        faults.append(Fault("/categories", "Empty, or not all of them codes.", accepted))
    if not 1 <= days <= policy.maximum_days:
        faults.append(Fault("/days", "Too short or too long.", f"1 to {policy.maximum_days}"))
    if wish.words and ("summary" not in wish.categories or len(wish.words) > words.LONGEST):
        faults.append(
            Fault("/words", "Too long, or without the category that they are of.", f"{words.LONGEST} letters")
        )
    if known and any((known.sector, category) in policy.floors for category in wish.categories):
        faults.append(Fault("/categories", "One of these is never shared with this kind of agency, for your safety."))
    if faults:
        raise invalid(*faults)


def _check_codes(room: Room, rule: Rule) -> None:
    codes = (
        ("sector", rule.sector, room.policy.sectors),
        ("category", rule.category, room.policy.categories),
        ("purpose", rule.purpose, room.policy.purposes),
    )
    wrong = [
        Fault(f"/{name}", "Not one of the codes.", ", ".join(sorted(known)))
        for name, code, known in codes
        if code not in known | {None}
    ]
    if wrong:
        raise invalid(*wrong)
