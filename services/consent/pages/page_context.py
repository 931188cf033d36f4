"""One visit to a page: who comes, in which language, and how she is answered; errors become pages too."""

import hmac
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.common.errors import Problem, invalid, unavailable
from services.common.http.app import is_page
from services.consent.api.dependencies import ContextDep, SurvivorAuth, SurvivorAuthDep
from services.consent.context import Context
from services.consent.credentials import new_session_token
from services.consent.handlers.accounts import preferences, sessions
from services.consent.handlers.accounts.sessions import Session
from services.consent.pages.labels import LANGUAGES, catalogue, preferred, templates

HOME = "/my"
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
# What a yes may lack where a young person gives it, by the member that a problem names.
YOUNG = {"/second_look_by": "second-look", "/words": "words-later"}
FORM_FIELDS = {"form", "pin", "l"}


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page. `token` is the cookie's: a session's, or before that a random one that opens nothing."""

    context: Context
    auth: SurvivorAuth
    request: Request
    token: str
    language: str
    session: Session | None = None

    @property
    def form(self) -> str:
        """What each of this browser's forms carries, and no other site can know."""
        return self.context.secrets.tag("form", self.token).hex()

    @property
    def subject(self) -> UUID:
        """Who she is."""
        return self.here.subject

    @property
    def here(self) -> Session:
        """Her session; raises a 401 problem if there is none."""
        if self.session is None:
            raise sessions.not_let_in()
        return self.session

    def show(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """A page."""
        page = templates(self.language, self.auth.zone).get_template(template).render(visit=self, home=HOME, **values)
        response = HTMLResponse(page, status)
        response.headers["content-security-policy"] = policy(self.auth.leave_to)
        if self.form in page and self.request.cookies.get(self.auth.cookie) != self.token:
            # Her form needs the cookie that its token was made from; a page without a form leaves nothing behind.
            self.auth.let_in(response, self.token)
        return response

    def say(self, text: str) -> str:
        """A sentence in her language."""
        return catalogue(self.language).gettext(text)

    def go(self, path: str = "") -> RedirectResponse:
        """After an act, a page that can be loaded again."""
        return RedirectResponse(HOME + path, 303)


@contextmanager
def unless_done(done: Callable[[], bool]) -> Iterator[None]:
    """Let what she asks for be missing where she has done just that before: a button pressed twice, an answer lost."""
    try:
        yield
    except Problem as problem:
        if problem.status != 404 or not done():
            raise


def policy(leave_to: str) -> str:
    """The pages' content security policy: nothing from elsewhere; only leaving may lead to another site."""
    parts = urlsplit(leave_to)
    return f"{POLICY} {parts.scheme}://{parts.netloc}" if parts.netloc else POLICY


def anyone(
    context: ContextDep,
    auth: SurvivorAuthDep,
    request: Request,
    l: Annotated[str | None, Form()] = None,  # noqa: E741 - short, since it stands in the address
) -> Visit:
    """Somebody without a session; a form must come from a page that was shown to the same browser."""
    token = request.cookies.get(auth.cookie) or new_session_token()
    chosen = l or request.query_params.get("l") or ""
    language = chosen if chosen in LANGUAGES else preferred(*request.headers.getlist("accept-language"))
    return _kept(Visit(context, auth, request, token, language))


Guest = Annotated[Visit, Depends(anyone)]


def sender(guest: Guest, form: Annotated[str, Form()] = "") -> Visit:
    """The same, with a form that was shown to this browser."""
    guest.auth.same_site(guest.request)
    if not hmac.compare_digest(form.encode(), guest.form.encode()):
        raise Problem(403, "old-form", "This form is too old.")
    return guest


def her(context: ContextDep, auth: SurvivorAuthDep, request: Request) -> Visit:
    """She herself, looking."""
    session = auth.session(request)
    language = preferences.language_of(context, session.subject)
    return _kept(Visit(context, auth, request, request.cookies[auth.cookie], language, session))


def her_hand(visit: Annotated[Visit, Depends(her)], form: Annotated[str, Form()] = "") -> Visit:
    """She herself, acting by a form of hers."""
    return sender(visit, form)


def her_pin(visit: Annotated[Visit, Depends(her_hand)], pin: Annotated[str, Form(max_length=6)] = "") -> Visit:
    """She herself, acting, with her PIN now or a moment ago."""
    if not visit.here.stepped_up:
        if not pin:
            raise sessions.pin_needed()
        visit.auth.step_up(visit.here, pin)
    return visit


Sender = Annotated[Visit, Depends(sender)]
Her = Annotated[Visit, Depends(her)]
HerHand = Annotated[Visit, Depends(her_hand)]
HerPin = Annotated[Visit, Depends(her_pin)]

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose every answer is a page: without a session the way in, without the PIN a page that asks for it."""

    def get_route_handler(self) -> Answer:
        """The handler, with errors as pages."""
        answer = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                return await _answered(answer, request)
            except UnicodeEncodeError:
                # By a form in an encoding of its own somebody sent half of a surrogate pair, which is no text anywhere.
                return await _trouble(request, invalid())

        return page


async def _answered(answer: Answer, request: Request) -> Response:
    try:
        return await answer(request)
    except Problem as problem:
        return await _trouble(request, problem)
    except RequestValidationError:
        return await _trouble(request, invalid())
    except DataError:
        return await _trouble(request, invalid())
    except (OperationalError, PoolTimeout):
        return await _trouble(request, unavailable("A part of the hub cannot be reached."))


def _code(problem: Problem) -> str:
    """Which words of the page go with a problem."""
    members = {fault.member for fault in problem.faults}
    return next((code for member, code in YOUNG.items() if member in members), problem.code)


def show_trouble(request: Request, problem: Problem) -> Response | None:
    """The page for a browser that asked for what is no page of hers; nobody is looked up for it. None beside her pages."""
    if not is_page(request.url.path, HOME):
        return None
    return _visit(request).show("trouble.html", problem.status, code=_code(problem))


def _visit(request: Request) -> Visit:
    """Who is here, as far as that was found out already."""
    visit: Visit | None = getattr(request.state, "visit", None)
    return visit or anyone(request.app.state.context, request.app.state.auth, request)


async def _trouble(request: Request, problem: Problem) -> Response:
    if problem.status == 401:
        return RedirectResponse(HOME, 303)
    visit = _visit(request)
    if problem.code in {"pin-needed", "wrong-pin"}:
        # Whatever she has filled in goes along, and is done once the PIN is right.
        fields = [item for item in (await request.form()).multi_items() if item[0] not in FORM_FIELDS]
        return visit.show("pin.html", problem.status, fields=fields, code=problem.code, path=request.url.path)
    return visit.show("trouble.html", problem.status, code=_code(problem))


def _kept(visit: Visit) -> Visit:
    visit.request.state.visit = visit
    return visit
