"""Translates consent rules for three authorization engines, to compare answers and speed; none is part of the product."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import casbin
import cedarpy

from services.consent.domain import Policy, Request, Restriction, Snapshot

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def microseconds(instant: datetime) -> int:
    """Return an instant as microseconds since 1970, because Cedar has only integers."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def readable(rule: Restriction, policy: Policy) -> bool:
    """Tell whether every code of a restriction is known; no engine can express "an unreadable rule forbids everything"."""
    pairs = ((rule.sector, policy.sectors), (rule.category, policy.categories), (rule.purpose, policy.purposes))
    return rule.readable and all(code is None or code in known for code, known in pairs)


# --- Cedar -----------------------------------------------------------------------------------------------------------


def cedar_policies(snapshot: Snapshot, policy: Policy) -> str:
    """Return Cedar policies: grants permit; restrictions, floors, states other than active and unknown codes forbid."""
    return "\n".join(_cedar_rules(snapshot, policy))


def _cedar_rules(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    for grant in snapshot.grants:
        listed = ", ".join(f'Category::"{category}"' for category in sorted(grant.categories))
        window = f"context.now >= {microseconds(grant.valid_from)} && context.now < {microseconds(grant.valid_until)}"
        named = f'(context.grant == "" || context.grant == "{grant.id}")'
        ended = "true" if grant.ended else "false"
        yield (
            f'permit(principal == Agency::"{grant.agency}", action == Action::"{grant.purpose}", resource) '
            f"when {{ [{listed}].contains(resource) && {window} && {named} && !{ended} }};"
        )
    for rule in snapshot.restrictions:
        yield _cedar_forbid(rule) if readable(rule, policy) else "forbid(principal, action, resource);"
    for sector, category in policy.floors:
        yield f'forbid(principal in Sector::"{sector}", action, resource == Category::"{category}");'
    known = (
        'context.state == "active" && context.standing == "active" && context.known && resource in Known::"category"'
    )
    yield f"forbid(principal, action, resource) unless {{ {known} }};"


def _cedar_forbid(rule: Restriction) -> str:
    action = f'action == Action::"{rule.purpose}"' if rule.purpose else "action"
    resource = f'resource == Category::"{rule.category}"' if rule.category else "resource"
    who = [f'principal == Agency::"{rule.agency}"'] if rule.agency else []
    who += [f'principal in Sector::"{rule.sector}"'] if rule.sector else []
    return f"forbid(principal, {action}, {resource}) when {{ {' && '.join(who) or 'true'} }};"


def cedar_entities(snapshot: Snapshot, policy: Policy) -> list[dict[str, Any]]:
    """Return the Cedar entities: the agency in its sector, and the known categories."""
    recipient = snapshot.recipient
    agency = {
        "uid": {"type": "Agency", "id": recipient.id if recipient else ""},
        "attrs": {},
        "parents": [{"type": "Sector", "id": recipient.sector}] if recipient else [],
    }
    known = {"type": "Known", "id": "category"}
    categories = [
        {"uid": {"type": "Category", "id": category}, "attrs": {}, "parents": [known]} for category in policy.categories
    ]
    return [agency, *categories]


def cedar_question(
    snapshot: Snapshot, request: Request, category: str, now: datetime, policy: Policy
) -> dict[str, Any]:
    """Return the Cedar request for one category."""
    recipient = snapshot.recipient
    known = recipient is not None and recipient.id == request.agency and recipient.sector in policy.sectors
    return {
        "principal": f'Agency::"{request.agency}"',
        "action": f'Action::"{request.purpose}"',
        "resource": f'Category::"{category}"',
        "context": {
            "now": microseconds(now),
            "grant": str(request.grant) if request.grant else "",
            "state": snapshot.state,
            "standing": recipient.standing if recipient else "",
            "known": known and request.purpose in policy.purposes,
        },
    }


def cedar_permits(snapshot: Snapshot, request: Request, now: datetime, policy: Policy) -> set[str]:
    """Return the categories that Cedar permits; an answer with diagnostic errors counts as a denial."""
    policies, entities = cedar_policies(snapshot, policy), cedar_entities(snapshot, policy)
    permitted = set()
    for category in request.categories:
        answer = cedarpy.is_authorized(cedar_question(snapshot, request, category, now, policy), policies, entities)
        if answer.allowed and not answer.diagnostics.errors:
            permitted.add(category)
    return permitted


# --- OpenFGA ---------------------------------------------------------------------------------------------------------

FGA = Path(sys.executable).parent / "fga"
FGA_MODEL = """model
  schema 1.1
type agency
type sector
  relations
    define member: [agency]
type grant
  relations
    define holder: [agency with live]
type part
  relations
    define by: [grant]
    define denied: [agency, agency:*, sector#member]
    define can: holder from by but not denied
condition live(now: timestamp, start: timestamp, end: timestamp) {
  now >= start && now < end
}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One decision to compare with OpenFGA: the categories permitted of those requested."""

    snapshot: Snapshot
    request: Request
    permitted: frozenset[str]


def fga_agrees(cases: Sequence[Case], now: datetime, policy: Policy, folder: Path) -> tuple[bool, str]:
    """Run all cases in one run of the `fga` program; return whether it agrees with each, and its output."""
    tests = {"name": "agreement", "model": FGA_MODEL, "tuples": [], "tests": [{"name": "all", "check": []}]}
    tuples, checks = [], []
    for number, case in enumerate(cases):
        tuples += _fga_tuples(f"c{number}", case, policy)
        checks += _fga_checks(f"c{number}", case, now)
    tests |= {"tuples": tuples, "tests": [{"name": "all", "check": checks}]}
    file = folder / "agreement.fga.yaml"
    file.write_text(json.dumps(tests))
    done = subprocess.run([FGA, "model", "test", "--tests", file], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def _name(text: str) -> str:
    return text.encode().hex() or "none"


def _fga_tuples(case: str, one: Case, policy: Policy) -> list[dict[str, Any]]:
    snapshot, request = one.snapshot, one.request
    found: dict[tuple[str, str, str], dict[str, Any]] = {}

    def add(user: str, relation: str, thing: str, condition: Mapping[str, Any] | None = None) -> None:
        row: dict[str, Any] = {"user": user, "relation": relation, "object": thing}
        found[user, relation, thing] = row | ({"condition": condition} if condition else {})

    parts = {category: f"part:{case}-{_name(category)}" for category in request.categories}
    recipient = snapshot.recipient
    if recipient:
        add(f"agency:{case}-{_name(recipient.id)}", "member", f"sector:{case}-{_name(recipient.sector)}")
    for grant in snapshot.grants:
        if grant.ended or grant.purpose != request.purpose or request.grant not in {None, grant.id}:
            continue
        live = {"name": "live", "context": {"start": _instant(grant.valid_from), "end": _instant(grant.valid_until)}}
        add(f"agency:{case}-{_name(grant.agency)}", "holder", f"grant:{case}-{grant.id}", live)
        for category in grant.categories & request.categories:
            add(f"grant:{case}-{grant.id}", "by", parts[category])
    for category, part in parts.items():
        for user in _fga_denied(case, one, category, policy):
            add(user, "denied", part)
    return list(found.values())


def _fga_denied(case: str, one: Case, category: str, policy: Policy) -> Iterator[str]:
    recipient, purpose = one.snapshot.recipient, one.request.purpose
    known = recipient and recipient.id == one.request.agency and recipient.sector in policy.sectors
    active = one.snapshot.state == "active" and recipient is not None and recipient.standing == "active"
    if not known or not active or category not in policy.categories or purpose not in policy.purposes:
        yield "agency:*"
    yield from (f"sector:{case}-{_name(sector)}#member" for sector, closed in policy.floors if closed == category)
    for rule in one.snapshot.restrictions:
        if not readable(rule, policy):
            yield "agency:*"
        elif rule.category in {None, category} and rule.purpose in {None, purpose}:
            # A restriction on an agency in a sector holds for that agency only if it is in that sector.
            if rule.agency and (not rule.sector or (recipient and rule.sector == recipient.sector)):
                yield f"agency:{case}-{_name(rule.agency)}"
            elif not rule.agency:
                yield f"sector:{case}-{_name(rule.sector)}#member" if rule.sector else "agency:*"


def _fga_checks(case: str, one: Case, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "user": f"agency:{case}-{_name(one.request.agency)}",
            "object": f"part:{case}-{_name(category)}",
            "context": {"now": _instant(now)},
            "assertions": {"can": category in one.permitted},
        }
        for category in sorted(one.request.categories)
    ]


def _instant(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


# --- Casbin ----------------------------------------------------------------------------------------------------------

CASBIN_MODEL = """
[request_definition]
r = agency, sector, purpose, category, now
[policy_definition]
p = agency, sector, purpose, category, start, end, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = fits(r.agency, p.agency) && fits(r.sector, p.sector) && fits(r.purpose, p.purpose) && fits(r.category, p.category) \
&& within(r.now, p.start, p.end)
"""


def casbin_enforcer(snapshot: Snapshot, policy: Policy) -> casbin.Enforcer:
    """Return a Casbin enforcer with grants as allowing rules, restrictions and floors as denying rules."""
    enforcer = casbin.Enforcer(casbin.Enforcer.new_model(text=CASBIN_MODEL))
    enforcer.add_function("fits", lambda asked, rule: rule in {"*", asked})
    enforcer.add_function("within", lambda now, start, end: int(start) <= now < int(end))
    always = ("0", str(2**62))
    for grant in snapshot.grants:
        times = (str(microseconds(grant.valid_from)), str(microseconds(grant.valid_until)))
        for category in grant.categories:
            enforcer.add_policy(grant.agency, "*", grant.purpose, category, *times, "allow")
    for rule in snapshot.restrictions:
        fields = (part or "*" for part in (rule.agency, rule.sector, rule.purpose, rule.category))
        enforcer.add_policy(*fields, *always, "deny")
    for sector, category in policy.floors:
        enforcer.add_policy("*", sector, "*", category, *always, "deny")
    return enforcer
