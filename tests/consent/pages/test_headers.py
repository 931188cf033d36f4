"""Privacy of the pages: headers forbid caching, framing, indexing and referrers; nothing visible tells the subject."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from services.common.auth.access_tokens import TokenKeys
from services.common.clock import SystemClock
from services.common.database.migrations import upgrade
from services.common.settings import Settings
from services.consent import main as consent
from services.consent.pages import static_files
from services.consent.pages.page_context import policy
from services.consent.pages.static_files import TYPES
from tests.support.consent import House, TokenSigner
from tests.support.visitor import NewVisitor, Seen, Visitor

PATHS = ["", "/yes", "/never", "/past", "/mine", "/delete", "/counted", "/reach", "/paper", "/keys"]
OPEN_PATHS = ["", "/start", "/card", "/check", "/about", "/today"]
TELLING = re.compile(
    r"traffick|traite|exploit|surviv|victim|abuse|violen|crisis|shelter|refuge|police|consent|escape|safe|help|fireweed"
)
SITE = "https://hub.example"
STATIC = Path(static_files.__file__).parent / "static"


def checked(seen: Seen) -> None:
    headers = seen.response.headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["x-content-type-options"] == "nosniff"
    rules = headers["content-security-policy"]
    assert rules.startswith("default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
    assert not re.search(r"unsafe|nonce|\*|data:|http", rules)
    assert not [mark for mark in seen.reader.marks if "style" in mark[1] or any(name[:2] == "on" for name in mark[1])]
    addresses = [
        value for _, given in seen.reader.marks for name, value in given.items() if name in {"src", "href", "action"}
    ]
    assert [address for address in addresses if not re.match(r"[/#?]", address)] == []
    inside = [
        mark for mark in seen.reader.marks if mark[0] == "style" or (mark[0] == "script" and "src" not in mark[1])
    ]
    assert inside == []
    cookie = headers.get("set-cookie", "").partition("=")[0]
    shown = f"{seen.reader.title} {seen.response.url.path} {' '.join(headers)} {cookie}"
    assert TELLING.search(shown.lower()) is None


@pytest.mark.parametrize("path", PATHS)
def test_page_with_session_has_private_headers(house: House, arrive: NewVisitor, path: str) -> None:
    visitor: Visitor = arrive(token=house.session(house.person()))
    seen = visitor.get(f"/my{path}")
    assert (seen.status, seen.response.url.path) == (200, f"/my{path}")
    checked(seen)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("path", OPEN_PATHS)
def test_page_without_session_has_private_headers(arrive: NewVisitor, path: str, language: str) -> None:
    seen = arrive(language).get(f"/my{path}")
    assert seen.status == 200
    checked(seen)
    assert ("html", {"lang": language, "dir": "ltr"}) in seen.reader.marks


def test_error_page_has_private_headers(house: House, arrive: NewVisitor) -> None:
    visitor: Visitor = arrive("fr", house.session(house.person()))
    for path in ("/my/stop/00000000-0000-4000-8000-000000000000", "/my/stop/no-id", "/my/pause"):
        seen = visitor.post(path, form="too old")
        assert seen.status in {403, 404, 422, 400}
        checked(seen)
    assert visitor.get("/my/yes/no-id").status == 400


def test_static_files_are_cached_for_ten_minutes(arrive: NewVisitor) -> None:
    """Ten minutes is the idle time of a session. No file is served but those that are listed."""
    visitor: Visitor = arrive()
    for name, kind in TYPES.items():
        answer = visitor.http.get(f"{visitor.base}/my/files/{name}")
        assert answer.headers["content-type"] == kind
        assert answer.headers["cache-control"] == "private, max-age=600"
        assert TELLING.search(answer.text.lower()) is None
    assert set(TYPES) == {path.name for path in STATIC.iterdir()}
    for name in ("fr.po", "..%2fvisits.py", "page.css%00"):
        assert visitor.http.get(f"{visitor.base}/my/files/{name}").status_code == 404


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Yield a client of the service behind TLS, where *Leave now* leads to another site."""
    folder: Path = tmp_path_factory.mktemp("secure")
    settings = Settings(data=folder, public_url=SITE, leave_to="https://weather.example/today?c=on")
    signer = TokenSigner(settings.token_issuer, SystemClock())
    made = consent.build(settings, TokenKeys(keys=signer.public))
    upgrade(consent.NAME, made.database)
    with TestClient(made.app, base_url=SITE, follow_redirects=False) as client:
        yield client
    made.close()


def test_cookie_behind_tls_has_the_host_prefix(secure: TestClient) -> None:
    cookie = secure.get("/my").headers["set-cookie"]
    assert re.fullmatch(r"__Host-s=[\w-]{43}; HttpOnly; Path=/; SameSite=strict; Secure", cookie)


def test_leaving_redirects_to_the_configured_site(secure: TestClient) -> None:
    """The content security policy allows that site as a form target."""
    left = secure.post("/my/leave", headers={"origin": "null", "sec-fetch-site": "same-origin"})
    assert (left.status_code, left.headers["location"]) == (303, "https://weather.example/today?c=on")
    assert '__Host-s=""' in left.headers["set-cookie"]
    assert "Secure" in left.headers["set-cookie"]
    rules = secure.get("/my/about").headers["content-security-policy"]
    assert rules.endswith("; form-action 'self' https://weather.example")


def test_policy_for_leaving_to_this_hub_has_no_exception() -> None:
    assert policy("/my/today").endswith("form-action 'self'")


@pytest.mark.parametrize(
    "wrong", ["http://weather.example", "javascript:alert(1)", "https://a.example/; x", "//a.example", "x"]
)
def test_setting_leave_to_malformed_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="must be https"):
        Settings(leave_to=wrong)


def test_page_addresses_hold_nothing_about_the_survivor(house: House, arrive: NewVisitor) -> None:
    """Addresses hold only ids of things, and every form is a POST."""
    person = house.person()
    house.allow(person, house.agency())
    visitor: Visitor = arrive(token=house.session(person))
    for path in PATHS:
        seen = visitor.get(f"/my{path}")
        assert all(form.method == "post" for form in seen.reader.forms)
        kept = json.dumps([*seen.reader.links, *(form.action for form in seen.reader.forms)])
        assert person.ppid not in kept
        assert str(person.subject) not in seen.response.text
