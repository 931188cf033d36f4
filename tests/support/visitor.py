"""A client for the survivor pages without a browser engine: parses pages, fills in forms, keeps the cookie."""

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx2

from services.common.http.certificates import of_the_library

VOID = {"input", "meta", "link", "br", "img"}


@dataclass(slots=True)
class Form:
    """A form on a page: its action, its method, and the fields that it would send unchanged."""

    action: str
    method: str = "get"
    fields: list[tuple[str, str]] = field(default_factory=list)


class Reader(HTMLParser):
    """Parser that collects forms, links, tags, texts and the title of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.marks: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.title = ""
        self._open: list[str] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.marks.append((tag, given))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self._field(tag, given)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "title" in self._open:
            self.title += data
        elif data.strip() and not {"script", "style"} & set(self._open):
            self.texts.append(data.strip())

    def _field(self, tag: str, given: dict[str, str]) -> None:
        if tag == "select":
            self._select = given["name"]
        if not self.forms or "form" not in self._open:
            return
        picked = "checked" in given or given.get("type") not in {"checkbox", "radio"}
        if tag == "input" and "name" in given and picked:
            self.forms[-1].fields.append((given["name"], given.get("value", "")))
        if tag == "option" and "selected" in given:
            self.forms[-1].fields.append((self._select, given["value"]))


@dataclass(slots=True)
class Seen:
    """An answer, parsed."""

    response: httpx2.Response
    reader: Reader

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.reader.texts).split())

    def form(self, action: str) -> Form:
        """Return the first form with this action."""
        return next(form for form in self.reader.forms if form.action == action)


@dataclass(slots=True)
class Visitor:
    """A client of one origin. It sends the `origin` header that browsers send from pages without a referrer."""

    base: str
    language: str = "en"
    http: httpx2.Client = field(
        default_factory=lambda: httpx2.Client(timeout=30.0, verify=of_the_library(), follow_redirects=True)
    )

    def get(self, path: str) -> Seen:
        """Open a page."""
        return self._seen(self.http.get(self.base + path, headers={"accept-language": self.language}))

    def send(self, seen: Seen, action: str, *more: tuple[str, str], **filled: str) -> Seen:
        """Send a form of a page with some fields filled in; `more` is for names that occur more than once."""
        form = seen.form(action)
        assert form.method == "post"
        fields = [(name, value) for name, value in form.fields if name not in filled]
        return self.post(action, *fields, *more, **filled)

    def post(self, path: str, *more: tuple[str, str], **filled: str) -> Seen:
        """Send a form, whether or not a page showed it."""
        pairs = [*more, *filled.items()]
        data = {name: [value for key, value in pairs if key == name] for name, _ in pairs}
        headers = {"origin": "null", "sec-fetch-site": "same-origin", "accept-language": self.language}
        return self._seen(self.http.post(self.base + path, data=data, headers=headers))

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def _seen(self, response: httpx2.Response) -> Seen:
        reader = Reader()
        if "html" in response.headers.get("content-type", ""):
            reader.feed(response.text)
        return Seen(response, reader)


NewVisitor = Callable[..., Visitor]
"""Makes a visitor with a `language` and, if given, a session's `token`."""
