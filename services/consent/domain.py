"""Decides: from what a survivor allows and forbids, a permit or deny for each category; pure, total, order-free.

Nothing here reads a clock, a database or a setting. Unknown, malformed or unreadable input denies. The rules by name, with a
sentence for her about each, are in `schemas/codes/rules.json`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Grant:
    """A permit: to one agency, for one purpose, for listed categories, from `valid_from` until before `valid_until`."""

    id: UUID
    agency: str
    purpose: str
    categories: frozenset[str]
    valid_from: datetime
    valid_until: datetime
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Restriction:
    """A deny. None matches everything; `readable` is False for a rule that could not be read, which denies everything."""

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
    """All facts about one survivor that a decision may rest on, read at one instant."""

    state: str
    epoch: int
    recipient: Recipient | None
    grants: Sequence[Grant] = ()
    restrictions: Sequence[Restriction] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """The question: may this agency, for this purpose, have these categories (under this grant only, if one is named)?

    `until` is the end of the access token that the caller presented, if there is one.
    """

    agency: str
    purpose: str
    categories: frozenset[str]
    grant: UUID | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules that hold for everybody, as reviewed data (`schemas/policies`), with the codes that they use."""

    version: str
    purposes: frozenset[str]
    categories: frozenset[str]
    sectors: frozenset[str]
    floors: frozenset[tuple[str, str]]
    """Pairs of sector and category that no grant can permit."""
    default_days: int
    maximum_days: int
    until: datetime | None = None
    """End of this version; None while no other replaces it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one category, with the rule that gave it and, for a permit, the grants that allow it."""

    permitted: bool
    rule: str
    grants: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for every category asked for; `valid_until` is the earliest end of all that a permit rests on."""

    verdicts: Mapping[str, Verdict]
    epoch: int
    policy_version: str
    valid_until: datetime | None

    @property
    def permitted(self) -> frozenset[str]:
        """The permitted categories."""
        return frozenset(category for category, verdict in self.verdicts.items() if verdict.permitted)


def decide(snapshot: Snapshot, request: Request, now: datetime, policy: Policy) -> Decision:
    """Decide each category by itself; the first rule that denies is named, and a permit needs every rule to pass.

    Total: if reading the input fails in any way, every category asked for is denied.
    """
    try:
        return _decide(snapshot, request, now, policy)
    except Exception:  # noqa: BLE001 - a caller without an answer could go on as if permitted
        return Decision(dict.fromkeys(_asked(request), _deny("unreadable")), 0, "", None)


def best_grant(decision: Decision, grants: Iterable[Grant]) -> Grant | None:
    """Return the grant to seal under: it opens most of the permitted categories, then lasts longest; None without any."""

    def worth(grant: Grant) -> tuple[int, datetime, UUID]:
        opened = sum(grant.id in verdict.grants for verdict in decision.verdicts.values())
        return opened, grant.valid_until, grant.id

    used = {grant for verdict in decision.verdicts.values() for grant in verdict.grants}
    return max((grant for grant in grants if grant.id in used), key=worth, default=None)


def _decide(snapshot: Snapshot, request: Request, now: datetime, policy: Policy) -> Decision:
    barred = _barred(snapshot, request, now, policy)
    if barred is not None:
        verdicts = dict.fromkeys(sorted(request.categories), barred)
        return Decision(verdicts, snapshot.epoch, policy.version, None)
    sector = snapshot.recipient.sector if snapshot.recipient else ""
    forbidden = _forbidden(snapshot.restrictions, sector, request, policy)
    live = _live(snapshot.grants, request, now)
    verdicts = {
        category: _on_category(category, sector, forbidden, live, policy) for category in sorted(request.categories)
    }
    return Decision(verdicts, snapshot.epoch, policy.version, _until(verdicts, live, request, policy))


def _barred(snapshot: Snapshot, request: Request, now: datetime, policy: Policy) -> Verdict | None:
    """Return the verdict that denies every category alike; None if no rule does."""
    recipient = snapshot.recipient
    if snapshot.state == "paused":
        return _deny("paused")
    if snapshot.state != "active":
        return _deny("no-such-person")
    if request.purpose not in policy.purposes:
        return _deny("unknown-purpose")
    if recipient is None or recipient.id != request.agency or recipient.sector not in policy.sectors:
        return _deny("unknown-agency")
    return _deny("agency-not-active") if recipient.standing != "active" else _over(request, now, policy)


def _over(request: Request, now: datetime, policy: Policy) -> Verdict | None:
    """Return a denying verdict if the caller's token or the policy has ended; None otherwise."""
    if request.until is not None and request.until <= now:
        return _deny("token-over")
    if policy.until is not None and policy.until <= now:
        return _deny("policy-over")
    return None


def _forbidden(restrictions: Iterable[Restriction], sector: str, request: Request, policy: Policy) -> set[str | None]:
    """Return the categories that restrictions deny here; None among them stands for all categories."""
    forbidden: set[str | None] = set()
    for rule in restrictions:
        if not is_readable(rule, policy):
            forbidden.add(None)
        elif _matches(rule, sector, request):
            forbidden.add(rule.category)
    return forbidden


def _on_category(
    category: str, sector: str, forbidden: set[str | None], live: Sequence[Grant], policy: Policy
) -> Verdict:
    if category not in policy.categories:
        return _deny("unknown-category")
    if (sector, category) in policy.floors:
        return _deny("policy-floor")
    if category in forbidden or None in forbidden:
        return _deny("restriction")
    allowing = frozenset([grant.id for grant in live if category in grant.categories])
    return Verdict(True, "grant", allowing) if allowing else _deny("no-grant")


def _live(grants: Iterable[Grant], request: Request, now: datetime) -> list[Grant]:
    """Return the grants that permit anything here."""
    agency, purpose = request.agency, request.purpose
    # Most grants are for other agencies: a function call for each of them would take most of the time of a decision.
    meant = [grant for grant in grants if grant.agency == agency and grant.purpose == purpose]
    return [grant for grant in meant if _holds(grant, request, now)]


def _holds(grant: Grant, request: Request, now: datetime) -> bool:
    return (
        grant.ended is False
        and grant.valid_from <= now < grant.valid_until
        and (request.grant is None or request.grant == grant.id)
        # In a string, `in` would find a category inside the name of another.
        and isinstance(grant.categories, frozenset)
    )


def is_readable(rule: Restriction, policy: Policy) -> bool:
    """Tell whether all codes of a restriction are known; one with an unknown code may mean anything, so it denies all."""
    return (
        rule.readable is True
        and (rule.category is None or rule.category in policy.categories)
        and (rule.sector is None or rule.sector in policy.sectors)
        and (rule.purpose is None or rule.purpose in policy.purposes)
        and (rule.agency is None or isinstance(rule.agency, str))
    )


def _matches(rule: Restriction, sector: str, request: Request) -> bool:
    return (
        (rule.agency is None or rule.agency == request.agency)
        and (rule.sector is None or rule.sector == sector)
        and (rule.purpose is None or rule.purpose == request.purpose)
    )


def _until(verdicts: Mapping[str, Verdict], live: Sequence[Grant], request: Request, policy: Policy) -> datetime | None:
    """Return the earliest end among the grants used, the policy and the token; None when nothing is permitted."""
    used = {grant for verdict in verdicts.values() for grant in verdict.grants}
    if not used:
        return None
    ends = [grant.valid_until for grant in live if grant.id in used]
    return min(ends + [end for end in (request.until, policy.until) if end is not None])


def _asked(request: Request) -> list[str]:
    """Return the categories asked for, as far as they can be read."""
    try:
        return sorted(request.categories)
    except Exception:  # noqa: BLE001 - then nothing could be permitted either
        return []


def _deny(rule: str) -> Verdict:
    return Verdict(False, rule)
