"""Gives and takes back: grants, restrictions, pause, resume, and revoking by card or on her word."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import schemas
from services.common import metrics
from services.common.errors import Fault, Problem, invalid, not_found
from services.common.roster import Agency
from services.consent.context import Context
from services.consent.handlers.grants import approved_texts, drafts, notes, pending
from services.consent.handlers.grants.changes import Change, changing
from services.consent.key_encryption import new_grant_key
from services.consent.policy import privacy_notice
from services.consent.store import pending_grants as waits
from services.consent.store import permissions, subjects, texts
from services.consent.store.keys import newest_for

SAME_GRANT = timedelta(minutes=10)
CONFLICT = "someone_works_there"


@dataclass(frozen=True, slots=True)
class Wish:
    """A grant that she would give: one agency, one purpose, categories, for a number of days (None: the default).

    `second_look_by` names the agency that gives the second look, where one is needed. `note` is hers for this agency: if she
    writes one, it is the `summary` that the agency reads, whatever was sent. `texts` are the parts that she has read: then
    only these may be sent, word for word; None allows any text of the categories. `request` is the one that brought them.
    """

    agency: str
    purpose: str
    categories: Sequence[str]
    days: int | None = None
    second_look_by: str | None = None
    note: str | None = None
    texts: Mapping[str, Any] | None = None
    request: UUID | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The part of a request that she allows, and her note for it."""

    categories: Sequence[str]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A restriction; None matches everything. The reason is for her alone, and a code, so that no name can stand in it."""

    agency: str | None = None
    sector: str | None = None
    category: str | None = None
    purpose: str | None = None
    reason: str | None = None


def give_grant(context: Context, subject: UUID, wish: Wish) -> UUID:
    """Make a grant with its own key pair, or a pending grant that waits for a second look; return its id, which it keeps."""
    with changing(context, subject) as change:
        return _give(change, wish)


def give_after_second_look(change: Change, wish: Wish, name: UUID) -> None:
    """Make the grant that has waited for a second look under this id."""
    _check_wish(change, wish)
    _make(change, wish, name)


def revoke_grant(context: Context, subject: UUID, grant: UUID) -> None:
    """End one grant or pending grant; ending an ended one changes nothing and succeeds. Raises 404."""
    with changing(context, subject) as change:
        row = permissions.get_grant(change.connection, grant)
        if row is not None and row.subject_id == subject:
            change.end([row] if row.ended_at is None else [], "revoked")
        elif not pending.take_back(change, waits.named(grant)):
            raise not_found()
    metrics.revocations.add(1, {"kind": "grant"})


def revoke_all(context: Context, subject: UUID, *, told_to: str | None = None, only_to: str | None = None) -> int:
    """End every grant, or those to one agency; return how many. `told_to` is the agency that passes on her spoken word."""
    with changing(context, subject) as change:
        live = permissions.live_grants(change.connection, subject)
        ending = [grant for grant in live if only_to in {None, grant.agency}]
        change.end(ending, "revoked", **({"told_to": told_to} if told_to else {}))
        # A pending grant would otherwise become a grant after she has taken everything back.
        waited = pending.take_back(change, *([waits.to(only_to)] if only_to else []))
        if not ending and not waited:
            change.record("nothing.to.end", told_to)
    metrics.revocations.add(1, {"kind": "word" if told_to else "card"})
    return len(ending)


def restrict(context: Context, subject: UUID, rule: Rule) -> UUID:
    """Add a restriction, which wins over every grant at once; return its id, or that of an equal one in force. Raises 400."""
    if replace(rule, reason=None) == Rule():
        raise invalid(Fault("", "A restriction must name something.", "agency, sector, category or purpose"))
    _check_codes(context, rule)
    with changing(context, subject) as change:
        _check_agency(change, rule)
        if same := _forbidden_already(change, rule):
            return same
        name = context.clock.new_id()
        parts = {"sector": rule.sector, "category": rule.category, "purpose": rule.purpose, "reason": rule.reason}
        row = {"id": name, "subject_id": subject, "agency": rule.agency, "created_at": change.now, **parts}
        with change.telling_what_flows() as told:
            permissions.add_restriction(change.connection, row)
        change.record("restriction.added", rule.agency, restriction=str(name), notices=told, **parts)
    metrics.revocations.add(1, {"kind": "restriction"})
    return name


def lift_restriction(context: Context, subject: UUID, restriction: UUID) -> None:
    """Lift a restriction, so that grants permit again what it denied; raise 404."""
    with changing(context, subject) as change:
        with change.telling_what_flows() as told:
            if not permissions.lift_restriction(change.connection, subject, restriction, change.now):
                raise not_found()
        change.record("restriction.lifted", restriction=str(restriction), notices=told)


def pause(context: Context, subject: UUID) -> None:
    """Pause everything until she resumes; grants and keys stay."""
    with changing(context, subject) as change:
        with change.telling_what_flows() as told:
            subjects.change_subject(change.connection, subject, state="paused")
        change.record("paused", notices=told)
    metrics.revocations.add(1, {"kind": "pause"})


def resume(context: Context, subject: UUID) -> None:
    """Resume, so that her grants permit again."""
    with changing(context, subject) as change:
        with change.telling_what_flows() as told:
            subjects.change_subject(change.connection, subject, state="active")
        change.record("resumed", notices=told)


@dataclass(frozen=True, slots=True)
class Answer:
    """Her answer to a request: yes or "not now".

    With a yes go the number of days, the agency that gives a second look if one is needed, and what she has `chosen` if that
    is less than all. `only_this` binds it to the texts of the request's drafts; None does so where drafts came. `agency` is
    the one that she chose where the request is about one of several.
    """

    accept: bool
    days: int | None = None
    second_look_by: str | None = None
    chosen: Chosen | None = None
    only_this: bool | None = None
    agency: str | None = None


def answer_request(context: Context, subject: UUID, request: UUID, answer: Answer) -> UUID | None:
    """Answer an agency's request; a yes makes the grant. Return the grant, None after a no; raise 404 if none is open.

    The drafts of the request go with the answer.
    """
    with changing(context, subject) as change:
        row = permissions.answer_request(change.connection, subject, request, accepted=answer.accept, now=change.now)
        if row is None:
            raise not_found()
        change.record("request.answered", row.asked_by, request=str(request), accepted=answer.accept)
        made = _give(change, _answered(change, row, answer)) if answer.accept else None
        texts.forget_drafts(change.connection, change.now, subject)
        return made


def _answered(change: Change, row: Any, answer: Answer) -> Wish:
    """Return the grant that a yes to a request means; raise 400 for more than was asked for."""
    chosen = answer.chosen or Chosen(row.categories)
    if not set(chosen.categories) <= set(row.categories):
        raise invalid(Fault("/categories", "More than was asked for.", ", ".join(row.categories)))
    agency = _chosen_agency(change, row, answer)
    wish = Wish(agency, row.purpose, chosen.categories, answer.days, answer.second_look_by, note=chosen.note)
    # Drafts that came and cannot be opened any more bind her yes all the same: then to nothing.
    only_this = row.drafts_digest is not None if answer.only_this is None else answer.only_this
    if not only_this:
        return wish
    read = drafts.read(change.context, change.connection, [row.id]).get(row.id, {})
    hers = {approved_texts.HERS} if wish.note else set()
    bound = {category: part for category, part in read.items() if category in {*chosen.categories} - hers}
    return replace(wish, categories=sorted(bound.keys() | hers), texts=bound, request=row.id)


def _chosen_agency(change: Change, row: Any, answer: Answer) -> str:
    """Return the agency that a yes is for; raise 400 unless it is one that the request names. Nothing chooses for her."""
    chosen: str | None = answer.agency or row.agency
    if chosen is None or chosen not in row.choices:
        raise invalid(Fault("/agency", "Not one of those that the request names.", ", ".join(row.choices)))
    if row.agency is None:
        permissions.choose(change.connection, row.id, chosen)
    return chosen


def end_lapsed(context: Context, limit: int = 100) -> int:
    """End grants that have expired, with the consequences of a revocation; return how many grants were found.

    Each decision already denies an expired grant by comparing times; this destroys its key.
    """
    with context.database.reading() as connection:
        lapsed = permissions.lapsed_grants(connection, context.clock.now(), limit)
    for subject in sorted({row.subject_id for row in lapsed}):
        # She may have been erased since, or be locked. One of many must not delay the others; the next run handles her.
        with suppress(Problem), changing(context, subject) as change:
            live = permissions.live_grants(change.connection, subject)
            change.end([grant for grant in live if grant.valid_until <= change.now], "expired")
    return len(lapsed)


def _give(change: Change, wish: Wish) -> UUID:
    recipient, wanted = _check_wish(change, wish), sorted(set(wish.categories))
    if not change.context.duty_rules.needs_second_look(change.row.age_band, recipient.sector, wanted):
        made = _make(change, wish, change.context.clock.new_id())
        # Also for a grant that existed a moment ago: of two notes she means the later.
        notes.keep(change.connection, made, wish.note)
        return made
    if wish.note:
        raise invalid(
            Fault("/words", "Your own words can be given once somebody has looked at this with you.", "none yet")
        )
    if wish.texts is not None and wish.request is None:
        raise invalid(Fault("", "What needs a second look is asked for anew, with its texts.", "a new request"))
    days = _days(change.context, wish)
    row = {"agency": wish.agency, "purpose": wish.purpose, "categories": wanted, "days": days}
    row["only_this_of"] = None if wish.texts is None else wish.request
    return pending.wait(change, row, wish.second_look_by)


def _make(change: Change, wish: Wish, name: UUID) -> UUID:
    context, days = change.context, _days(change.context, wish)
    until, wanted = change.now + timedelta(days=days), sorted(set(wish.categories))
    if same := _just_given(change, wish, wanted, until):
        return same
    private, public = new_grant_key()
    number = newest_for(change.connection, context.keys)
    shown = privacy_notice(change.row.language)
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
        "agency_epoch": 1,
        "public_key": public,
        "only_this": wish.texts is not None,
    }
    permissions.add_grant(change.connection, row, number, context.keys.wrap(number, private))
    approved_texts.bind(change.connection, name, change.subject, private, wish.texts or {})
    told = {name: row[name] for name in ("purpose", "categories", "notice_version", "notice_sha256", "only_this")}
    change.record("grant.given", wish.agency, grant=str(name), days=days, **told)
    return name


def _just_given(change: Change, wish: Wish, categories: list[str], until: datetime) -> UUID | None:
    """Return an equal grant given a moment ago: an answer was lost on a bad connection, or a button was pressed twice.

    A second grant would stay after she takes back the first, which she would not expect.
    """
    for grant in permissions.live_grants(change.connection, change.subject):
        told_the_same = (grant.agency, grant.purpose, grant.categories) == (wish.agency, wish.purpose, categories)
        soon = until - SAME_GRANT <= grant.valid_until <= until
        if told_the_same and soon and _allows_the_same(change, grant, wish):
            grant_id: UUID = grant.id
            return grant_id
    return None


def _allows_the_same(change: Change, grant: Any, wish: Wish) -> bool:
    """Tell whether a grant is bound to the texts of a wish, or to none as it."""
    if not grant.only_this or wish.texts is None:
        return not grant.only_this and wish.texts is None
    return approved_texts.holds(
        approved_texts.read(change.context, change.connection, [grant.id]), grant.id, wish.texts
    )


def _days(context: Context, wish: Wish) -> int:
    return context.policy.default_days if wish.days is None else wish.days


def code_faults(context: Context, wish: Wish) -> list[Fault]:
    """Return a fault for a purpose or categories that are unknown codes."""
    policy, faults = context.policy, []
    if wish.purpose not in policy.purposes:
        faults.append(Fault("/purpose", "Not one of the codes.", ", ".join(sorted(policy.purposes))))
    if not wish.categories or not policy.categories.issuperset(wish.categories):
        accepted = ", ".join(sorted(policy.categories))
        faults.append(Fault("/categories", "Empty, or not all of them codes.", accepted))
    return faults


def _check_wish(change: Change, wish: Wish) -> Agency:
    """Return the recipient of a wish; raise a 400 problem that names everything wrong with it."""
    policy, days = change.context.policy, _days(change.context, wish)
    known = change.context.roster.find(change.connection, [wish.agency]).get(wish.agency)
    faults = []
    if known is None or known.standing != "active":
        faults.append(Fault("/agency", "No such agency is active here.", "the id of an active agency"))
    faults += code_faults(change.context, wish)
    if not 1 <= days <= policy.maximum_days:
        faults.append(Fault("/days", "Too short or too long.", f"1 to {policy.maximum_days}"))
    if wish.note and ("summary" not in wish.categories or len(wish.note) > notes.LONGEST):
        faults.append(
            Fault("/words", "Too long, or without the category that they are of.", f"{notes.LONGEST} letters")
        )
    if known and any((known.sector, category) in policy.floors for category in wish.categories):
        faults.append(Fault("/categories", "One of these is never shared with this kind of agency, for your safety."))
    if faults or known is None:
        raise invalid(*faults)
    return known


def _forbidden_already(change: Change, rule: Rule) -> UUID | None:
    """Return an equal restriction in force: a second one would stay after she lifts the first."""
    for row in permissions.restrictions_of(change.connection, change.subject):
        if Rule(row.agency, row.sector, row.category, row.purpose, row.reason) == rule:
            restriction_id: UUID = row.id
            return restriction_id
    return None


def _check_agency(change: Change, rule: Rule) -> None:
    """Raise 400 unless the agency is known: an id fits there, never the name of somebody who works there."""
    if rule.agency is not None and not change.context.roster.find(change.connection, [rule.agency]):
        raise invalid(Fault("/agency", "No such agency is known here.", "the id of an agency"))


def _check_codes(context: Context, rule: Rule) -> None:
    codes = (
        ("sector", rule.sector, context.policy.sectors),
        ("category", rule.category, context.policy.categories),
        ("purpose", rule.purpose, context.policy.purposes),
        ("reason", rule.reason, schemas.code_set("restriction_reasons")),
    )
    wrong = [
        Fault(f"/{name}", "Not one of the codes.", ", ".join(sorted(known)))
        for name, code, known in codes
        if code not in known | {None}
    ]
    if rule.reason == CONFLICT and rule != Rule(agency=rule.agency or "", reason=CONFLICT):
        wrong.append(Fault("", "Where somebody works who must not know, nothing goes at all.", "agency and reason"))
    if wrong:
        raise invalid(*wrong)
