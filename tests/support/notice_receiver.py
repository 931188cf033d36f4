"""A minimal receiver of notices: it verifies them, keeps them by grant and epoch, and stops all use when in doubt."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.common.auth.jose import key_set, verify
from services.consent.security_event_tokens import AGAIN, STOP
from tests.support.consent import Agency, House

NEEDED = ("grant", "purpose", "categories", "epoch", "action", "due")


@dataclass(slots=True)
class Receiver:
    """Keeps which data an agency may still use; it accepts notices in any order and any number of times."""

    stopped_for: set[str] = field(default_factory=set)
    notices: dict[str, dict[int, tuple[str, frozenset[str]]]] = field(default_factory=dict)

    def take(self, claims: Mapping[str, Any]) -> None:
        """Apply the claims of a notice."""
        [(kind, said)] = claims["events"].items()
        needed = NEEDED if kind != AGAIN else NEEDED[:-2]
        if any(said.get(name) in (None, [], "") for name in needed):
            # A member is missing, so the meaning is unknown: stop all use for this person.
            self.stopped_for.add(claims.get("sub_id", {}).get("id", ""))
            return
        action = "use_again" if kind == AGAIN else said["action"]
        self.notices.setdefault(said["grant"], {})[said["epoch"]] = action, frozenset(said["categories"])

    def usable(self, grant: str, opened: frozenset[str], ppid: str = "") -> frozenset[str]:
        """Return the categories, of those opened under a grant, that may be used now."""
        if ppid in self.stopped_for or "" in self.stopped_for:
            return frozenset()
        for _, (action, categories) in sorted(self.notices.get(grant, {}).items()):
            if action in {"delete", "return"}:
                return frozenset()
            opened = opened | categories if action == "use_again" else opened - categories
        return opened


def poll(house: House, agency: Agency, **body: Any) -> tuple[dict[str, Mapping[str, Any]], bool]:
    """Poll once; return the claims by id, each verified with the published keys, and whether more are waiting."""
    answer = house.call(agency, "/consent/v1/notices/poll", body)
    assert answer.status_code == 200, answer.text
    keys = key_set(house.http.get(f"{house.url}/consent/jwks.json").json()["keys"])
    sets = {name: verify(token, keys, "notice") for name, token in answer.json()["sets"].items()}
    for name, signed in sets.items():
        assert signed.header["typ"] == "secevent+jwt"
        assert (signed.claims["jti"], signed.claims["aud"]) == (name, agency.id)
        assert signed.claims["iss"] == f"{house.url}/consent"
    return {name: signed.claims for name, signed in sets.items()}, answer.json()["moreAvailable"]


def catch_up(house: House, agency: Agency) -> list[Mapping[str, Any]]:
    """Poll and acknowledge until nothing is waiting; return the claims in order."""
    brought: list[Mapping[str, Any]] = []
    sets, _ = poll(house, agency)
    while sets:
        brought += sets.values()
        sets, _ = poll(house, agency, ack=sorted(sets))
    return brought


def said(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event members of a notice, with its kind (`stop` or `again`)."""
    [(kind, content)] = claims["events"].items()
    return {"kind": {STOP: "stop", AGAIN: "again"}[kind], **content}


def shuffled(claims: list[Mapping[str, Any]], seed: int) -> list[Mapping[str, Any]]:
    """Return the notices in another order, some of them several times."""
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    more = claims + [chance.choice(claims) for _ in range(len(claims))]
    chance.shuffle(more)
    return more
