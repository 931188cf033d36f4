"""Routes of an agency's webhook: where it is told that its feed has grown (Standard Webhooks 1.0)."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.common.http.dependencies import from_state
from services.common.http.request_models import Body
from services.referral.api.queries import MOST_NUMBER, ContextDep
from services.referral.handlers import webhooks as handlers
from services.referral.handlers.webhooks import View, Webhooks, Wish

routes = APIRouter(prefix="/referral/v1/webhook", tags=["agencies"])
WebhooksDep = Annotated[Webhooks, Depends(from_state("webhooks"))]


class WebhookBody(Body):
    """Where to, and how it is signed. Without `rotate` the secret stays."""

    url: str = Field(max_length=512, description=handlers.ACCEPTED)
    signing: Literal["ed25519", "hmac"] = "ed25519"
    rotate: bool = Field(False, description="Make a new secret. The one before signs too for a day.")


class Failure(BaseModel):
    """An entry that did not arrive. Without `next_try` it is not sent again unless you ask for a replay."""

    number: int
    type: str
    id: str
    tries: int
    answer: str = Field(description="The last HTTP status, or `unreachable`.")
    failed_at: datetime
    next_try: datetime | None


class Webhook(BaseModel):
    """Your webhook. `sent` is the last number that was tried; `last` is that of your feed."""

    url: str
    signing: str
    secret: str | None = Field(description="A new shared secret (`whsec_`), shown this once.")
    public_key: str | None = Field(description="Verifies Ed25519 signatures (`whpk_`).")
    previous_until: datetime | None = Field(description="Until when the secret before signs too.")
    sent: int
    last: int
    failing_since: datetime | None
    not_before: datetime | None = Field(description="Nothing is sent before then, since the last try failed.")
    disabled_at: datetime | None
    disabled_because: Literal["gone", "failing", "secret"] | None
    failures: list[Failure] = Field(description="The newest hundred.")


class Replay(Body):
    """Send everything after this number again."""

    after: int = Field(ge=0, le=MOST_NUMBER)


class Numbered(BaseModel):
    """The number of the last entry that will be sent."""

    number: int


@routes.put("", dependencies=[limited("webhooks")])
def put(context: ContextDep, webhooks: WebhooksDep, agency: Caller, body: WebhookBody) -> Webhook:
    """Have the hub call you when your feed grows, with type, id and number. This also switches a webhook on again."""
    return _told(handlers.set_webhook(context, webhooks, agency, Wish(body.url, body.signing, body.rotate)))


@routes.get("", dependencies=[limited("reads")])
def get(context: ContextDep, webhooks: WebhooksDep, agency: Caller) -> Webhook:
    """Return your webhook, and what did not arrive."""
    return _told(handlers.read_webhook(context, webhooks, agency))


@routes.delete("", status_code=204, dependencies=[limited("webhooks")])
def delete(context: ContextDep, agency: Caller) -> None:
    """Have no webhook any more."""
    handlers.remove_webhook(context, agency)


@routes.post("/test", status_code=202, dependencies=[limited("webhooks")])
def test(context: ContextDep, agency: Caller) -> Numbered:
    """Send a `webhook.test.v1` through your feed; whether it arrived is in `GET /referral/v1/webhook`."""
    return Numbered(number=handlers.send_test(context, agency))


@routes.post("/replay", status_code=202, dependencies=[limited("webhooks")])
def replay(context: ContextDep, agency: Caller, body: Replay) -> Numbered:
    """Send everything after a number again, with the same `webhook-id` as before."""
    return Numbered(number=handlers.replay(context, agency, body.after))


def _told(view: View) -> Webhook:
    row, public = view.row, view.row.signing == "ed25519"
    names = ("number", "type", "tries", "answer", "failed_at", "next_try")
    failures = [Failure(id=each.subject, **{name: getattr(each, name) for name in names}) for each in view.failures]
    kept = (
        "url",
        "signing",
        "previous_until",
        "sent",
        "failing_since",
        "not_before",
        "disabled_at",
        "disabled_because",
    )
    return Webhook(
        **{name: getattr(row, name) for name in kept},
        secret=None if public else view.told,
        public_key=view.told if public else None,
        last=view.last,
        failures=failures,
    )
