"""Pages without a session: sign in, claim an account, revoke card, check a letter; and *Leave now*."""

import calendar
from contextlib import suppress
from typing import Annotated

from babel.dates import get_day_names
from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from services.common.errors import Problem
from services.consent.api.dependencies import ContextDep, SurvivorAuthDep
from services.consent.handlers.accounts import passkeys, preferences, sessions
from services.consent.handlers.grants import grants, pending
from services.consent.handlers.grants.again import ends_soon
from services.consent.handlers.rights import export, letters
from services.consent.pages.grant_form import still_given
from services.consent.pages.labels import locale_of
from services.consent.pages.page_context import (
    HOME,
    FormPage,
    GuestFormPage,
    GuestPage,
    PageContext,
    PageRoute,
    SessionPage,
    session_page,
)

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Code = Annotated[str, Form(max_length=64)]


@routes.get("")
@routes.get("/")
def home(page: GuestPage) -> Response:
    """Show her home page, or without a session the sign-in page."""
    try:
        own = session_page(page.context, page.auth, page.request)
    except Problem:
        return show_sign_in(page)
    return _home(own)


def show_sign_in(page: PageContext, *, wrong: bool = False) -> Response:
    """Show the sign-in page; `wrong` after a failed attempt."""
    options = passkeys.options_to_come_in(page.context, page.auth.origin, page.token)
    return page.show("way_in.html", 401 if wrong else 200, wrong=wrong, options=options)


def _home(page: PageContext) -> Response:
    seen = export.overview(page.context, page.subject)
    live = [row for row in seen["grants"] if still_given(row, page.context.clock.now())]
    waits = [row for row, _why in pending.waits_of(page.context, page.subject)]
    asked = {name for row in seen["requests"] for name in (*row.choices, row.asked_by)}
    looked = {name for row in waits for name in (row.agency, row.second_look_by)}
    names = preferences.names(page.context, asked | looked | {row.agency for row in live})
    stopped = export.kept_back(page.context, page.subject, live)
    soon = {row.id for row in live if ends_soon(row, page.context.clock.now())}
    listed = list(zip(live, stopped, strict=True))
    return page.show("home.html", seen=seen, grants=listed, waits=waits, names=names, soon=soon)


@routes.post("/in")
def come_in(page: GuestFormPage, words: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Sign in with the passphrase."""
    try:
        token = page.auth.come_in(page.request, words)
    except Problem as problem:
        if problem.status != 401:
            raise
        return show_sign_in(page, wrong=True)
    response = page.go()
    page.auth.let_in(response, token)
    return response


@routes.get("/start")
def first_time(page: GuestPage) -> Response:
    """Show the page on which a claim code is used."""
    return page.show("start.html", wrong=False, code="")


@routes.post("/start")
def claim(page: GuestFormPage, code: Code = "", pin: Annotated[str, Form(max_length=6)] = "") -> Response:
    """Exchange a claim code for a passphrase and a PIN. Only this answer shows them, so it must not be a redirect."""
    try:
        claimed = page.auth.claim(page.request, code, pin or None, page.language)
    except Problem as problem:
        if problem.status not in {400, 401}:
            raise
        return page.show("start.html", problem.status, wrong=problem.code, code=code)
    response = page.show("words.html", claimed=claimed)
    page.auth.let_in(response, claimed.session)
    return response


@routes.get("/card")
def card(page: GuestPage) -> Response:
    """Show the page on which a revoke card is used."""
    return page.show("card.html", done=False, wrong=False, code="")


@routes.post("/card")
def use_card(page: GuestFormPage, code: Code = "") -> Response:
    """End every grant with the code of a revoke card. The answer shows nothing about her."""
    try:
        grants.revoke_all(page.context, sessions.subject_of_card(page.context, code))
    except Problem as problem:
        if problem.status != 401:
            raise
        return page.show("card.html", 400, done=False, wrong=True, code=code)
    return page.show("card.html", done=True, wrong=False)


@routes.get("/check")
def check(page: GuestPage) -> Response:
    """Show the page on which a letter is checked by the person who was shown it."""
    return page.show("check.html", answer=None, code="")


@routes.post("/check")
def check_letter(page: GuestFormPage, code: Code = "") -> Response:
    """Check a letter; its code works once."""
    agency = letters.check_letter(page.context, code)
    return page.show("check.html", 200 if agency else 404, answer=agency or "", code=code)


@routes.get("/still")
def still(_page: SessionPage) -> Response:
    """Keep the session alive while somebody types."""
    return Response(status_code=204)


@routes.get("/about")
def about(page: GuestPage) -> Response:
    """Explain what leaving does and cannot do: browser history, and programs that watch a phone."""
    return page.show("about.html")


@routes.post("/leave")
def leave(context: ContextDep, auth: SurvivorAuthDep, request: Request) -> Response:
    """End the session, clear the browser's data and redirect to a neutral page. Any form token is accepted."""
    auth.same_site(request)
    with suppress(Problem):  # The session may be over already.
        sessions.leave(context, auth.session(request))
    response = RedirectResponse(auth.leave_to, 303)
    auth.show_out(response)
    return response


@routes.get("/today")
def today(page: GuestPage) -> Response:
    """Show a calendar of this month: the page to leave to, unless the operator named another one."""
    now, locale = page.context.clock.now().astimezone(page.auth.zone), locale_of(page.language)
    first = locale.first_week_day
    weeks = calendar.Calendar(first).monthdatescalendar(now.year, now.month)
    names = get_day_names("abbreviated", locale=locale)
    return page.show("today.html", now=now, weeks=weeks, names=[names[(first + day) % 7] for day in range(7)])


@routes.post("/language")
def speak(page: FormPage, to: Annotated[str, Form(max_length=2)]) -> Response:
    """Change the language of her pages."""
    preferences.set_language(page.context, page.subject, to)
    return page.go()
