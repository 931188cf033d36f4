"""A made-up cohort: plainly synthetic people at eight cities' agencies, played through the public API only.

    python examples/cohort.py HUB FOLDER --size 50 --seed 1

FOLDER holds the agencies' credentials: files that end in `.jsonl`, one agency a line,
`{"client_id": "agency-...", "sector": "housing", "region": "toronto", "key": {private JWK}}`.

One seed and one set of agencies always give the same plan, on every hub. No person is kept in memory after her turn.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import httpx2
from joserfc.errors import JoseError

from examples.cohort_plan import CITIES, Ask, Place, Plan, plans
from services.client import Origins, Partner, Refused, Survivor

FINAL = {"completed", "declined"}
WISHES = {
    "summary": {"text": "Sample {name} would like someone kind to help with the next step."},
    "housing": {"needs": "A quiet room, ground floor if there is one."},
    "health": {"needs": "Would like to see a nurse this week."},
    "legal": {"needs": "Would like somebody to explain the letters."},
    "safety": {"needs": "Likes to know who is at the door."},
    "culture": {"needs": "Would like to talk with an elder."},
    "contact": {"method": "through_sender"},
}
WAIT_SECONDS = 30.0
PROGRESS_STEPS = 20
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Thread:
    """A referral that was sent: its two agencies, its plan, and the state that both should see."""

    id: str
    sender: str
    recipient: str
    purpose: str
    state: str


@dataclass(slots=True)
class Cohort:
    """The hub and its agencies' systems, under the names that plans use."""

    origins: Origins
    agencies: Mapping[str, Partner]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    # Up to where each agency has read its inbox.
    cursors: dict[str, str] = field(default_factory=dict)
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=WAIT_SECONDS))

    def play(self, plan: Plan) -> list[Thread]:
        """Play one person's plan and return her referrals, after both sides see the expected state."""
        sender = self.agencies[plan.sender]
        registered = sender.call("POST", "/consent/v1/subjects", {"language": plan.language})
        person = Survivor(self.origins, self.http)
        grants = self._come_in(person, plan, registered["claim_code"]) if plan.claims else {}
        sent = [(ask, self._send(plan, ask, registered["ppid"])) for ask in plan.asks]
        threads = [self._answer(plan, ask, thread) for ask, thread in sent if thread]
        if plan.then == "pause":
            person.call("POST", "/pause")
        if plan.then == "revoke":
            threads = self._revoke(person, grants, threads)
        self.http.cookies.clear()
        return threads

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
        for agency in self.agencies.values():
            agency.close()

    def _come_in(self, person: Survivor, plan: Plan, code: str) -> dict[tuple[str, str], str]:
        claimed = person.claim(code)
        person.step_up(claimed["pin"])
        if plan.counted:
            person.call("PUT", "/statistics", {"on": True})
        wanted: dict[tuple[str, str], set[str]] = {}
        for ask in plan.asks:
            wanted.setdefault((ask.to, ask.purpose), set()).update(ask.allowed)
        return {
            (to, purpose): person.allow(self.agencies[to].client_id, purpose, sorted(categories))
            for (to, purpose), categories in wanted.items()
            if categories
        }

    def _send(self, plan: Plan, ask: Ask, ppid: str) -> str | None:
        """Post the need and the referral; return the referral's id if any part was sealed, else None."""
        sender = self.agencies[plan.sender]
        routing = {"need": ask.need, "stage": ask.stage, "region": plan.region}
        about = {"subject": ppid, "time": (self.now - timedelta(days=plan.days_ago)).isoformat()}
        sender.post({"type": "need.recorded.v1", **about, "data": routing})
        parts = {part: {word: text.format(name=plan.name) for word, text in WISHES[part].items()} for part in ask.parts}
        to = self.agencies[ask.to].client_id
        data = {"to": to, "purpose": ask.purpose, "urgency": ask.urgency, "parts": parts, **routing}
        result = sender.post({"type": "referral.requested.v1", **about, "data": data})
        return str(result["thread"]) if result["status"] == "accepted" else None

    def _answer(self, plan: Plan, ask: Ask, thread: str) -> Thread:
        recipient = self.agencies[ask.to]
        envelope = _until(lambda: self._envelope(ask.to, thread))
        recipient.call("POST", "/consent/v1/openings", {"envelope": envelope})
        members = {"declined": "reason", "waitlisted": "wait", "completed": "outcome"}
        for answer in ask.answers:
            more = {members[answer]: ask.detail[answer]} if answer in members else {}
            recipient.post({"type": f"referral.{answer}.v1", "data": {"referral": thread, **more}})
        state = ask.answers[-1] if ask.answers else "requested"
        return self._settled(Thread(thread, plan.sender, ask.to, ask.purpose, state))

    def _revoke(
        self, person: Survivor, grants: Mapping[tuple[str, str], str], threads: Sequence[Thread]
    ) -> list[Thread]:
        """Revoke her first grant, if she gave one: every open referral under it is withdrawn."""
        first = next(iter(grants), None)
        if first is not None:
            person.revoke(grants[first])
        return [
            self._settled(replace(thread, state="withdrawn"))
            if (thread.recipient, thread.purpose) == first and thread.state not in FINAL
            else thread
            for thread in threads
        ]

    def _envelope(self, place: str, thread: str) -> str | None:
        """Return the envelope of a referral, from the new items of its recipient's inbox."""
        partner, after = self.agencies[place], self.cursors.get(place)
        while True:
            page = partner.call("GET", "/referral/v1/inbox" + (f"?cursor={after}" if after else ""))
            for item in page["items"]:
                if item["referral"] == thread:
                    self.cursors[place] = after or ""
                    return str(item["envelope"])
            if page["next"] is None:
                return None
            after = page["next"]

    def _settled(self, thread: Thread) -> Thread:
        """Wait until both sides see the expected state of a referral."""
        path = f"/referral/v1/referrals/{thread.id}"
        sides = [self.agencies[place] for place in (thread.sender, thread.recipient)]
        _until(lambda: all(side.call("GET", path)["state"] == thread.state for side in sides))
        return thread


def main() -> int:
    """Play the cohort; say what the plan was and how it went."""
    wanted = _arguments()
    agencies = _agencies(wanted.hub, wanted.folder)
    places = sorted(agencies, key=lambda place: place.name)
    if len(places) < 2 or not any(place.region in CITIES for place in places):
        print(f"{wanted.folder} must name two agencies or more, in one of: {', '.join(CITIES)}.", file=sys.stderr)
        return 2
    cohort = Cohort(Origins(wanted.hub), {place.name: partner for place, partner in agencies.items()})
    digest, told = sha256(), Counter[str]()
    try:
        for plan in plans(places, wanted.size, wanted.seed, wanted.days):
            digest.update(json.dumps(asdict(plan), sort_keys=True).encode())
            told.update(_told(plan, [] if wanted.dry_run else cohort.play(plan)))
            if told["people"] % max(wanted.size // PROGRESS_STEPS, 1) == 0:
                print(f"{told['people']} of {wanted.size} people", file=sys.stderr)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        why = f"{wanted.hub} cannot be reached ({type(error).__name__}). Is it the hub's address, and does the hub run?"
        sys.exit(f"Stopped after {told['people']} people: {why}")
    except (Refused, TimeoutError) as error:
        sys.exit(f"Stopped after {told['people']} people: {error}")
    finally:
        cohort.close()
    print(f"Plan {digest.hexdigest()}.")
    print(", ".join(f"{count} {what}" for what, count in sorted(told.items())))
    return 0


def _told(plan: Plan, threads: Sequence[Thread]) -> Iterator[str]:
    yield "people"
    yield from ["came in"] * plan.claims
    yield from ["needs"] * len(plan.asks)
    yield from (f"referrals {thread.state}" for thread in threads)


def _agencies(hub: str, folder: Path) -> dict[Place, Partner]:
    """Return the agencies whose credentials a folder holds."""
    agencies: dict[Place, Partner] = {}
    seen: Counter[str] = Counter()
    for path in sorted(folder.glob("*.jsonl")):
        try:
            for line in path.read_text("utf-8").splitlines():
                known = json.loads(line)
                kind = f"{known['region']}/{known['sector']}"
                seen[kind] += 1
                place = Place(f"{kind}/{seen[kind]}", known["sector"], known["region"])
                agencies[place] = Partner.connect(hub, known["client_id"], known["key"])
                agencies[place].proof("POST", hub)  # a public half cannot
        except OSError as error:
            sys.exit(f"{path} cannot be read ({error.strerror}). Let this user read it.")
        except (JoseError, LookupError, TypeError, ValueError):
            sys.exit(f"{path} holds a line that is no agency with its key. examples/README.md shows one.")
    return agencies


def _until(look: Callable[[], Found | None]) -> Found:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise TimeoutError(f"it did not come about within {WAIT_SECONDS:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Each person who comes in costs the hub about 0.6 s of processor time, on purpose: her words and her PIN"
        " are kept by a slow hash (Argon2id). A thousand people take about a quarter of an hour.",
    )
    parser.add_argument("hub", help="the hub's address, such as http://127.0.0.1:8080")
    parser.add_argument("folder", type=Path, help="folder with the agencies' credentials")
    parser.add_argument("--size", type=int, default=20, help="how many people (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same plan (default: 1)")
    parser.add_argument(
        "--days", type=int, default=90, help="their events' times lie within so many days before now (default: 90)"
    )
    parser.add_argument("--dry-run", action="store_true", help="make the plan and tell its digest, nothing else")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
