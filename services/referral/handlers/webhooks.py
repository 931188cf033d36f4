"""Webhooks of agencies: set, rotated, tested, replayed, and shown with what did not arrive."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any

from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection

from services.common.database.engine import Database
from services.common.errors import Fault, invalid, not_found, unavailable
from services.common.http.outgoing import OutgoingClient
from services.referral.context import Context
from services.referral.handlers.feed import TEST, check_number, tell
from services.referral.store import feed
from services.referral.store import webhooks as store
from services.referral.store.webhooks import AnyRow
from services.referral.webhook_signing import Secret, SecretStore

ROTATION = timedelta(days=1)
"""How long the secret before still signs beside a new one."""
LISTED = 100
_looking_up, _guard = set[str](), Lock()
LOST = "secret"
"""Why a webhook is switched off whose secret cannot be decrypted any more."""
ACCEPTED = "an https:// URL with a DNS name in ASCII that leads to public addresses, without a user or fragment"


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What sending needs: the client for calls to agencies, and the secrets."""

    client: OutgoingClient
    secrets: SecretStore


@dataclass(frozen=True, slots=True)
class Wish:
    """A webhook as an agency wants it; `rotate` asks for a new secret."""

    url: str
    signing: str
    rotate: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """An agency's webhook, its key for verifying, the last number of its feed, and its failures, newest first.

    `told` is the public key, or a shared secret that was made just now; None for one that was shown before.
    """

    row: AnyRow
    told: str | None
    last: int
    failures: Sequence[AnyRow]


def set_webhook(context: Context, webhooks: Webhooks, agency: str, wish: Wish) -> View:
    """Send an agency's feed to a URL from now on, also after it was switched off; raises 400 if it may not be called.

    A new secret is made for the first one, for another scheme, and if the agency wants one; the secret before signs too for
    a day.
    """
    # The name is looked up before anything is locked: that can take seconds.
    with _only_resolution(agency):
        if not webhooks.client.accepts(wish.url) or not webhooks.client.leads_outside(wish.url):
            raise invalid(Fault("/url", "Webhooks cannot be sent there.", ACCEPTED))
    fresh, now = {"not_before": None, "failing_since": None, "failures": 0}, context.clock.now()
    with context.database.transaction() as connection:
        before = store.get_webhook(connection, agency, lock=True)
        stays = before is not None and before.signing == wish.signing and before.disabled_because != LOST
        made = None if stays and not wish.rotate else Secret.new(wish.signing)
        row: dict[str, Any] = {
            "agency": agency,
            "url": wish.url,
            **fresh,
            "disabled_at": None,
            "disabled_because": None,
        }
        row["sent"] = before.sent if before else feed.last_number(connection, agency)
        if made:
            row |= {"signing": made.scheme, "secret": webhooks.secrets.seal(agency, made)}
        else:
            assert before is not None  # noqa: S101 - otherwise a secret was made
            row |= {name: getattr(before, name) for name in ("signing", "secret")}
        if made and before and before.disabled_because != LOST:
            row |= {
                "previous_signing": before.signing,
                "previous_secret": before.secret,
                "previous_until": now + ROTATION,
            }
        store.keep_webhook(connection, row)
        return _view(connection, webhooks, agency, made)


def read_webhook(context: Context, webhooks: Webhooks, agency: str) -> View:
    """Return an agency's webhook; raise 404 if it has none."""
    with context.database.reading() as connection:
        return _view(connection, webhooks, agency)


def remove_webhook(context: Context, agency: str) -> None:
    """Stop sending an agency its feed; it goes on growing."""
    with context.database.transaction() as connection:
        store.remove_webhook(connection, agency)


def send_test(context: Context, agency: str) -> int:
    """Put a test into an agency's feed, to be sent like anything else; return its number. Raises 404 and 409.

    While a test is the last entry and not yet sent, there is no second one.
    """
    with context.database.transaction() as connection:
        hook = _enabled(connection, agency)
        store.change_webhook(connection, agency, not_before=None)
        waiting = feed.entries_after(connection, agency, max(hook.sent, feed.last_number(connection, agency) - 1), 1)
        if waiting and waiting[0].type == TEST:
            return int(waiting[0].number)
        [entry] = tell(context, connection, [agency], TEST, "test")
    return entry.number


def replay(context: Context, agency: str, after: int) -> int:
    """Let everything after a number be sent again, with the ids that it had; return the last number.

    Raises 404 and 409, and 400 for a number from the future.
    """
    with context.database.transaction() as connection:
        _enabled(connection, agency)
        check_number(connection, agency, after, "/after")
        store.send_again(connection, agency, after)
        store.change_webhook(connection, agency, not_before=None)
        return feed.last_number(connection, agency)


def switched_off(database: Database) -> Sequence[str]:
    """Return the agencies whose webhook the hub has switched off."""
    with database.reading() as connection:
        return store.disabled(connection)


@contextmanager
def _only_resolution(agency: str) -> Iterator[None]:
    """Raise a 503 problem while another request of the agency looks up a name: each holds a thread for seconds."""
    with _guard:
        if agency in _looking_up:
            raise unavailable("Your last webhook is still being looked at. Please try again in a moment.", 1)
        _looking_up.add(agency)
    try:
        yield
    finally:
        with _guard:
            _looking_up.discard(agency)


def _enabled(connection: Connection, agency: str) -> AnyRow:
    row = store.get_webhook(connection, agency, lock=True)
    if row is None:
        raise not_found()
    if row.disabled_at is not None:
        raise invalid(Fault("", "Your webhook is switched off.", "PUT /referral/v1/webhook first"), status=409)
    return row


def _view(connection: Connection, webhooks: Webhooks, agency: str, made: Secret | None = None) -> View:
    row = store.get_webhook(connection, agency)
    if row is None:
        raise not_found()
    with suppress(InvalidTag):
        made = made or webhooks.secrets.unseal_public(agency, row.signing, row.secret)
    told = made.told() if made else None
    return View(row, told, feed.last_number(connection, agency), store.failures_of(connection, agency, LISTED))
