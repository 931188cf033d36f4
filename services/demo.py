"""`fireweed demo` plays the journey of one event with synthetic people on a real hub, through the public API only."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import httpx2

from services import hub
from services.client import Origins, Partner, Refused, Survivor, new_key, public_jwks
from services.common import telemetry
from services.common.cli import PORT, listener_on
from services.common.clock import SystemClock
from services.common.http.server import BackgroundServer, origin
from services.common.settings import Settings
from services.intake import handlers
from services.intake.main import build_context

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TIMEOUT_SECONDS = 15.0
PARTS = {
    "summary": {"text": "Sample Aspen would like a quiet place for some nights, and would rather not be phoned."},
    "housing": {"needs": "A room of her own, ground floor if there is one."},
    "health": {"needs": "Would like to see a nurse this week."},
}


Found = TypeVar("Found")


class Broken(Exception):
    """A step of the journey failed."""


@dataclass(slots=True)
class Story:
    """The participants, and the results of the steps so far."""

    base: str
    outreach: Partner
    shelter: Partner
    clinic: Partner
    survivor: Survivor
    seen: dict[str, Any] = field(default_factory=dict)


@click.command()
@click.option("--exit", "stop", is_flag=True, help="Stop after the journey; the status tells whether every step held.")
@click.option("--port", default=0, type=PORT, help="Port of the hub's pages; 0 takes a free one.")
def demo(stop: bool, port: int) -> None:
    """Play the journey of one event with synthetic people, then keep the hub open."""
    sys.exit(play(port=port, stop=stop))


def play(port: int, *, stop: bool) -> int:
    """Play every step; return 0 if each held. Without `stop`, keep the hub open until Ctrl-C."""
    click.echo("Fireweed: one event's way, from a partner, through her consent, to another agency, to a count.")
    click.echo("Everyone here is made up. The hub is real: it runs in this process, on this machine only.\n")
    with tempfile.TemporaryDirectory(prefix="fireweed-demo-") as folder, _running(Path(folder), port) as settings:
        story = _story(settings)
        held = _tell(story)
        for person in (story.outreach, story.shelter, story.clinic, story.survivor):
            person.close()
        if held and not stop:
            _stay_open(settings.public_url)
    return 0 if held else 1


def _tell(story: Story) -> bool:
    for number, (title, proves, step) in enumerate(STEPS, start=1):
        try:
            found = step(story)
        except (Broken, Refused, httpx2.HTTPError, subprocess.CalledProcessError) as error:
            click.echo(f"{number:2}. {title}\n    DID NOT HOLD: {error}")
            return False
        click.echo(f"{number:2}. {title}\n    {found}\n    -> {proves}")
    click.echo(f"\nAll {len(STEPS)} steps held.")
    return True


def _meet(story: Story) -> str:
    registered = story.outreach.call("POST", "/consent/v1/subjects")
    story.seen |= registered
    return "An outreach worker meets someone. The hub gives two codes for her alone, and a name only this agency knows."


def _withhold(story: Story) -> str:
    answer = story.outreach.post(_referral(story))
    _hold(answer["status"] == "withheld", "the event should have been withheld")
    return f"The worker posts a referral before she has agreed: {answer['status']}, nothing stored, nothing sent."


def _claim(story: Story) -> str:
    claimed = story.survivor.claim(story.seen["claim_code"])
    story.seen |= claimed
    count = len(claimed["passphrase"].split())
    return f"On her own phone she turns the slip's code into {count} words and a PIN, shown this once."


def _allow(story: Story) -> str:
    try:
        story.survivor.allow(story.shelter.client_id, "referral", ["summary", "housing"])
        _hold(False, "a grant without the PIN should be refused")
    except Refused as refused:
        _hold(refused.status == 403, "a grant without the PIN should be refused with 403")
    story.survivor.step_up(story.seen["pin"])
    story.seen["grant"] = story.survivor.allow(story.shelter.client_id, "referral", ["summary", "housing"])
    return "With her PIN she lets one shelter see two things, her words and what housing she needs, for 30 days."


def _send(story: Story) -> str:
    answer = story.outreach.post(_referral(story))
    _hold(
        answer["parts"] == {"health": "withheld", "housing": "sealed", "summary": "sealed"},
        "two parts should be sealed",
    )
    story.seen["referral"] = answer["thread"]
    return (
        f"The same referral is now {answer['status']}: "
        + ", ".join(f"{k} {v}" for k, v in answer["parts"].items())
        + "."
    )


def _arrive(story: Story) -> str:
    item = _wait(lambda: _inbox_item(story))
    story.seen["envelope"] = item["envelope"]
    return f"It waits at the shelter: {item['need']} in {item['region']}, answer within {item['urgency']}; the box is sealed."


def _open(story: Story) -> str:
    opened = story.shelter.call("POST", "/consent/v1/openings", {"envelope": story.seen["envelope"]})
    _hold(set(opened["parts"]) == {"summary", "housing"}, "exactly the granted parts should open")
    return f"The shelter opens it and reads: “{opened['parts']['summary']['text']}”"


def _stranger(story: Story) -> str:
    _hold(_status(story.clinic, story.seen["envelope"]) == 404, "another agency should get 404")
    _hold(_status(story.clinic, "fw1.unknown") == 404, "an unknown envelope should get 404")
    return "A clinic that got hold of the same box gets 404, and the very same 404 for a box that never was."


def _answer(story: Story) -> str:
    for kind in ("accepted", "started"):
        story.shelter.post({"type": f"referral.{kind}.v1", "data": {"referral": story.seen["referral"]}})
    state = _wait(lambda: _state(story, "started"))
    return f"The shelter accepts and starts; the outreach worker sees: {state}. Nobody phones anybody at 3 a.m."


def _revoke(story: Story) -> str:
    story.survivor.revoke(story.seen["grant"])
    _hold(_status(story.shelter, story.seen["envelope"]) == 404, "after the revocation the box should stay closed")
    state = _wait(lambda: _state(story, "withdrawn"))
    return f"She takes it back, without her PIN. The box the shelter still holds is a 404 at once; the referral is {state}."


def _again(story: Story) -> str:
    story.survivor.allow(story.shelter.client_id, "referral", list(PARTS))
    _hold(_status(story.shelter, story.seen["envelope"]) == 404, "a new grant must not open an old box")
    return "She allows more than before. The old box stays closed: each box belongs to the grant it was sealed under."


def _ledger(story: Story) -> str:
    kinds = [entry["kind"] for entry in story.survivor.ledger()]
    _hold("opening.delivered" in kinds and "opening.refused" in kinds, "openings and refusals should be in her ledger")
    opened, refused = kinds.count("opening.delivered"), kinds.count("opening.refused")
    return f"In her ledger: {opened} opening, {refused} refusals, each grant and its end."


def _declare(story: Story) -> str:
    connector = EXAMPLES / "toronto_shelters.py"
    sample = EXAMPLES / "data" / "toronto-shelter-capacity-2023-01-01.csv"
    _hold(connector.exists(), "the examples folder should lie beside the services folder (run from a checkout)")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as key:
        json.dump(story.shelter.key.as_dict(private=True), key)
        key.flush()
        command = [sys.executable, str(connector), story.base, story.shelter.client_id, key.name, str(sample)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own example
    return f"A connector reads a city's real open-data file: {done.stdout.strip().splitlines()[-1]}"


def _count(story: Story) -> str:
    page = _wait(lambda: _page_with(story, "Toronto"))
    _hold("Hidden." in page, "person counts should be hidden")
    rows = httpx2.get(f"{story.base}/reporting/v1/capacity").json()["capacity"]
    free, total = (sum(row[name] for row in rows) for name in ("available", "total"))
    return f"The public page shows {free} free of {total} places in Toronto. Person counts: hidden."


Step = tuple[str, str, Callable[[Story], str]]
STEPS: tuple[Step, ...] = (
    ("Someone is here", "the hub holds no name, no phone number, no e-mail", _meet),
    ("Before she has said yes", "no grant, no opening: without consent nothing is even kept", _withhold),
    ("She comes in", "the account is hers, not the agency's", _claim),
    (
        "She says yes, to one agency",
        "what widens needs the PIN; a grant names agency, purpose, categories, end",
        _allow,
    ),
    ("The referral goes out", "intake seals what she allowed and keeps no key that opens it", _send),
    ("It arrives", "the sorting room carries boxes it cannot open", _arrive),
    ("The shelter reads", "only the consent service opens, after deciding again and writing it down first", _open),
    ("Somebody else tries", "denied looks like absent", _stranger),
    ("The shelter answers", "both sides see the same thread", _answer),
    ("She takes it back", "revoked means stopped, also for a box fetched before", _revoke),
    ("She says yes again", "a new yes never wakes an old box", _again),
    ("Who looked?", "she can see every opening and every refusal", _ledger),
    ("What is free tonight?", "real input goes through the same public door", _declare),
    ("Funders look", "live facts about services; people appear only in protected publications", _count),
)


def _referral(story: Story) -> Mapping[str, Any]:
    routing = {"purpose": "referral", "need": "N02", "stage": "crisis", "region": "toronto", "urgency": "3h"}
    data = {"to": story.shelter.client_id, **routing, "parts": PARTS}
    return {"type": "referral.requested.v1", "subject": story.seen["ppid"], "data": data}


def _inbox_item(story: Story) -> Any:
    items = story.shelter.call("GET", "/referral/v1/inbox")["items"]
    return next((item for item in items if item["referral"] == story.seen["referral"]), None)


def _state(story: Story, wanted: str) -> str | None:
    seen = [
        agency.call("GET", f"/referral/v1/referrals/{story.seen['referral']}")
        for agency in (story.outreach, story.shelter)
    ]
    return wanted if all(referral["state"] == wanted for referral in seen) else None


def _status(agency: Partner, envelope: str) -> int:
    return agency.request("POST", "/consent/v1/openings", {"envelope": envelope}).status_code


def _page_with(story: Story, text: str) -> str | None:
    page = httpx2.get(f"{story.base}/reporting/en/").text
    return page if text in page else None


def _hold(holds: bool, should: str) -> None:
    if not holds:
        raise Broken(should)


def _wait(find: Callable[[], Found | None]) -> Found:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.05)
    raise Broken(f"it did not come about within {TIMEOUT_SECONDS:.0f} s")


@contextmanager
def _running(folder: Path, port: int) -> Iterator[Settings]:
    """Run an embedded hub with its data in a folder, served in the background."""
    listener = listener_on(port)
    own = {"data": folder, "public_url": origin(listener), "log_level": "error"}
    # Settings of the environment are ignored: synthetic people must never reach a real database, key folder or bus.
    settings = Settings(**{name: field.default for name, field in Settings.model_fields.items()} | own)
    telemetry.start(settings, "demo")
    running = hub.start(settings)
    router = BackgroundServer(running.router, listener)
    router.start()
    try:
        yield settings
    finally:
        router.stop()
        running.close()


def _story(settings: Settings) -> Story:
    base = settings.public_url
    agencies = {"Example Outreach": "ngo", "Example Shelter": "housing", "Example Clinic": "health"}
    outreach, shelter, clinic = (_join(settings, name, sector) for name, sector in agencies.items())
    story = Story(base, outreach, shelter, clinic, Survivor(Origins(base)))
    for partner in (outreach, shelter, clinic):
        _wait(partial(_is_known, partner))
    return story


def _is_known(partner: Partner) -> bool:
    """Tell whether every service knows an agency that has just joined."""
    return partner.request("GET", "/referral/v1/inbox").status_code == 200 and _status(partner, "fw1.unknown") == 404


def _join(settings: Settings, name: str, sector: str) -> Partner:
    """Add an agency as `fireweed agency add` does, with a key that the partner created."""
    key = new_key()
    row = handlers.add_agency(build_context(settings, "", SystemClock()), name, sector, public_jwks(key))
    return Partner.connect(settings.public_url, row.id, key.as_dict(private=True))


def _stay_open(base: str) -> None:
    click.echo(f"\nThe hub stays open. Live capacity: {base}/reporting/en/   Her page: {base}/my   Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
