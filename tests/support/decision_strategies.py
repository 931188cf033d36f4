"""Hypothesis strategies for snapshots and requests: mostly near a permit, where a single rule decides."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from services.consent.domain import Decision, Grant, Recipient, Request, Restriction, Snapshot, decide
from services.consent.policy import policy
from tests.support.clocks import NOON

POLICY = policy()
AGENCIES = ("shelter", "clinic")
SECTORS = ("police", "housing", "health")
PURPOSES = ("referral", "court_support")
CATEGORIES = ("summary", "health", "immigration")
# Codes that this hub does not know; a newer or a broken hub may have written them.
STRANGE = ("", "*", "other", "SUMMARY")
PERMITTED = Snapshot(
    "active",
    7,
    Recipient("shelter", "housing", "active"),
    [Grant(UUID(int=1), "shelter", "referral", frozenset(CATEGORIES), NOON, NOON + timedelta(days=30))],
)
ASKED = Request("shelter", "referral", frozenset(CATEGORIES))


def mostly(usual: Any, *unusual: Any) -> st.SearchStrategy[Any]:
    """Draw the usual value nearly always, else one of the others."""
    return st.sampled_from((*([usual] * (15 * len(unusual))), *unusual))


def ids() -> st.SearchStrategy[UUID]:
    """Draw one of nine ids, so that equal ids occur often."""
    return st.integers(1, 9).map(lambda number: UUID(int=number))


def instants(usual: int, *unusual: int) -> st.SearchStrategy[Any]:
    """Draw an instant; the arguments are minutes after noon."""
    return mostly(usual, *unusual).map(lambda number: NOON + timedelta(minutes=number))


def grants() -> st.SearchStrategy[Grant]:
    """Draw grants, many of them live."""
    return st.builds(
        Grant,
        id=ids(),
        agency=mostly("shelter", "clinic"),
        purpose=mostly("referral", "court_support", *STRANGE),
        categories=st.frozensets(st.sampled_from((*CATEGORIES, *CATEGORIES, "other")), min_size=1),
        valid_from=instants(-1, 0, 1),
        valid_until=instants(2, 3, 1, 0, -2),
        ended=mostly(False, True),
    )


def restrictions() -> st.SearchStrategy[Restriction]:
    """Draw restrictions, with and without wildcards."""
    return st.builds(
        Restriction,
        id=ids(),
        agency=st.sampled_from((None, *AGENCIES)),
        sector=st.sampled_from((None, *SECTORS)),
        category=st.sampled_from((*CATEGORIES, *CATEGORIES, None, "other")),
        purpose=st.sampled_from((None, *PURPOSES)),
        readable=mostly(True, False),
    )


def snapshots() -> st.SearchStrategy[Snapshot]:
    """Draw survivors with a few rules."""
    recipients = st.builds(
        Recipient,
        id=mostly("shelter", "clinic"),
        sector=mostly("housing", "police", "health", "other"),
        standing=mostly("active", "suspended", "other"),
    )
    return st.builds(
        Snapshot,
        state=mostly("active", "paused", "erased", "other"),
        epoch=st.integers(0, 9),
        recipient=st.one_of([recipients] * 9 + [st.none()]),
        grants=st.lists(grants(), min_size=2, max_size=5, unique_by=lambda grant: grant.id),
        restrictions=st.one_of(st.just([]), st.lists(restrictions(), max_size=2)),
    )


def requests() -> st.SearchStrategy[Request]:
    """Draw requests, mostly by the shelter."""
    return st.builds(
        Request,
        agency=mostly("shelter", "clinic"),
        purpose=mostly("referral", "court_support", "other"),
        categories=st.frozensets(st.sampled_from((*CATEGORIES, *CATEGORIES, "other")), min_size=1),
        grant=st.one_of(st.none(), st.none(), st.none(), ids()),
    )


def decided(snapshot: Snapshot, request: Request) -> Decision:
    """Return the decision on a request at noon."""
    return decide(snapshot, request, NOON, POLICY)
