"""Links: she makes a code and tells it to one agency, which may then refer for her; and she unlinks an agency again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.common.errors import not_found
from services.consent.context import Context
from services.consent.credentials import new_code
from services.consent.handlers.accounts.sessions import hold_subject
from services.consent.handlers.grants.changes import changing
from services.consent.store import permissions, subjects

LINK_TIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LinkCode:
    """A code that she tells one agency, so that it may refer for her."""

    code: str
    expires_at: datetime


def make_link_code(context: Context, subject: UUID) -> LinkCode:
    """Make a link code, which works once and for an hour; raise 401 if she was erased meanwhile."""
    made = LinkCode(new_code(), context.clock.now() + LINK_TIME)
    with context.database.transaction() as connection:
        hold_subject(connection, subject)
        digest = context.secrets.code_digest("link", made.code)
        subjects.add_link_code(connection, digest, subject, made.expires_at)
    return made


def unlink(context: Context, subject: UUID, agency: str) -> None:
    """Let an agency know her no longer: its ppid dies, what she allowed it ends, and its referrals stand still.

    A new code gives it a new ppid. Raises 404 for an agency that is not linked to her.
    """
    with changing(context, subject) as change:
        if not subjects.is_linked(change.connection, agency, subject):
            raise not_found()
        live = permissions.live_grants(change.connection, subject)
        change.end([grant for grant in live if grant.agency == agency], "revoked")
        change.tell_referral(agency, shut_out=True)
        subjects.remove_link(change.connection, agency, subject)
        change.record("unlinked", agency)
