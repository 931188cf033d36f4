"""One agency that asks every route about survivors for whom it may not speak, each for another reason, and about nobody."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any
from uuid import uuid4

import httpx2

import schemas
from services.client import Partner, Survivor
from services.common.encoding import random_name
from services.common.envelope import read, write
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE
from tests.support.hubs import TestHub
from tests.support.people import Person, send, waiting

SECTOR = "ngo"
SHUT_OUT = ("shut out by name", "shut out by sector")
HERS = (*SHUT_OUT, "paused", "unlinked", "erased")
CASES = (*HERS, "stranger")
LINKED = (*SHUT_OUT, "paused")
JSON = "application/json"
ANSWERS: Mapping[str, Mapping[str, str]] = {
    "accepted": {},
    "declined": {"reason": "no_capacity"},
    "waitlisted": {"wait": "days_8_30"},
    "started": {},
    "completed": {"outcome": "needs_met"},
    "cancelled": {"reason": "placed_elsewhere"},
}
_VARIES = re.compile(
    rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
)
# The time, a number used once, the numbers of a limit that the agency's own acts alone decide, and a name of the request.
PASSED_OVER = {"date", "dpop-nonce", "ratelimit", "retry-after", "x-request-id"}


@dataclass(frozen=True, slots=True)
class Names:
    """Everything by which the agency can name one survivor: its ppid, an envelope, referrals, a second look."""

    ppid: str
    envelope: str
    sent: str
    received: str
    look: str


@dataclass(frozen=True, slots=True)
class Agencies:
    """The agency that asks, the one that it refers to, and one that refers to it."""

    asking: Partner
    shelter: Partner
    clinic: Partner


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    method: str
    path: str
    body: Any = None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Told:
    """An answer without what differs between any two requests; `size` is that of the body as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes
    size: int


def join(hub: TestHub) -> Agencies:
    """Add three agencies to a hub."""
    sectors = {"Sample Outreach": SECTOR, "Sample Shelter": "housing", "Sample Clinic": "health"}
    return Agencies(*(hub.join(name, sector) for name, sector in sectors.items()))


def meet_all(hub: TestHub, agencies: Agencies) -> dict[str, Names]:
    """Return by case how the agency names a survivor for whom it may not speak; the stranger's names are made up."""
    found = {}
    for case in HERS:
        page, pin, found[case] = _meet(hub, agencies)
        _shut(page, pin, case, agencies.asking)
    return {**found, "stranger": made_up(found[HERS[0]])}


def made_up(known: Names) -> Names:
    """Return names of the same form that belong to nobody; the envelope is well formed and under no grant."""
    envelope = read(known.envelope)
    header = replace(envelope.header, id=str(uuid4()), grant=str(uuid4()))
    text = write(replace(envelope, header=header))
    return Names(random_name(len(known.ppid)), text, str(uuid4()), str(uuid4()), str(uuid4()))


def nonsense(known: Names) -> str:
    """Return a text as long as an envelope that no program can read."""
    return "fw1." + "A" * (len(known.envelope) - 4)


def asks(agencies: Agencies, route: str, names: Names, number: int) -> Iterator[Ask]:
    """Yield `number` requests to a route, each with other codes. All about one survivor are alike for any other."""
    tuples = product(sorted(schemas.code_set("categories")), sorted(schemas.code_set("purposes")))
    for count, (category, purpose) in zip(range(number), tuples, strict=False):
        yield ROUTES[route].ask(_Tuple(agencies, names, purpose, category, count))


def send_ask(agency: Partner, ask: Ask) -> httpx2.Response:
    """Send a request as the agency."""
    return agency.request(ask.method, ask.path, ask.body, ask.content_type)


def told(answer: httpx2.Response) -> Told:
    """Return an answer without ids, times and the numbers of limits."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in PASSED_OVER)
    content = _VARIES.sub(lambda found: b"x" * len(found[0]), answer.content)
    return Told(answer.status_code, tuple(headers), content, len(answer.content))


def _meet(hub: TestHub, agencies: Agencies) -> tuple[Survivor, str, Names]:
    """Return a young survivor whom the agency knows in every way: by ppid, referrals both ways, and a second look."""
    asking, shelter, clinic = agencies.asking, agencies.shelter, agencies.clinic
    registered = asking.call("POST", "/consent/v1/subjects")
    page = hub.survivor()
    pin = page.claim(registered["claim_code"])["pin"]
    page.step_up(pin)
    code = page.call("POST", "/link-codes", {"pin": pin})["link_code"]
    at_clinic = clinic.call("POST", "/consent/v1/links", {"link_code": code})["ppid"]
    for agency in (asking, shelter):
        page.allow(agency.client_id, "referral", ["summary"])
    parts = {"summary": {"text": "Sample Aspen would like a quiet place."}}
    sent = send(Person(page, registered["ppid"], pin, "", ""), asking, shelter, parts=parts)
    received = send(Person(page, at_clinic, pin, "", ""), clinic, asking, parts=parts)
    envelope = waiting(asking, received)["envelope"]
    waiting(shelter, sent)
    asking.call("POST", "/consent/v1/age-bands", {"ppid": registered["ppid"], "age_band": "under_16"})
    wish = {"agency": shelter.client_id, "purpose": "court_support", "categories": ["summary"]}
    look = page.call("POST", "/grants", wish)["id"]
    return page, pin, Names(registered["ppid"], envelope, sent, received, look)


def _shut(page: Survivor, pin: str, case: str, agency: Partner) -> None:
    if case == "shut out by name":
        page.call("POST", "/restrictions", {"agency": agency.client_id, "reason": "someone_works_there"})
    elif case == "shut out by sector":
        page.call("POST", "/restrictions", {"sector": SECTOR})
    elif case == "paused":
        page.call("POST", "/pause")
    elif case == "unlinked":
        page.call("DELETE", f"/links/{agency.client_id}")
    else:
        page.call("DELETE", "", {"pin": pin})


@dataclass(frozen=True, slots=True)
class _Tuple:
    """What one request names."""

    agencies: Agencies
    names: Names
    purpose: str
    category: str
    count: int

    @property
    def to(self) -> str:
        """Another recipient for every second request: one whom she allows something, and one whom she does not."""
        return (self.agencies.shelter, self.agencies.clinic)[self.count % 2].client_id

    def of(self, codes: str) -> str:
        """Return one of these codes."""
        known = sorted(schemas.code_set(codes))
        return known[self.count % len(known)]

    def event(self, kind: str, data: Mapping[str, Any], **more: str) -> Ask:
        """Return the request that posts an event."""
        made = self.agencies.asking.event({"type": kind, "data": data, **more})
        return Ask("POST", "/intake/v1/events", made, CONTENT_TYPE)

    def referral(self) -> Ask:
        """Return the request that posts a referral of hers."""
        part = {"text": "Hello."} if self.category == "summary" else {"needs": "Hello."}
        routing = {name: self.of(codes) for name, codes in CODES.items()}
        data = {"to": self.to, "purpose": self.purpose, **routing, "parts": {self.category: part}}
        return self.event("referral.requested.v1", data, subject=self.names.ppid)

    def need(self) -> Ask:
        """Return the request that records a need of hers."""
        data = {name: self.of(codes) for name, codes in CODES.items() if name != "urgency"}
        return self.event("need.recorded.v1", data, subject=self.names.ppid)

    def batch(self) -> Ask:
        """Return the request that posts a need and a referral together."""
        return Ask("POST", "/intake/v1/events", [self.referral().body, self.need().body], BATCH_CONTENT_TYPE)

    def answer(self, referral: str) -> Ask:
        """Return the request that posts an answer to a referral."""
        kind = list(ANSWERS)[self.count % len(ANSWERS)]
        return self.event(f"referral.{kind}.v1", {"referral": referral, **ANSWERS[kind]})

    def evaluation(self) -> Mapping[str, Any]:
        """Return a question about the agency's own access."""
        return {
            "subject": {"type": "agency", "id": self.agencies.asking.client_id},
            "resource": {"type": "survivor", "id": self.names.ppid, "properties": {"categories": [self.category]}},
            "action": {"name": self.purpose},
        }

    def consent(self, path: str, **body: Any) -> Ask:
        """Return a request to the consent service."""
        return Ask("POST", f"/consent/{path}", body)


CODES = {"need": "needs", "stage": "stages", "region": "regions", "urgency": "urgencies"}


@dataclass(frozen=True, slots=True)
class Route:
    """A route of agencies: how it is asked, and the groups of cases within which all answers are equal."""

    name: str
    ask: Any
    groups: Sequence[Sequence[str]] = (CASES,)


def _compelled(one: _Tuple) -> Ask:
    approvers = [{"initials": "AS", "role": "director"}, {"initials": "BT", "role": "privacy_officer"}]
    made = {"basis": one.of("legal_bases"), "authority": one.of("authorities"), "categories": [one.category]}
    day = f"2026-01-{one.count % 28 + 1:02}"
    return one.consent("v1/compelled-disclosures", ppid=one.names.ppid, **made, disclosed_on=day, approvers=approvers)


ROUTES: Mapping[str, Route] = {
    # First, before it answers them. The agency knows that these referrals are its own, and sees them as they were.
    "follow what it sent": Route(
        "GET /referral/v1/referrals/{referral}",
        lambda one: Ask("GET", f"/referral/v1/referrals/{one.names.sent}"),
        ((*LINKED, "unlinked"),),
    ),
    "follow what it received": Route(
        "GET /referral/v1/referrals/{referral}",
        lambda one: Ask("GET", f"/referral/v1/referrals/{one.names.received}"),
        (LINKED,),
    ),
    "post a need": Route("POST /intake/v1/events", _Tuple.need),
    "post a referral": Route("POST /intake/v1/events", _Tuple.referral),
    "post a batch": Route("POST /intake/v1/events", _Tuple.batch),
    "answer her referral": Route("POST /intake/v1/events", lambda one: one.answer(one.names.received)),
    "cancel her referral": Route("POST /intake/v1/events", lambda one: one.answer(one.names.sent)),
    "ask for consent": Route(
        "POST /consent/v1/consent-requests",
        lambda one: one.consent(
            "v1/consent-requests", ppid=one.names.ppid, agency=one.to, purpose=one.purpose, categories=[one.category]
        ),
    ),
    "state her age": Route(
        "POST /consent/v1/age-bands",
        lambda one: one.consent("v1/age-bands", ppid=one.names.ppid, age_band=one.of("age_bands")),
    ),
    "ask about own access": Route(
        "POST /consent/access/v1/evaluation", lambda one: one.consent("access/v1/evaluation", **one.evaluation())
    ),
    "ask several at once": Route(
        "POST /consent/access/v1/evaluations",
        lambda one: one.consent("access/v1/evaluations", evaluations=[one.evaluation()] * 3),
    ),
    "open an envelope": Route(
        "POST /consent/v1/openings", lambda one: one.consent("v1/openings", envelope=one.names.envelope)
    ),
    "open a batch": Route(
        "POST /consent/v1/openings",
        lambda one: one.consent("v1/openings", envelopes=[one.names.envelope, nonsense(one.names)]),
    ),
    "give a second look": Route(
        "POST /consent/v1/second-looks/{name}",
        lambda one: one.consent(f"v1/second-looks/{one.names.look}", agree=bool(one.count % 2)),
    ),
    # A linked agency gets one answer, whether she shut it out or paused: what it passes on is for her good.
    "record what was compelled": Route(
        "POST /consent/v1/compelled-disclosures", _compelled, (LINKED, ("unlinked", "erased", "stranger"))
    ),
    # Last, since it ends what it may end.
    "pass on her spoken no": Route(
        "POST /consent/v1/revocations",
        lambda one: one.consent("v1/revocations", ppid=one.names.ppid, **({"agency": one.to} if one.count % 3 else {})),
        (LINKED, ("unlinked", "erased", "stranger")),
    ),
}
