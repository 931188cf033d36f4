"""The context of a request for a page: session, language, form token and answers. Errors become pages here, too."""

import hmac
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from services.common.http.gates import before_body, checked
from services.consent.api.dependencies import ContextDep, SurvivorAuth, SurvivorAuthDep, find_session
from services.consent.context import Context
from services.consent.credentials import new_session_token
from services.consent.handlers.accounts import preferences, sessions
from services.consent.handlers.accounts.sessions import Session
from services.consent.pages.labels import LANGUAGES, catalogue, preferred, templates

HOME = "/my"
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
# The problem codes of a young person's grant, by the member that the problem names.
YOUNG = {"/second_look_by": "second-look", "/words": "words-later"}
FORM_FIELDS = {"form", "pin", "l"}


@dataclass(frozen=True, slots=True)
class PageContext:
    """A request for a page. `token` is the cookie's value: a session token, or before sign-in a random one."""

    context: Context
    auth: SurvivorAuth
    request: Request
    token: str
    language: str
    session: Session | None = None

    @property
    def form(self) -> str:
        """The form token (against cross-site requests): each form of this browser carries it, and no other site knows it."""
        return self.context.secrets.tag("form", self.token).hex()

    @property
    def subject(self) -> UUID:
        """The survivor's id; raises a 401 problem without a session."""
        return self.here.subject

    @property
    def here(self) -> Session:
        """The session; raises a 401 problem if there is none."""
        if self.session is None:
            raise sessions.not_let_in()
        return self.session

    def show(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """Return a page with its content security policy, and with the cookie if its form needs one."""
        html = templates(self.language, self.auth.zone).get_template(template).render(page=self, home=HOME, **values)
        response = HTMLResponse(html, status)
        response.headers["content-security-policy"] = policy(self.auth.leave_to)
        if self.form in html and self.request.cookies.get(self.auth.cookie) != self.token:
            # The form token was made from the cookie. A page without a form sets no cookie.
            self.auth.let_in(response, self.token)
        return response

    def say(self, text: str) -> str:
        """Return a sentence in the language of the page."""
        return catalogue(self.language).gettext(text)

    def go(self, path: str = "") -> RedirectResponse:
        """Redirect after POST (303) to a page of hers."""
        return RedirectResponse(HOME + path, 303)


@contextmanager
def unless_done(done: Callable[[], bool]) -> Iterator[None]:
    """Ignore a 404 problem if `done` says that the same act was done before: a double tap, or a lost answer."""
    try:
        yield
    except Problem as problem:
        if problem.status != 404 or not done():
            raise


def policy(leave_to: str) -> str:
    """Return the content security policy of a page: only this site, and the address to leave to as a form target."""
    parts = urlsplit(leave_to)
    return f"{POLICY} {parts.scheme}://{parts.netloc}" if parts.netloc else POLICY


def guest_page(
    context: ContextDep,
    auth: SurvivorAuthDep,
    request: Request,
    l: Annotated[str | None, Form()] = None,  # noqa: E741 - short, since it is part of the address
) -> PageContext:
    """Return the context of a page that needs no session."""
    token = request.cookies.get(auth.cookie) or new_session_token()
    chosen = l or request.query_params.get("l") or ""
    language = chosen if chosen in LANGUAGES else preferred(*request.headers.getlist("accept-language"))
    return _remembered(PageContext(context, auth, request, token, language))


GuestPage = Annotated[PageContext, Depends(guest_page)]


def guest_form_page(page: GuestPage, form: Annotated[str, Form()] = "") -> PageContext:
    """Return the context of a form that needs no session; raise 403 unless the form was shown to this browser."""
    page.auth.same_site(page.request)
    if not hmac.compare_digest(form.encode(), page.form.encode()):
        raise Problem(403, "old-form", "This form is too old.")
    return page


@before_body(find_session)
def session_page(context: ContextDep, auth: SurvivorAuthDep, request: Request) -> PageContext:
    """Return the context of a page that needs a session; raise 401 if there is none."""
    session: Session = checked(request, find_session)
    language = preferences.language_of(context, session.subject)
    return _remembered(PageContext(context, auth, request, request.cookies[auth.cookie], language, session))


def form_page(page: Annotated[PageContext, Depends(session_page)], form: Annotated[str, Form()] = "") -> PageContext:
    """Return the context of a form that needs a session; raise 403 unless the form was shown to this browser."""
    return guest_form_page(page, form)


def pin_page(
    page: Annotated[PageContext, Depends(form_page)], pin: Annotated[str, Form(max_length=6)] = ""
) -> PageContext:
    """Return the context of a form that needs a session and the PIN, given now or in the last minutes."""
    if not page.here.stepped_up:
        if not pin:
            raise sessions.pin_needed()
        page.auth.step_up(page.request, page.here, pin)
    return page


def pin_now_page(
    page: Annotated[PageContext, Depends(form_page)], pin: Annotated[str, Form(max_length=6)] = ""
) -> PageContext:
    """Return the context of a form that needs a session and the PIN in this very form, for what cannot be undone."""
    return replace(page, session=page.auth.confirm(page.request, page.here, pin))


GuestFormPage = Annotated[PageContext, Depends(guest_form_page)]
SessionPage = Annotated[PageContext, Depends(session_page)]
FormPage = Annotated[PageContext, Depends(form_page)]
PinPage = Annotated[PageContext, Depends(pin_page)]
PinNowPage = Annotated[PageContext, Depends(pin_now_page)]

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose answers are all pages, errors and the question for the PIN included; 401 redirects to sign-in."""

    def get_route_handler(self) -> Answer:
        """Return the handler that answers errors by pages."""
        answer = super().get_route_handler()

        async def respond(request: Request) -> Response:
            try:
                return await _answered(answer, request)
            except UnicodeEncodeError:
                # A form in an encoding of its own sent half of a surrogate pair, which is not valid text.
                return await _trouble(request, invalid())

        return respond


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
    """Return the code by which the template chooses the sentence of a problem."""
    members = {fault.member for fault in problem.faults}
    return next((code for member, code in YOUNG.items() if member in members), problem.code)


def show_trouble(request: Request, problem: Problem) -> Response | None:
    """Return the page for an unknown address below `/my`, None elsewhere. No session is looked up for it."""
    if not is_page(request.url.path, HOME):
        return None
    return _context_of(request).show("trouble.html", problem.status, code=_code(problem))


def _context_of(request: Request) -> PageContext:
    """Return the context that a dependency made for this request, or that of a guest."""
    page: PageContext | None = getattr(request.state, "page", None)
    return page or guest_page(request.app.state.context, request.app.state.auth, request)


async def _trouble(request: Request, problem: Problem) -> Response:
    if problem.status == 401:
        return RedirectResponse(HOME, 303)
    page = _context_of(request)
    if problem.code in {"pin-needed", "wrong-pin"}:
        # The page carries the filled-in fields along, so that the act is done once the PIN is right.
        fields = [item for item in (await request.form()).multi_items() if item[0] not in FORM_FIELDS]
        return page.show("pin.html", problem.status, fields=fields, code=problem.code, path=request.url.path)
    return page.show("trouble.html", problem.status, code=_code(problem))


def _remembered(page: PageContext) -> PageContext:
    page.request.state.page = page
    return page
