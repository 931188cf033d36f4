"""A Chromium window on the survivor pages: acts by mouse or keyboard, and records requests and answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Request, Response

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
# Long, because a loaded machine may stall; speed is measured in tests of its own.
TIMEOUT_MS = 120_000
# A cheap phone held upright, and a desktop screen enlarged four times.
PHONE = {"viewport": {"width": 320, "height": 640}}
ENLARGED = {"viewport": {"width": 320, "height": 256}, "device_scale_factor": 4}
COVERED = """mark => {
  const { x, y, width, height } = mark.getBoundingClientRect();
  const top = document.elementFromPoint(x + width / 2, y + height / 2);
  return !(top === mark || mark.contains(top) || top?.contains(mark));
}"""


@dataclass(slots=True)
class Window:
    """A browser window, its survivor and agencies, and the requests and answers so far."""

    house: House
    page: Page
    language: str
    agency: Agency
    other: Agency
    person: Person
    keyboard: bool = False
    """Whether forms are filled in by keyboard alone."""
    asked: list[Request] = field(default_factory=list)
    answered: list[Response] = field(default_factory=list)

    def open(self, path: str) -> Response:
        """Open a page; return its answer."""
        answer = self.page.goto(self.house.url + path)
        assert answer is not None
        return answer

    def send(self, action: str, number: int = 0, **filled: str | list[str]) -> None:
        """Fill in the fields of a form and press its button."""
        form = self.page.locator(f'form[action="{action}"]').nth(number)
        fill = self._type if self.keyboard else self._fill
        for name, value in filled.items():
            for one in [value] if isinstance(value, str) else value:
                fill(form.locator(f'[name="{name}"]'), one)
        if self.keyboard:
            self.press(form.locator("button").first, "Enter")
            return
        with self.page.expect_navigation():
            form.locator("button").first.click()

    def press(self, wanted: Locator, key: str) -> None:
        """Move the focus to an element by the Tab key and press a key on it; wait for the next page."""
        self.reach(wanted)
        with self.page.expect_navigation():
            self.page.keyboard.press(key)

    def reach(self, wanted: Locator) -> None:
        """Move the focus to an element by the Tab key; assert that the focus is visible and not covered."""
        for _ in range(120):
            if wanted.evaluate("mark => mark === document.activeElement"):
                break
            self.page.keyboard.press("Tab")
        else:
            raise AssertionError(f"{wanted} cannot be reached by the keyboard")
        assert wanted.evaluate("mark => getComputedStyle(mark).outlineStyle") != "none"
        assert not wanted.evaluate(COVERED), f"{wanted} has the focus and is covered"

    def send_with_pin(self, action: str, **filled: str | list[str]) -> None:
        """Fill in and send a form, and give the PIN on it or, if it is asked for afterwards, on the next page."""
        if self.page.locator(f'form[action="{action}"] [name="pin"]').count():
            self.send(action, 0, pin=PIN, **filled)
            return
        self.send(action, 0, **filled)
        if self.page.locator("#pin").count():
            self.send(action, pin=PIN)

    def come_in(self, *, stepped_up: bool = False) -> str:
        """Start a session and set its cookie; return its token."""
        token = self.house.session(self.person, stepped_up=stepped_up)
        self.sit_down(token)
        return token

    def sit_down(self, token: str) -> None:
        """Set the cookie of a session."""
        self.page.context.add_cookies([{"name": "s", "value": token, "domain": "localhost", "path": "/my"}])

    def _type(self, fields: Locator, value: str) -> None:
        kind = fields.first.evaluate("field => field.type || field.tagName")
        if kind in {"checkbox", "radio"}:
            chosen = [fields.nth(number) for number in range(fields.count())]
            wanted = next(one for one in chosen if one.get_attribute("value") == value)
            # The Tab key stops once at a group of radio buttons; the arrow keys move inside it.
            self.reach(chosen[0] if kind == "radio" else wanted)
            self.page.keyboard.press("Space")
            self._arrow_down(wanted.is_checked)
        elif kind.startswith("select"):
            self.reach(fields.first)
            self._arrow_down(lambda: fields.first.input_value() == value)
        else:
            self.reach(fields.first)
            self.page.keyboard.type(value)

    def _arrow_down(self, there: Callable[[], bool]) -> None:
        for _ in range(200):
            if there():
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError("the arrow key does not lead there")

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


def a_window(chromium: Browser, house: House, language: str, *, keyboard: bool = False, **wishes: Any) -> Window:
    """Open a window for a new survivor who is linked to one agency and not to another."""
    agency, other = house.agency("ngo"), house.agency("housing")
    for named, name in ((agency, "Example Outreach"), (other, "Example Shelter")):
        _rename(house, named, name)
    page = chromium.new_context(locale=f"{language}-CA", **{**PHONE, **wishes}).new_page()
    made = Window(house, page, language, agency, other, house.person(agency, language), keyboard)
    page.set_default_timeout(TIMEOUT_MS)
    page.on("request", lambda request: made.asked.append(request))  # noqa: PLW0108 - a bound list method is refused
    page.on("response", lambda answer: made.answered.append(answer))  # noqa: PLW0108
    return made


def _rename(house: House, agency: Agency, name: str) -> None:
    change_standing(house.context, agency.id, agency.sector, "active", 2, name)
