"""Lists of an agency's own referrals, sent or received."""

from collections.abc import Sequence

from services.referral.context import Context
from services.referral.domain import State
from services.referral.store import lists as store
from services.referral.store.lists import AnyRow

PAGE = 100


def read_list(context: Context, agency: str, role: str, state: State | None, after: int) -> Sequence[AnyRow]:
    """Return a page of the referrals that an agency sent or received, from just after a place in its list.

    `seen_state` of a row is the state as the agency may see it: for one that stands still, the state in which it did. The
    promise of that state runs since `seen_since`.
    """
    with context.database.reading() as connection:
        return store.list_of(connection, agency, role, state, after, PAGE)
