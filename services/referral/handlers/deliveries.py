"""Sends feeds to webhooks: thin, signed, tried again over three days, and switched off after five days without success."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from cryptography.exceptions import InvalidTag
from pydantic_core import to_json
from sqlalchemy import Connection

from services.common import telemetry
from services.common.clock import monotonic
from services.common.database.advisory_locks import sole
from services.common.http.outgoing import Answer, Unreachable
from services.common.worker import Loop
from services.referral.context import Context
from services.referral.handlers.webhooks import LOST, Webhooks
from services.referral.store import webhooks as store
from services.referral.store.webhooks import AnyRow
from services.referral.webhook_signing import Secret, signed_headers

# The table of Standard Webhooks: after each failure so long until the next try, ten tries in 75 hours.
PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
DISABLED_AFTER = timedelta(days=5)
# A receiver that does not answer well is left alone for a while, whatever else there is to send it.
FIRST_REST, LONGEST_REST = timedelta(seconds=5), timedelta(minutes=5)
LONGEST_RETRY_AFTER = timedelta(days=1)
AT_ONCE, BATCH = 8, 100
# A receiver that has taken longer for its webhooks gets no more in this round: the next one waits for all of them.
SLOW_SECONDS = 1.0
ROUND_SECONDS, STANDBY_SECONDS = 0.5, 1.0
GONE = 410
SUCCESS = range(200, 300)
# These say that the receiver cannot take anything now. Any other 4xx is about the one webhook that it got.
BUSY = {408, 425, 429}


def send_due(context: Context, webhooks: Webhooks) -> int:
    """Send what is due to every webhook and return how much arrived; a receiver that is slow or gone delays few others."""
    with context.database.reading() as connection:
        hooks = store.due_webhooks(connection, context.clock.now())
    if not hooks:
        return 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(partial(_send_to, context, webhooks), hooks))


def _send_to(context: Context, webhooks: Webhooks, hook: AnyRow) -> int:
    with context.database.reading() as connection:
        entries = store.due_entries(connection, hook, context.clock.now(), BATCH)
    try:
        secrets, arrived = _secrets(context, webhooks, hook), 0
    except InvalidTag:
        # The key of the secrets is another one. Without this, one row would end the worker for all.
        with context.database.transaction() as connection:
            _switch_off(context, connection, hook.agency, LOST)
        return 0
    began = monotonic()
    for entry in entries:
        answer = _send(context, webhooks, hook, entry, secrets)
        with context.database.transaction() as connection:
            if answer is not None and answer.status in SUCCESS:
                _note_arrival(connection, entry)
                arrived += 1
            elif not _note_failure(context, connection, hook, entry, answer):
                break
        if monotonic() - began > SLOW_SECONDS:
            break
    return arrived


def _secrets(context: Context, webhooks: Webhooks, hook: AnyRow) -> list[Secret]:
    found = [webhooks.secrets.unseal(hook.agency, hook.signing, hook.secret)]
    if hook.previous_until is not None and context.clock.now() < hook.previous_until:
        found.append(webhooks.secrets.unseal(hook.agency, hook.previous_signing, hook.previous_secret))
    return found


def _send(context: Context, webhooks: Webhooks, hook: AnyRow, entry: AnyRow, secrets: list[Secret]) -> Answer | None:
    """Send one entry and return the answer; None if there was none that can be used."""
    body = to_json(
        {"type": entry.type, "timestamp": entry.at, "data": {"id": entry.subject, "number": entry.number}}
    ).decode()
    # With its time, since a hub that was restored from a backup gives some numbers again.
    name = f"{entry.agency}_{entry.number}_{int(entry.at.timestamp())}"
    headers = {"content-type": "application/json", **signed_headers(secrets, name, context.clock.now(), body)}
    try:
        # Bodies of successes are read too, since one that never ends is no success.
        return webhooks.client.post(hook.url, body, headers, read_on=SUCCESS)
    except Unreachable:
        return None


def _note_arrival(connection: Connection, entry: AnyRow) -> None:
    if entry.tries:
        store.forget_failure(connection, entry.agency, entry.number)
    else:
        store.note_sent(connection, entry.agency, entry.number)
    store.change_webhook(connection, entry.agency, not_before=None, failing_since=None, failures=0)


def _note_failure(context: Context, connection: Connection, hook: AnyRow, entry: AnyRow, answer: Answer | None) -> bool:
    """Keep a failure; tell whether more may be sent to this webhook now."""
    now, tries = context.clock.now(), entry.tries + 1
    current = store.get_webhook(connection, entry.agency, lock=True)
    if current is None or current.url != hook.url:
        return False
    next_try = now + PAUSES[tries - 1] if tries <= len(PAUSES) else None
    alive = answer is not None and 400 <= answer.status < 500 and answer.status not in BUSY | {GONE}
    since = current.failing_since or now
    values: dict[str, Any] = {"failing_since": since, "failures": current.failures + (not alive)}
    if not alive:
        rest = now + max(min(FIRST_REST * 2 ** min(current.failures, 16), LONGEST_REST), _asked(answer, now))
        values["not_before"] = rest
        next_try = next_try and max(next_try, rest)
    if not entry.tries:
        store.note_sent(connection, entry.agency, entry.number)
    told = str(answer.status) if answer else "unreachable"
    row = {"agency": entry.agency, "number": entry.number, "tries": tries, "answer": told}
    store.keep_failure(connection, {**row, "failed_at": now, "next_try": next_try})
    gone = answer is not None and answer.status == GONE
    store.change_webhook(connection, entry.agency, **values)
    if gone or now - since >= DISABLED_AFTER:
        _switch_off(context, connection, entry.agency, "gone" if gone else "failing")
        return False
    return alive


def _switch_off(context: Context, connection: Connection, agency: str, why: str) -> None:
    store.change_webhook(connection, agency, disabled_at=context.clock.now(), disabled_because=why)
    telemetry.log.warning("the webhook of %s is switched off (%s)", agency, why)


def _asked(answer: Answer | None, now: datetime) -> timedelta:
    """Return how long a receiver asks to be left alone (RFC 9110, section 10.2.3), at most a day."""
    told = answer.retry_after.strip() if answer else ""
    found = timedelta()
    if told.isascii() and told.isdecimal():
        found = timedelta(seconds=min(int(told), LONGEST_RETRY_AFTER.total_seconds()))
    else:
        with suppress(ValueError, TypeError, OverflowError):
            date = parsedate_to_datetime(told)
            found = (date if date.tzinfo else date.replace(tzinfo=UTC)) - now
    return min(max(found, timedelta()), LONGEST_RETRY_AFTER)


def loop(context: Context, webhooks: Webhooks) -> Loop:
    """Return the loop that sends; in a second process it stands by until the first is gone."""

    def run(stopping: threading.Event) -> None:
        with sole(context.database, "webhooks:referral") as alone:
            while not stopping.is_set():
                if not alone():
                    stopping.wait(STANDBY_SECONDS)
                    return
                send_due(context, webhooks)
                stopping.wait(ROUND_SECONDS)

    return run
