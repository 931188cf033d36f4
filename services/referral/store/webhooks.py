"""Queries on webhooks: where agencies are told, how far they were, and what did not arrive."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, literal, or_, select, update

from services.common.database.inserts import upsert
from services.referral.models import agency_counter, feed_entry, roster, webhook, webhook_failure

AnyRow = Row[tuple[Any, ...]]


def get_webhook(connection: Connection, agency: str, *, lock: bool = False) -> AnyRow | None:
    """Return an agency's webhook; with `lock`, locked against change until the transaction ends."""
    query = select(webhook).where(webhook.c.agency == agency)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def keep_webhook(connection: Connection, row: Mapping[str, object]) -> None:
    """Add an agency's webhook, or replace it."""
    upsert(connection, webhook, [row])


def remove_webhook(connection: Connection, agency: str) -> None:
    """Remove an agency's webhook and what is kept of its failures."""
    for table in (webhook, webhook_failure):
        connection.execute(delete(table).where(table.c.agency == agency))


def failures_of(connection: Connection, agency: str, limit: int) -> Sequence[AnyRow]:
    """Return the entries that did not arrive, newest first, each with its type and subject."""
    same = and_(feed_entry.c.agency == webhook_failure.c.agency, feed_entry.c.number == webhook_failure.c.number)
    query = select(webhook_failure, feed_entry.c.type, feed_entry.c.subject).join(feed_entry, same)
    mine = query.where(webhook_failure.c.agency == agency)
    return connection.execute(mine.order_by(webhook_failure.c.number.desc()).limit(limit)).all()


def due_webhooks(connection: Connection, now: datetime) -> Sequence[AnyRow]:
    """Return the webhooks of active agencies that have something to send now."""
    agency = roster.table
    failed = (webhook_failure.c.agency == webhook.c.agency, webhook_failure.c.next_try <= now)
    query = select(webhook).join(agency, agency.c.id == webhook.c.agency)
    query = query.outerjoin(agency_counter, agency_counter.c.agency == webhook.c.agency)
    ready = (
        agency.c.standing == "active",
        webhook.c.disabled_at.is_(None),
        or_(webhook.c.not_before.is_(None), webhook.c.not_before <= now),
        or_(agency_counter.c.feed > webhook.c.sent, select(webhook_failure).where(*failed).exists()),
    )
    return connection.execute(query.where(*ready).order_by(webhook.c.agency)).all()


def due_entries(connection: Connection, hook: AnyRow, now: datetime, limit: int) -> Sequence[AnyRow]:
    """Return the entries to send now, those to be tried again first; `tries` is how often each was tried."""
    failed = and_(feed_entry.c.agency == webhook_failure.c.agency, feed_entry.c.number == webhook_failure.c.number)
    again = select(feed_entry, webhook_failure.c.tries).join(webhook_failure, failed)
    again = again.where(webhook_failure.c.agency == hook.agency, webhook_failure.c.next_try <= now)
    found = list(connection.execute(again.order_by(feed_entry.c.number).limit(limit)).all())
    new = select(feed_entry, literal(0).label("tries"))
    new = new.where(feed_entry.c.agency == hook.agency, feed_entry.c.number > hook.sent)
    return [*found, *connection.execute(new.order_by(feed_entry.c.number).limit(limit - len(found))).all()]


def note_sent(connection: Connection, agency: str, number: int) -> None:
    """Keep that a new entry was tried; a replay that was asked for meanwhile stays."""
    mine = (webhook.c.agency == agency, webhook.c.sent == number - 1)
    connection.execute(update(webhook).where(*mine).values(sent=number))


def forget_failure(connection: Connection, agency: str, number: int) -> None:
    """Remove a failure, since the entry has arrived."""
    mine = (webhook_failure.c.agency == agency, webhook_failure.c.number == number)
    connection.execute(delete(webhook_failure).where(*mine))


def keep_failure(connection: Connection, row: Mapping[str, object]) -> None:
    """Keep that an entry did not arrive, and when it is tried again."""
    upsert(connection, webhook_failure, [row])


def change_webhook(connection: Connection, agency: str, url: str | None = None, **values: object) -> None:
    """Change columns of an agency's webhook; with `url`, only if it still has this one."""
    mine = update(webhook).where(webhook.c.agency == agency)
    connection.execute((mine if url is None else mine.where(webhook.c.url == url)).values(**values))


def send_again(connection: Connection, agency: str, after: int) -> None:
    """Let everything after a number be sent again."""
    later = (webhook_failure.c.agency == agency, webhook_failure.c.number > after)
    connection.execute(delete(webhook_failure).where(*later))
    mine = update(webhook).where(webhook.c.agency == agency)
    connection.execute(mine.where(webhook.c.sent > after).values(sent=after))


def disabled(connection: Connection) -> Sequence[str]:
    """Return the agencies whose webhook the hub has switched off."""
    query = select(webhook.c.agency).where(webhook.c.disabled_at.is_not(None)).order_by(webhook.c.agency)
    return connection.scalars(query).all()
