"""Coming in and going out: her words, the slip's code, the revoke card, a letter to check, and *Leave now*."""

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
from services.consent.handlers.rights import export, letters
from services.consent.pages.grant_form import still_given
from services.consent.pages.labels import locale_of
from services.consent.pages.page_context import HOME, Guest, Her, HerHand, PageRoute, Sender, Visit, her

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
Code = Annotated[str, Form(max_length=64)]


@routes.get("")
@routes.get("/")
def home(guest: Guest) -> Response:
    """Who may see what and what waits for her, or the way in."""
    try:
        visit = her(guest.context, guest.auth, guest.request)
    except Problem:
        return way_in(guest)
    return _home(visit)


def way_in(guest: Visit, *, wrong: bool = False) -> Response:
    """The way in, after a try that was `wrong` as well."""
    options = passkeys.options_to_come_in(guest.context, guest.auth.origin, guest.token)
    return guest.show("way_in.html", 401 if wrong else 200, wrong=wrong, options=options)


def _home(visit: Visit) -> Response:
    seen = export.overview(visit.context, visit.subject)
    live = [row for row in seen["grants"] if still_given(row, visit.context.clock.now())]
    waits = [row for row, _why in pending.waits_of(visit.context, visit.subject)]
    asked = {name for row in seen["requests"] for name in (row.agency, row.asked_by)}
    looked = {name for row in waits for name in (row.agency, row.second_look_by)}
    names = preferences.names(visit.context, asked | looked | {row.agency for row in live})
    stopped = grants.kept_back(visit.context, visit.subject, live)
    return visit.show("home.html", seen=seen, grants=list(zip(live, stopped, strict=True)), waits=waits, names=names)


@routes.post("/in")
def come_in(guest: Sender, words: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Come in with her words."""
    try:
        token = guest.auth.come_in(guest.request, words)
    except Problem as problem:
        if problem.status != 401:
            raise
        return way_in(guest, wrong=True)
    response = guest.go()
    guest.auth.let_in(response, token)
    return response


@routes.get("/start")
def first_time(guest: Guest) -> Response:
    """The first time, with the code on the slip."""
    return guest.show("start.html", wrong=False, code="")


@routes.post("/start")
def claim(guest: Sender, code: Code = "", pin: Annotated[str, Form(max_length=6)] = "") -> Response:
    """Turn the slip's code into words and a PIN. They are on this answer only, so that it is no redirect."""
    try:
        claimed = guest.auth.claim(code, pin or None, guest.language)
    except Problem as problem:
        if problem.status not in {400, 401}:
            raise
        return guest.show("start.html", problem.status, wrong=problem.code, code=code)
    response = guest.show("words.html", claimed=claimed)
    guest.auth.let_in(response, claimed.session)
    return response


@routes.get("/card")
def card(guest: Guest) -> Response:
    """Where the revoke card is used."""
    return guest.show("card.html", done=False, wrong=False, code="")


@routes.post("/card")
def use_card(guest: Sender, code: Code = "") -> Response:
    """End everything with the card's code. Shows nothing about her."""
    try:
        grants.revoke_all(guest.context, sessions.subject_of_card(guest.context, code))
    except Problem as problem:
        if problem.status != 401:
            raise
        return guest.show("card.html", 400, done=False, wrong=True, code=code)
    return guest.show("card.html", done=True, wrong=False)


@routes.get("/check")
def check(guest: Guest) -> Response:
    """Where somebody who was shown a letter looks whether it is good."""
    return guest.show("check.html", answer=None, code="")


@routes.post("/check")
def check_letter(guest: Sender, code: Code = "") -> Response:
    """Look, once."""
    agency = letters.check_letter(guest.context, code)
    return guest.show("check.html", 200 if agency else 404, answer=agency or "", code=code)


@routes.get("/still")
def still(_visit: Her) -> Response:
    """Somebody types: the visit goes on."""
    return Response(status_code=204)


@routes.get("/about")
def about(guest: Guest) -> Response:
    """What leaving does and cannot do: history, and programs that watch a phone."""
    return guest.show("about.html")


@routes.post("/leave")
def leave(context: ContextDep, auth: SurvivorAuthDep, request: Request) -> Response:
    """End the session, leave nothing in the browser, and go where it is neutral. Works whatever the form carries."""
    auth.same_site(request)
    with suppress(Problem):  # The session may be over already.
        sessions.leave(context, auth.session(request))
    response = RedirectResponse(auth.leave_to, 303)
    auth.show_out(response)
    return response


@routes.get("/today")
def today(guest: Guest) -> Response:
    """This month, for whoever has left and whose operator named no other place."""
    now, locale = guest.context.clock.now().astimezone(guest.auth.zone), locale_of(guest.language)
    first = locale.first_week_day
    weeks = calendar.Calendar(first).monthdatescalendar(now.year, now.month)
    names = get_day_names("abbreviated", locale=locale)
    return guest.show("today.html", now=now, weeks=weeks, names=[names[(first + day) % 7] for day in range(7)])


@routes.post("/language")
def speak(visit: HerHand, to: Annotated[str, Form(max_length=2)]) -> Response:
    """Read on in another language."""
    preferences.set_language(visit.context, visit.subject, to)
    return visit.go()
