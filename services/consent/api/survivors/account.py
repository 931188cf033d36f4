"""Routes for a survivor's account as JSON: new credentials, link codes, statistics, erasure."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep, SessionDep, SurvivorAuthDep
from services.consent.api.survivors.pins import NewPin, NewPinDep, PinNowDep
from services.consent.api.survivors.row_models import IsoTime
from services.consent.handlers.accounts import links
from services.consent.handlers.rights import erasure, export
from services.consent.handlers.rights.statistics import set_statistics

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


class Switch(Body):
    """On or off."""

    on: bool


class NewPassphrase(BaseModel):
    """The new passphrase, shown this one time."""

    passphrase: str


class NewLinkCode(BaseModel):
    """A code to tell one agency, so that it may refer for you."""

    link_code: str
    expires_at: IsoTime


class LinkList(BaseModel):
    """The ids of the agencies that know you."""

    agencies: list[str]


@routes.post("/words", status_code=201)
def make_passphrase(auth: SurvivorAuthDep, request: Request, session: PinNowDep) -> NewPassphrase:
    """Make a new passphrase, shown this one time; the body holds your PIN. The old passphrase and all other sessions end.

    If this answer is lost, make another one in this session.
    """
    return NewPassphrase(passphrase=auth.new_passphrase(request, session))


@routes.post("/pin", status_code=204)
def set_pin(auth: SurvivorAuthDep, request: Request, session: NewPinDep, body: NewPin) -> None:
    """Set a new PIN; the body holds both. The old one stops working, and in every other session it has to be given again.

    If this answer is lost, your ledger says whether it was set.
    """
    auth.new_pin(request, session, body.new_pin)


@routes.post("/link-codes", status_code=201)
def link_code(context: ContextDep, session: PinNowDep) -> NewLinkCode:
    """Make a code to tell one agency, so that it may refer for you. Good once, for an hour. The body holds your PIN."""
    made = links.make_link_code(context, session.subject)
    return NewLinkCode(link_code=made.code, expires_at=made.expires_at.isoformat())


@routes.get("/links")
def list_links(context: ContextDep, session: SessionDep) -> LinkList:
    """List the agencies that know you."""
    return LinkList(agencies=sorted(export.overview(context, session.subject)["links"]))


@routes.delete("/links/{agency}", status_code=204)
def unlink(context: ContextDep, session: SessionDep, agency: str) -> None:
    """Let an agency know you no longer: what you allowed it ends, and it can do nothing for you any more."""
    links.unlink(context, session.subject, agency)


@routes.put("/statistics", status_code=204)
def statistics(context: ContextDep, auth: SurvivorAuthDep, request: Request, session: SessionDep, body: Switch) -> None:
    """Be counted in the reports, or not. Only a yes needs the PIN."""
    if body.on:
        session = auth.stepped_up(request)
    set_statistics(context, session.subject, on=body.on)


@routes.delete("", status_code=204)
def erase(context: ContextDep, auth: SurvivorAuthDep, session: PinNowDep, response: Response) -> None:
    """Erase everything; the body holds your PIN. This cannot be undone."""
    erasure.erase(context, session.subject)
    auth.show_out(response)
