"""A window at her pages in Chromium, and a tour through every page and state of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from playwright.sync_api import Browser, Page, Request, Response

from services.consent.handlers import agencies, corrections
from services.consent.handlers.grants import Wish
from tests.support.consent import Agency, House, Person, change_standing

# Debian's Chromium runs as root only without its sandbox; the rest keeps it from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PIN = "271828"
# A cheap phone held upright; and a desk's screen enlarged four times, which leaves as little.
PHONE = {"viewport": {"width": 320, "height": 640}}
ENLARGED = {"viewport": {"width": 320, "height": 256}, "device_scale_factor": 4}
WORDS = "A quiet room would help me."


@dataclass(slots=True)
class Window:
    """A window, who sits at it, and what has gone over the line."""

    house: House
    page: Page
    language: str
    agency: Agency
    other: Agency
    person: Person
    asked: list[Request] = field(default_factory=list)
    answered: list[Response] = field(default_factory=list)

    def open(self, path: str) -> Response:
        """Go to a page."""
        answer = self.page.goto(self.house.url + path)
        assert answer is not None
        return answer

    def send(self, action: str, number: int = 0, **filled: str | list[str]) -> None:
        """Fill in a form by the names of its fields and press its button."""
        form = self.page.locator(f'form[action="{action}"]').nth(number)
        for name, value in filled.items():
            for one in [value] if isinstance(value, str) else value:
                self._fill(form.locator(f'[name="{name}"]'), one)
        with self.page.expect_navigation():
            form.locator("button").first.click()

    def send_with_pin(self, action: str, **filled: str | list[str]) -> None:
        """The same, for what asks for the PIN on the way if it was not given lately."""
        self.send(action, 0, **filled)
        if self.page.locator("#pin").count():
            self.send(action, pin=PIN)

    def come_in(self, *, stepped_up: bool = False) -> str:
        """Sit down with a session; its token."""
        token = self.house.session(self.person, stepped_up=stepped_up)
        self.sit_down(token)
        return token

    def sit_down(self, token: str) -> None:
        """Take a session's token."""
        self.page.context.add_cookies([{"name": "s", "value": token, "domain": "localhost", "path": "/my"}])

    def _fill(self, fields: Any, value: str) -> None:
        kind = fields.first.evaluate("field => field.type || field.tagName")
        if kind in {"checkbox", "radio"}:
            chosen = [fields.nth(number) for number in range(fields.count())]
            next(one for one in chosen if one.get_attribute("value") == value).check()
        elif kind.startswith("select"):
            fields.first.select_option(value)
        else:
            fields.first.fill(value)


NewWindow = Callable[..., Window]


def a_window(chromium: Browser, house: House, language: str, **wishes: Any) -> Window:
    """A window for somebody new, whom one agency knows and another one could."""
    agency, other = house.agency("ngo"), house.agency("housing")
    for named, name in ((agency, "Example Outreach"), (other, "Example Shelter")):
        _rename(house, named, name)
    page = chromium.new_context(locale=f"{language}-CA", **{**PHONE, **wishes}).new_page()
    made = Window(house, page, language, agency, other, house.person(agency, language))
    page.on("request", lambda request: made.asked.append(request))  # noqa: PLW0108 - it takes no method of a list
    page.on("response", lambda answer: made.answered.append(answer))  # noqa: PLW0108
    return made


def tour(window: Window) -> Iterator[str]:
    """Every page in every state, one after the other; the name of the one that is shown."""
    yield from _outside(window)
    yield from _first_time(window)
    yield from _yes(window)
    yield from _taking_back(window)
    yield from _mine(window)
    yield from _papers(window)
    yield from _end(window)


def _outside(window: Window) -> Iterator[str]:
    window.open("/my")
    yield "welcome"
    window.send("/my/in", words="these are no words of anybody at all")
    yield "welcome-wrong"
    for name in ("about", "card", "check"):
        window.open(f"/my/{name}")
        yield name
    window.open("/my/card")
    window.send("/my/card", code="none of hers")
    yield "card-wrong"
    window.open("/my/check")
    window.send("/my/check", code="none of hers")
    yield "check-wrong"
    window.open("/my/today")
    yield "today"
    window.open(f"/consent/workers/{window.agency.id}")
    yield "workers"


def _first_time(window: Window) -> Iterator[str]:
    window.open("/my/start")
    yield "start"
    window.send("/my/start", code="none of hers")
    yield "start-wrong"
    window.send("/my/start", code=window.person.claim_code, pin=PIN)
    yield "words"
    window.open("/my")
    yield "home-empty"


def _yes(window: Window) -> Iterator[str]:
    other = window.other.id
    asked = Wish(other, "referral", ["summary", "housing"])
    request = agencies.ask(window.house.room, window.agency.id, window.person.ppid, asked)
    window.open("/my")
    yield "home-asked"
    window.open(f"/my/yes?request={request}")
    yield "yes-asked"
    window.open("/my/yes")
    yield "yes"
    window.send("/my/yes/check")
    yield "yes-missing"
    choices: Any = {"purpose": "service_delivery", "category": ["summary", "contact"], "words": WORDS}
    window.send("/my/yes/check", agency=other, **choices)
    yield "read-back"
    window.send("/my/yes")
    yield "pin"
    window.send("/my/yes", pin="000000")
    yield "pin-wrong"
    window.send("/my/yes", pin=PIN)
    yield "receipt"
    window.open("/my")
    yield "home"


def _taking_back(window: Window) -> Iterator[str]:
    grant = window.page.locator('form[action^="/my/stop/"]').first.get_attribute("action") or ""
    window.send("/my/pause")
    yield "home-paused"
    window.send_with_pin("/my/resume")
    window.send(grant)
    yield "stopped"
    window.open(grant.replace("/stop/", "/yes/"))
    yield "receipt-ended"
    window.open("/my/never")
    yield "never-empty"
    window.send("/my/never")
    yield "never-missing"
    window.send("/my/never", who="sector:police", what="health")
    window.send("/my/never", who=f"agency:{window.other.id}")
    window.send("/my/never", what="immigration")
    yield "never"
    window.open("/my/past")
    yield "past"
    window.open("/my/stopped/00000000-0000-4000-8000-000000000000")
    yield "trouble"


def _mine(window: Window) -> Iterator[str]:
    window.open("/my/mine")
    yield "mine"
    window.send("/my/right")
    yield "mine-missing"
    what = window.page.locator("#what option").nth(1).get_attribute("value") or ""
    window.send("/my/right", what=what)
    [row] = corrections.waiting_for(window.house.room, window.other.id, 9)
    corrections.corrected(window.house.room, window.other.id, row.id)
    window.open("/my/mine")
    yield "mine-asked"
    window.send_with_pin("/my/read")
    yield "copy"
    window.open("/my/counted")
    yield "counted"
    window.send_with_pin("/my/counted/yes")
    yield "counted-yes"
    window.open("/my/reach")
    yield "reach"
    window.send_with_pin("/my/reach")
    yield "reach-missing"
    window.send_with_pin(
        "/my/reach", channel="text", address="555-0100", window="After lunch", wording="Your book is here."
    )
    yield "reach-safe"


def _papers(window: Window) -> Iterator[str]:
    window.open("/my/paper")
    yield "paper"
    window.send_with_pin("/my/paper/letter")
    yield "paper-missing"
    window.send_with_pin("/my/paper/letter", agency=window.agency.id)
    yield "letter"
    code = window.page.locator(".secret").inner_text()
    window.open("/my/check")
    window.send("/my/check", code=code)
    yield "check-good"
    window.open("/my/paper")
    window.send_with_pin("/my/paper/letter", agency=window.agency.id)
    window.open("/my/paper")
    yield "paper-letters"
    window.send_with_pin("/my/paper/card")
    yield "new-card"
    code = window.page.locator(".secret").inner_text()
    window.open("/my/card")
    window.send("/my/card", code=code)
    yield "card-done"
    window.open("/my")
    window.send_with_pin("/my/link")
    yield "link"
    window.open("/my/keys")
    yield "keys"
    window.send_with_pin("/my/keys/new")
    yield "key-new"


def _end(window: Window) -> Iterator[str]:
    window.house.clock.move(timedelta(days=31))
    window.come_in(stepped_up=True)
    window.open("/my/reach")
    yield "reach-old"
    window.open("/my/paper")
    yield "paper-old"
    window.open("/my/delete")
    yield "delete"
    window.send_with_pin("/my/delete")
    yield "delete-unsure"
    window.send_with_pin("/my/delete", sure="yes")
    yield "deleted"


def _rename(house: House, agency: Agency, name: str) -> None:
    change_standing(house.room, agency.id, agency.sector, "active", 2, name)
