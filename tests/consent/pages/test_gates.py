"""Access to the pages: restricting acts need a session, widening acts the PIN; other sites and browsers are refused."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from fastapi.routing import APIRoute

from services.common.encoding import base64url
from services.common.errors import Problem
from services.consent.handlers.accounts import passkeys
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants.grants import Rule, Wish, restrict
from services.consent.handlers.rights import contacts, letters
from services.consent.pages import ROUTERS
from tests.support.consent import PIN, Agency, House, Person
from tests.support.phone import Phone
from tests.support.visitor import NewVisitor, Seen, Visitor

pytestmark = pytest.mark.usefixtures("quick_secrets")

WISH = {"channel": "text", "address": "555-0100", "window": "", "wording": ""}
# Each act by its path, with the fields of its form.
TAKES_AWAY = {
    "/my/stop/{grant}": {},
    "/my/pause": {},
    "/my/requests/{request}/no": {},
    "/my/never": {"who": "sector:police"},
    "/my/counted/no": {},
    "/my/reach/none": {},
    "/my/paper/letter/{letter}/end": {},
    "/my/right": {"what": "{grant}:summary"},
    "/my/language": {"to": "fr"},
    "/my/yes/check": {"agency": "{agency}", "purpose": "referral", "category": "housing", "days": "7"},
    "/my/yes/change": {"agency": "{agency}"},
    "/my/known/{agency}/end": {},
    "/my/keys/new": {},
}
WIDENS = {
    "/my/yes": {"agency": "{agency}", "purpose": "court_support", "category": "housing", "days": "7"},
    "/my/again/{grant}": {},
    "/my/resume": {},
    "/my/link": {},
    "/my/never/{restriction}/lift": {},
    "/my/copy": {},
    "/my/read": {},
    "/my/delete": {"sure": "yes"},
    "/my/counted/yes": {},
    "/my/reach": WISH,
    "/my/reach/still": {},
    "/my/paper/card": {},
    "/my/paper/letter": {"agency": "{agency}"},
    "/my/words": {},
    "/my/pin": {"new": "161803", "again": "161803"},
}
# What cannot be undone: the PIN stands on the form itself, every time.
FINAL = {"/my/link", "/my/copy", "/my/read", "/my/delete", "/my/words", "/my/pin", "/my/paper/card"}
READS = [
    "/my/still",
    "/my/yes",
    "/my/yes/{grant}",
    "/my/sent/{grant}",
    "/my/again/{grant}",
    "/my/never",
    "/my/past",
    "/my/mine",
    "/my/delete",
    "/my/counted",
    "/my/reach",
    "/my/paper",
    "/my/keys",
]
# Tried with a real passkey in tests/browser; here only invalid ones are tried.
ELSEWHERE = {"/my/keys/add", "/my/keys/remove", "/my/in/key", "/my/stopped/{grant}"}
ANYBODY = {"/my", "/my/", "/my/in", "/my/start", "/my/card", "/my/check", "/my/about", "/my/today", "/my/leave"}


@dataclass(slots=True)
class Scene:
    """A visitor whose survivor has one of everything that can be changed."""

    house: House
    agency: Agency
    person: Person
    names: dict[str, str]
    visitor: Visitor

    def filled(self, text: str) -> str:
        return text.format(**self.names)

    def do(self, path: str, fields: dict[str, str], **more: str) -> Seen:
        """Send a form as a page would, with the form token of the pages."""
        form = self.visitor.get("/my/never").form("/my/never")
        token = dict(form.fields)["form"]
        data = {"form": token, **{name: self.filled(value) for name, value in fields.items()}, **more}
        return self.visitor.post(self.filled(path), **data)

    def picture(self) -> Any:
        """Return everything that is kept about the survivor, and her epoch."""
        return self.house.copy(self.person), self.house.epoch(self.person)


@pytest.fixture
def scene(house: House, arrive: NewVisitor) -> Scene:
    agency = house.agency("ngo")
    person = house.person(agency)
    house.give_pin(person)
    contacts.save(house.context, person.subject, WISH)
    letters.write_letter(house.context, person.subject, agency.id)
    asked = linked_acts.ask(house.context, agency.id, person.ppid, Wish(agency.id, "referral", ["contact"]))
    names: dict[str, UUID | str] = {
        "agency": agency.id,
        "grant": house.allow(person, agency),
        "restriction": restrict(house.context, person.subject, Rule(sector="justice")),
        "request": asked,
        "letter": letters.letters_of(house.context, person.subject)[0].id,
    }
    visitor = arrive(token=house.session(person))
    return Scene(house, agency, person, {name: str(value) for name, value in names.items()}, visitor)


def test_every_page_is_listed_here() -> None:
    paths = {route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}
    listed = {*TAKES_AWAY, *WIDENS, *READS, *ELSEWHERE, *ANYBODY, "/my/files/{name}"}
    given = {path.replace("{request_id}", "{request}") for path in paths if path.startswith("/my")}
    assert given == listed


@pytest.mark.parametrize("path", READS)
def test_page_needs_a_session(scene: Scene, arrive: NewVisitor, path: str) -> None:
    assert scene.visitor.get(scene.filled(path)).status in {200, 204}
    stranger = arrive().get(scene.filled(path))
    assert stranger.response.url.path == "/my"
    assert "form" in dict(stranger.form("/my/in").fields)


@pytest.mark.parametrize("path", TAKES_AWAY)
def test_restricting_form_needs_no_pin(scene: Scene, path: str) -> None:
    assert scene.do(path, TAKES_AWAY[path]).status == 200


@pytest.mark.parametrize("path", WIDENS)
def test_widening_form_asks_for_pin_and_keeps_its_fields(scene: Scene, path: str) -> None:
    """Nothing changes without the PIN or with a wrong one; with it, the act is done with all that was filled in."""
    before = scene.picture()
    asked = scene.do(path, WIDENS[path])
    assert (asked.status, asked.response.request.method) == (403, "POST")
    assert scene.picture() == before

    wrong = scene.visitor.send(asked, scene.filled(path), pin="000000")
    assert (wrong.status, scene.picture()) == (403, before)
    done = scene.visitor.send(wrong, scene.filled(path), pin=PIN)
    assert done.status == 200, done.text


@pytest.mark.parametrize("path", [*TAKES_AWAY, *WIDENS])
def test_form_not_shown_to_this_browser_returns_403(scene: Scene, arrive: NewVisitor, path: str) -> None:
    before = scene.picture()
    another = dict(arrive().get("/my").form("/my/in").fields)["form"]
    for form in ("", "0" * 64, another, "é"):
        answer = scene.do(path, {**TAKES_AWAY, **WIDENS}[path], form=form, pin=PIN)
        assert (answer.status, scene.picture()) == (403, before)


@pytest.mark.parametrize("path", [*sorted(FINAL), "/my/keys/add", "/my/keys/remove"])
def test_final_form_right_after_her_pin_asks_for_it_again(scene: Scene, path: str) -> None:
    """Somebody has found her phone open within five minutes of her PIN."""
    before = scene.picture()
    assert scene.do("/my/counted/yes", {}, pin=PIN).status == 200
    assert scene.do("/my/counted/no", {}).status == 200
    before = scene.picture()
    for given in ({}, {"pin": ""}, {"pin": "000000"}):
        asked = scene.do(path, WIDENS.get(path, {"key": "ab", "credential": "{{}}"}), **given)
        assert (asked.status, "Your PIN, please" in asked.text) == (403, True)
    assert scene.picture() == before


@pytest.mark.parametrize(
    ("page", "actions"),
    [
        ("/my", ["/my/link"]),
        ("/my/mine", ["/my/read", "/my/copy"]),
        ("/my/delete", ["/my/delete"]),
        ("/my/paper", ["/my/paper/card"]),
        ("/my/keys", ["/my/keys/remove", "/my/words", "/my/pin"]),
    ],
)
def test_final_form_holds_a_pin_field_even_after_step_up(
    scene: Scene, arrive: NewVisitor, page: str, actions: list[str]
) -> None:
    context, url, her = scene.house.context, scene.house.url, scene.person.subject
    passkeys.add(context, url, "token", her, Phone(url).make(passkeys.options_to_add(context, url, "token", her)))
    seen = arrive(token=scene.house.session(scene.person, stepped_up=True)).get(page)
    for action in actions:
        assert ("pin", "") in seen.form(action).fields, action
    marks = [given["id"] for _, given in seen.reader.marks if given.get("name") == "pin"]
    assert len(set(marks)) == len(marks) == len(actions), "each field has a label of its own"


HALF = {"content-type": "multipart/form-data; boundary=b; charset=utf-7"}


def parts(**fields: str) -> bytes:
    """Return a multipart form whose encoding (UTF-7) can express invalid text."""
    told = "".join(f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{fields[name]}\r\n' for name in fields)
    return f"{told}--b--\r\n".encode("ascii")


@pytest.mark.parametrize("path", ["/my/in", "/my/card", "/my/check"])
def test_form_with_invalid_text_is_answered_by_a_page(arrive: NewVisitor, path: str) -> None:
    visitor = arrive()
    token = dict(visitor.get("/my/card").form("/my/card").fields)["form"]
    for form in (parts(form="+2AA-"), parts(form=token, words="+2AA-", code="+2AA-", l="+2AA-")):
        answer = visitor.http.post(visitor.base + path, content=form, headers=HALF)
        assert (answer.status_code // 100, answer.headers["content-type"]) == (4, "text/html; charset=utf-8")


def test_invalid_text_is_refused_before_the_pin_is_asked(scene: Scene) -> None:
    before = scene.picture()
    token = dict(scene.visitor.get("/my/never").form("/my/never").fields)["form"]
    form = parts(form=token, channel="text", address="+2AA-")
    answer = scene.visitor.http.post(scene.house.url + "/my/reach", content=form, headers=HALF)
    assert (answer.status_code, scene.picture()) == (400, before)


@pytest.mark.parametrize("path", [*TAKES_AWAY, *WIDENS])
def test_form_from_another_site_returns_403(scene: Scene, path: str) -> None:
    before = scene.picture()
    fields = {name: scene.filled(value) for name, value in {**TAKES_AWAY, **WIDENS}[path].items()}
    token = dict(scene.visitor.get("/my/never").form("/my/never").fields)["form"]
    elsewhere = ({"origin": "https://elsewhere.example"}, {"origin": "null", "sec-fetch-site": "cross-site"})
    for sent in elsewhere:
        filled = {"form": token, "pin": PIN, **fields}
        answer = scene.visitor.http.post(scene.house.url + scene.filled(path), data=filled, headers=sent)
        assert (answer.status_code, scene.picture()) == (403, before)


def test_leaving_accepts_any_form_token_from_this_site_only(scene: Scene) -> None:
    """Leaving must not fail because a form is old; another site still cannot end the session."""
    token = scene.visitor.http.cookies["s"]
    refused = scene.visitor.http.post(scene.house.url + "/my/leave", headers={"origin": "https://elsewhere.example"})
    assert refused.status_code == 403
    assert scene.house.my("GET", "/grants", token).status_code == 200

    scene.visitor.http.follow_redirects = False
    left = scene.visitor.post("/my/leave", form="too old").response
    assert (left.status_code, left.headers["location"]) == (303, "/my/today")
    assert left.headers["clear-site-data"] == '"*"'
    assert scene.house.my("GET", "/grants", token).status_code == 401


def test_fifth_wrong_pin_ends_the_session(scene: Scene) -> None:
    """The next page that needs a session leads to the sign-in page."""
    seen = scene.do("/my/link", {})
    for _ in range(4):
        seen = scene.visitor.send(seen, "/my/link", pin="000000")
        assert seen.status == 403
    assert scene.visitor.send(seen, "/my/link", pin="000000").status == 403
    assert scene.visitor.get("/my/never").response.url.path == "/my"


def test_another_survivors_things_are_not_there(scene: Scene, arrive: NewVisitor) -> None:
    other = arrive(token=scene.house.session(scene.house.person(), stepped_up=True))
    stranger = Scene(scene.house, scene.agency, scene.person, scene.names, other)
    before = scene.picture()
    for path, fields in {**TAKES_AWAY, **WIDENS}.items():
        if "{agency}" in path:  # agencies are everybody's: one that she does not know is unlinked already
            assert stranger.do(path, fields).status == 200, path
        elif "{" in path:
            assert stranger.do(path, fields).status == 404, path
    assert stranger.visitor.get(scene.filled("/my/yes/{grant}")).status == 404
    assert stranger.visitor.get(scene.filled("/my/yes?request={request}")).status == 404
    assert scene.picture() == before


ONCE = ["/my/yes", "/my/requests/{request}/no", "/my/never/{restriction}/lift", "/my/paper/letter/{letter}/end"]


@pytest.mark.parametrize("path", ONCE)
def test_double_tap_acts_once_and_shows_success(scene: Scene, path: str) -> None:
    """The browser shows the answer to the second tap."""
    fields = {"request": "{request}", "category": "contact", "days": "7"} if path == "/my/yes" else {}
    first = scene.do(path, fields, pin=PIN)
    assert first.status == 200
    done = scene.picture()

    second = scene.do(path, fields, pin=PIN)
    assert second.status == 200, second.text
    assert scene.picture() == done
    if path == "/my/yes":
        assert "may see: how to reach you" in second.text.lower()


def test_double_tap_adds_one_restriction_and_one_entry(scene: Scene) -> None:
    """The pages show one restriction and one sentence after each tap."""

    def nevers() -> tuple[int, int]:
        lifts = scene.visitor.get("/my/never").response.text.count("/lift")
        return lifts, scene.visitor.get("/my/past").text.count("You said never to something.")

    assert nevers() == (1, 1)
    for _tap in range(2):
        assert scene.do("/my/never", TAKES_AWAY["/my/never"]).status == 200
        assert nevers() == (2, 2)


def test_accepting_a_declined_request_returns_404(scene: Scene) -> None:
    """Another answer than the one she gave is not a double tap."""
    assert scene.do("/my/requests/{request}/no", {}).status == 200
    done = scene.picture()
    yes = {"request": "{request}", "category": "contact", "days": "7"}
    assert scene.do("/my/yes", yes, pin=PIN).status == 404
    assert scene.picture() == done


def test_passkey_sent_twice_is_added_once(scene: Scene) -> None:
    page = scene.do("/my/keys/new", {})
    assert ("pin", "") in page.form("/my/keys/add").fields
    [options] = [given["data-options"] for _, given in page.reader.marks if "data-options" in given]
    made = Phone(scene.house.url).make(options)
    for _time in range(2):
        added = scene.do("/my/keys/add", {}, credential=made, pin=PIN)
        assert (added.status, added.response.url.path) == (200, "/my/keys"), added.text
    assert scene.house.kinds(scene.person).count("passkey.added") == 1


def test_passkey_of_another_survivor_is_refused(scene: Scene) -> None:
    context, origin, other = scene.house.context, scene.house.url, scene.house.person()
    phone = Phone(origin)
    for subject in (other.subject, scene.person.subject):
        made = phone.make(passkeys.options_to_add(context, origin, "token", subject))
        if subject == other.subject:
            passkeys.add(context, origin, "token", subject, made)
    with pytest.raises(Problem, match="400"):
        passkeys.add(context, origin, "token", scene.person.subject, made)
    assert passkeys.keys_of(context, scene.person.subject) == []
    assert "passkey.added" not in scene.house.kinds(scene.person)


NESTED = "[" * 19_000


@pytest.mark.parametrize("path", ["/my/keys/add", "/my/keys/remove"])
@pytest.mark.parametrize(
    "sent", [{}, {"key": "zz", "credential": "{"}, {"key": "ab", "credential": '{"id": "x"}'}, {"credential": NESTED}]
)
def test_malformed_passkey_adds_and_removes_nothing(scene: Scene, path: str, sent: dict[str, str]) -> None:
    before = scene.picture()
    assert scene.do(path, {}, pin=PIN, **sent).status in {400, 404}
    assert scene.picture() == before


@pytest.mark.parametrize("cose", [[], "", {}, 7, {1: 2, 3: -7}], ids=repr)
def test_passkey_with_malformed_public_key_is_refused(scene: Scene, cose: object) -> None:
    context, url, her = scene.house.context, scene.house.url, scene.person.subject
    made = Phone(url).make(passkeys.options_to_add(context, url, "token", her), cose)
    with pytest.raises(Problem, match="400"):
        passkeys.add(context, url, "token", her, made)
    assert passkeys.keys_of(context, her) == []


def test_sign_in_with_malformed_assertion_returns_401(scene: Scene) -> None:
    context, url, her = scene.house.context, scene.house.url, scene.person.subject
    phone = Phone(url)
    passkeys.add(context, url, "token", her, phone.make(passkeys.options_to_add(context, url, "token", her)))
    with pytest.raises(Problem, match="401"):
        passkeys.come_in(context, url, "token", base64url(phone.name), NESTED)


@pytest.mark.parametrize("sent", [{}, {"key": "!!", "credential": "{"}, {"key": "YWI", "credential": '{"id": "x"}'}])
def test_sign_in_with_malformed_passkey_returns_401(arrive: NewVisitor, sent: dict[str, str]) -> None:
    visitor = arrive()
    assert visitor.send(visitor.get("/my"), "/my/in/key", **{"key": "", **sent}).status == 401


def test_page_after_erasure_has_no_menu(scene: Scene) -> None:
    """None of her pages is offered any more; *Leave now* still is."""
    before = scene.visitor.get("/my/delete")
    assert "/my/past" in before.reader.links
    done = scene.do("/my/delete", {"sure": "yes"}, pin=PIN)
    assert (done.status, "Everything is deleted" in done.text) == (200, True)
    assert set(done.reader.links) & {f"/my/{name}" for name in ("yes", "never", "past", "mine", "keys")} == set()
    assert "data-here" not in done.response.text
    assert done.form("/my/leave").method == "post"
