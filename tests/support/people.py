"""Synthetic survivors for journeys, and the common acts of survivors and agencies."""

from dataclasses import dataclass
from typing import Any

from services.client import Partner, Survivor
from tests.support.hubs import TestHub, eventually

PARTS: dict[str, Any] = {
    "summary": {"text": "Sample Aspen would like a quiet place for some nights."},
    "housing": {"needs": "A room of her own."},
    "health": {"needs": "Would like to see a nurse this week."},
}


@dataclass(slots=True)
class Person:
    """A synthetic survivor: her session, her credentials, and the ppid of one agency for her."""

    page: Survivor
    ppid: str
    pin: str
    passphrase: str
    revoke_code: str


def meet(hub: TestHub, agency: Partner) -> Person:
    """Register a survivor at an agency, claim her account and step up with her PIN; return her."""
    registered = agency.call("POST", "/consent/v1/subjects")
    page = hub.survivor()
    claimed = page.claim(registered["claim_code"])
    page.step_up(claimed["pin"])
    return Person(page, registered["ppid"], claimed["pin"], claimed["passphrase"], registered["revoke_code"])


def referral(person: Person, to: Partner, **changed: Any) -> dict[str, Any]:
    """Return the body of a referral to an agency, as its sender posts it; `changed` replaces data members."""
    routing = {"purpose": "referral", "need": "N02", "stage": "crisis", "region": "toronto", "urgency": "24h"}
    data = {"to": to.client_id, **routing, "parts": PARTS, **changed}
    return {"type": "referral.requested.v1", "subject": person.ppid, "data": data}


def send(person: Person, sender: Partner, to: Partner, **changed: Any) -> str:
    """Post a referral that must be accepted; return its id."""
    answer = sender.post(referral(person, to, **changed))
    assert answer["status"] == "accepted", answer
    return str(answer["thread"])


def waiting(agency: Partner, thread: str) -> dict[str, Any]:
    """Wait for a referral in an agency's inbox; return its item."""
    return eventually(lambda: next((item for item in inbox(agency) if item["referral"] == thread), None)) or {}


def inbox(agency: Partner) -> list[dict[str, Any]]:
    """Return all items of an agency's inbox, over all pages."""
    items: list[dict[str, Any]] = []
    path = "/referral/v1/inbox"
    cursor = ""
    while True:
        page = agency.call("GET", path + cursor)
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = f"?cursor={page['next']}"


def state(agency: Partner, thread: str) -> str:
    """Return the state of a referral as an agency sees it; empty while the agency cannot see it."""
    response = agency.request("GET", f"/referral/v1/referrals/{thread}")
    return str(response.json()["state"]) if response.status_code == 200 else ""


def open_status(agency: Partner, envelope: str) -> int:
    """Open an envelope; return the HTTP status."""
    return agency.request("POST", "/consent/v1/openings", {"envelope": envelope}).status_code


def answer(agency: Partner, kind: str, thread: str, **data: Any) -> dict[str, Any]:
    """Post an answer event to a referral; return the response body."""
    return agency.post({"type": f"referral.{kind}.v1", "data": {"referral": thread, **data}})
