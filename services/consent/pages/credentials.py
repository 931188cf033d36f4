"""Keys on her phones and computers: listed with their use, added with the PIN, taken away with a tap. New words and PIN."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import Response

from services.common.errors import Problem, not_found
from services.consent.handlers.accounts import passkeys
from services.consent.pages.page_context import HOME, Her, HerHand, HerPin, PageRoute, Sender, Visit
from services.consent.pages.sign_in import way_in

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Credential = Annotated[str, Form(max_length=20_000)]
Name = Annotated[str, Form(max_length=2_048)]
NewPin = Annotated[str, Form(max_length=6)]


@routes.get("/keys")
def keys(visit: Her) -> Response:
    """Her keys."""
    return _keys(visit)


def _keys(visit: Visit, wrong: str = "") -> Response:
    """The same, after a new PIN that was none (`digits`) or not typed alike (`again`)."""
    shown = {"keys": passkeys.keys_of(visit.context, visit.subject), "wrong": wrong}
    return visit.show("keys.html", 400 if wrong else 200, **shown)


@routes.post("/words")
def make_passphrase(visit: HerPin) -> Response:
    """New words in place of hers. They are on this answer only, so that it is no redirect."""
    return visit.show("new_words.html", words=visit.auth.new_passphrase(visit.here))


@routes.post("/pin")
def set_pin(visit: HerPin, new: NewPin = "", again: NewPin = "") -> Response:
    """A new PIN in place of hers. Typed twice, and shown nowhere: a line that breaks could keep it from her."""
    if new != again:
        return _keys(visit, "again")
    try:
        visit.auth.new_pin(visit.here, new)
    except Problem as problem:
        if problem.status != 400:
            raise
        return _keys(visit, "digits")
    return visit.show("new_pin.html")


@routes.post("/keys/new")
def before_adding(visit: HerPin) -> Response:
    """Where her browser makes a key."""
    options = passkeys.options_to_add(visit.context, visit.auth.origin, visit.token, visit.subject)
    return visit.show("key.html", options=options)


@routes.post("/keys/add")
def add(visit: HerPin, credential: Credential = "") -> Response:
    """Keep what her browser made."""
    passkeys.add(visit.context, visit.auth.origin, visit.token, visit.subject, credential)
    return visit.go("/keys")


@routes.post("/keys/remove")
def remove(visit: HerHand, key: Name = "") -> Response:
    """Take one away."""
    try:
        name = bytes.fromhex(key)
    except ValueError as error:
        raise not_found() from error
    passkeys.remove(visit.context, visit.subject, name)
    return visit.go("/keys")


@routes.post("/in/key")
def come_in(guest: Sender, key: Name = "", credential: Credential = "") -> Response:
    """Come in with a key."""
    try:
        token = passkeys.come_in(guest.context, guest.auth.origin, guest.token, key, credential)
    except Problem:
        return way_in(guest, wrong=True)
    response = guest.go()
    guest.auth.let_in(response, token)
    return response
