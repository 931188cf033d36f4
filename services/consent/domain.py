"""Deciding: from what a survivor allows and forbids to a permit or deny for each category; pure, total, order-free.

Nothing here reads a clock, a database or a setting. Whatever is unknown, malformed or unreadable denies.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Grant:
    """A permit: to one agency, for one purpose, for listed categories, in a half-open span of time."""

    id: UUID
    agency: str
    purpose: str
    categories: frozenset[str]
    valid_from: datetime
    valid_until: datetime
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Restriction:
    """A deny. None matches everything; `readable` is False for a rule that could not be read, which denies all."""

    id: UUID
    agency: str | None = None
    sector: str | None = None
    category: str | None = None
    purpose: str | None = None
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Recipient:
    """The agency that would receive, as the hub knows it now."""

    id: str
    sector: str
    standing: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything about one survivor that a decision may rest on, read at one instant."""

    state: str
    epoch: int
    recipient: Recipient | None
    grants: Sequence[Grant] = ()
    restrictions: Sequence[Restriction] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: may this agency, for this purpose, have these categories (under this very grant, if one is named)?"""

    agency: str
    purpose: str
    categories: frozenset[str]
    grant: UUID | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules that hold for everybody, as reviewed data (`schemas/policies`), with the codes they speak in."""

    version: str
    purposes: frozenset[str]
    categories: frozenset[str]
    sectors: frozenset[str]
    floors: frozenset[tuple[str, str]]
    """Pairs of sector and category that no grant can open."""
    default_days: int
    maximum_days: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one category, with the rule that gave it and, for a permit, the grants that allow it."""

    permitted: bool
    rule: str
    grants: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for every category asked for; `valid_until` is the earliest end of the grants it rests on."""

    verdicts: Mapping[str, Verdict]
    epoch: int
    policy_version: str
    valid_until: datetime | None

    @property
    def permitted(self) -> frozenset[str]:
        """The categories that may be had."""
        return frozenset(category for category, verdict in self.verdicts.items() if verdict.permitted)


def decide(snapshot: Snapshot, request: Request, now: datetime, policy: Policy) -> Decision:
    """Decide each category by itself; the first rule that denies is named, and a permit needs every rule to pass."""
    barred = _barred(snapshot, request, policy)
    live = [grant for grant in snapshot.grants if _is_live(grant, request, now)]
    verdicts = {
        category: barred or _on_category(category, snapshot, request, live, policy)
        for category in sorted(request.categories)
    }
    used = {grant for verdict in verdicts.values() for grant in verdict.grants}
    ends = [grant.valid_until for grant in live if grant.id in used]
    return Decision(verdicts, snapshot.epoch, policy.version, min(ends, default=None))


def best_grant(decision: Decision, grants: Iterable[Grant]) -> Grant | None:
    """The one grant under which to seal: the one that opens most of the permitted categories, then the longest."""

    def worth(grant: Grant) -> tuple[int, datetime, UUID]:
        opened = sum(grant.id in verdict.grants for verdict in decision.verdicts.values())
        return opened, grant.valid_until, grant.id

    used = {grant for verdict in decision.verdicts.values() for grant in verdict.grants}
    return max((grant for grant in grants if grant.id in used), key=worth, default=None)


def _barred(snapshot: Snapshot, request: Request, policy: Policy) -> Verdict | None:
    """A reason that denies every category alike, None if there is none."""
    recipient = snapshot.recipient
    if snapshot.state == "paused":
        return _deny("paused")
    if snapshot.state != "active":
        return _deny("no-such-person")
    if request.purpose not in policy.purposes:
        return _deny("unknown-purpose")
    if recipient is None or recipient.id != request.agency or recipient.sector not in policy.sectors:
        return _deny("unknown-agency")
    if recipient.standing != "active":
        return _deny("agency-not-active")
    return None


def _on_category(category: str, snapshot: Snapshot, request: Request, live: Sequence[Grant], policy: Policy) -> Verdict:
    recipient = snapshot.recipient
    if category not in policy.categories or recipient is None:
        return _deny("unknown-category")
    if (recipient.sector, category) in policy.floors:
        return _deny("policy-floor")
    for restriction in snapshot.restrictions:
        if not _readable(restriction, policy) or _matches(restriction, recipient, request.purpose, category):
            return _deny("restriction")
    allowing = frozenset(grant.id for grant in live if category in grant.categories)
    return Verdict(True, "grant", allowing) if allowing else _deny("no-grant")


def _is_live(grant: Grant, request: Request, now: datetime) -> bool:
    return (
        not grant.ended
        and grant.agency == request.agency
        and grant.purpose == request.purpose
        and grant.valid_from <= now < grant.valid_until
        and request.grant in {None, grant.id}
    )


def _readable(restriction: Restriction, policy: Policy) -> bool:
    """A restriction in codes that are not known here may mean anything, and so forbids everything."""
    codes = (
        (restriction.sector, policy.sectors),
        (restriction.category, policy.categories),
        (restriction.purpose, policy.purposes),
    )
    return restriction.readable and all(code is None or code in known for code, known in codes)


def _matches(restriction: Restriction, recipient: Recipient, purpose: str, category: str) -> bool:
    pairs = (
        (restriction.agency, recipient.id),
        (restriction.sector, recipient.sector),
        (restriction.purpose, purpose),
        (restriction.category, category),
    )
    return all(rule is None or rule == actual for rule, actual in pairs)


def _deny(rule: str) -> Verdict:
    return Verdict(False, rule)
