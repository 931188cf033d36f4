"""Pages for a survivor's passkeys, a new passphrase and a new PIN."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import Response

from services.common.errors import Problem, not_found
from services.consent.handlers.accounts import passkeys
from services.consent.pages.page_context import (
    HOME,
    FormPage,
    GuestFormPage,
    PageContext,
    PageRoute,
    PinNowPage,
    SessionPage,
)
from services.consent.pages.sign_in import show_sign_in

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Credential = Annotated[str, Form(max_length=20_000)]
Name = Annotated[str, Form(max_length=2_048)]
NewPin = Annotated[str, Form(max_length=6)]


@routes.get("/keys")
def keys(page: SessionPage) -> Response:
    """Show her passkeys with their use."""
    return _keys(page)


def _keys(page: PageContext, wrong: str = "") -> Response:
    """Show her passkeys. `wrong` says why a new PIN was refused: `digits`, not six of them; `again`, not typed alike."""
    shown = {"keys": passkeys.keys_of(page.context, page.subject), "wrong": wrong}
    return page.show("keys.html", 400 if wrong else 200, **shown)


@routes.post("/words")
def make_passphrase(page: PinNowPage) -> Response:
    """Replace her passphrase. Only this answer shows the new one, so it must not be a redirect."""
    return page.show("new_words.html", words=page.auth.new_passphrase(page.request, page.here))


@routes.post("/pin")
def set_pin(page: PinNowPage, new: NewPin = "", again: NewPin = "") -> Response:
    """Replace her PIN. She types it twice and no answer shows it: an answer may be lost on a broken connection."""
    if new != again:
        return _keys(page, "again")
    try:
        page.auth.new_pin(page.request, page.here, new)
    except Problem as problem:
        if problem.status != 400:
            raise
        return _keys(page, "digits")
    return page.show("new_pin.html")


@routes.post("/keys/new")
def before_adding(page: FormPage) -> Response:
    """Show the page on which her browser makes a passkey, and where she gives her PIN."""
    options = passkeys.options_to_add(page.context, page.auth.origin, page.token, page.subject)
    return page.show("key.html", options=options)


@routes.post("/keys/add")
def add(page: PinNowPage, credential: Credential = "") -> Response:
    """Keep the passkey that her browser made."""
    passkeys.add(page.context, page.auth.origin, page.token, page.subject, credential)
    return page.go("/keys")


@routes.post("/keys/remove")
def remove(page: PinNowPage, key: Name = "") -> Response:
    """Remove one passkey."""
    try:
        name = bytes.fromhex(key)
    except ValueError as error:
        raise not_found() from error
    passkeys.remove(page.context, page.subject, name)
    return page.go("/keys")


@routes.post("/in/key")
def come_in(page: GuestFormPage, key: Name = "", credential: Credential = "") -> Response:
    """Sign in with a passkey."""
    try:
        token = passkeys.come_in(page.context, page.auth.origin, page.token, key, credential)
    except Problem:
        return show_sign_in(page, wrong=True)
    response = page.go()
    page.auth.let_in(response, token)
    return response
