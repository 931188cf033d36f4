"""Link codes: she makes one and tells it to one agency, which may then refer for her."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.consent.context import Context
from services.consent.credentials import new_code
from services.consent.handlers.accounts.sessions import hold_subject
from services.consent.store import subjects

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
