"""Decides whether an agency may speak for a survivor: do something in her name, or read about her. Pure and total.

Sending about her is a permission too. Every act and every read of an agency that names a ppid, a grant, an envelope or a
referral asks this one question of her whole snapshot; the inventory of routes names the act that each route asks about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto

from services.consent.domain import Policy, Restriction, Snapshot, is_readable


class Act(StrEnum):
    """What an agency would do or read."""

    POST_NEED = auto()
    POST_REFERRAL = auto()
    ASK_CONSENT = auto()
    STATE_AGE = auto()
    GIVE_SECOND_LOOK = auto()
    READ_OWN_ACCESS = auto()
    FOLLOW_REFERRAL = auto()
    STOP_EVERYTHING = auto()
    STOP_OWN_ACCESS = auto()


TAKES_AWAY = frozenset({Act.STOP_EVERYTHING, Act.STOP_OWN_ACCESS})
"""Acts that only take away: a pause stops none of them."""
ANYBODY_LINKED = frozenset({Act.STOP_OWN_ACCESS})
"""Acts that no restriction stops either: an agency that she shut out may still give up what it has itself."""
# An agency that is late with acknowledging notices may receive nothing, but a person in need may still stand before it.
STANDINGS: Mapping[bool, frozenset[str]] = {True: frozenset({"active", "behind"}), False: frozenset({"active"})}
READS = frozenset({Act.GIVE_SECOND_LOOK, Act.READ_OWN_ACCESS})


@dataclass(frozen=True, slots=True)
class Speech:
    """What the agency would say: the act, for which purpose, about which categories; None and empty where it has none."""

    act: Act
    purpose: str | None = None
    categories: frozenset[str] = frozenset()


def may_speak(
    snapshot: Snapshot, agency: str, speech: Speech, policy: Policy, *, linked: bool
) -> frozenset[str] | None:
    """Return the categories that the agency may speak about, or None where it may not speak at all.

    `snapshot` is hers towards the speaking agency, and `linked` whether that agency has a ppid for her. An act without
    categories is permitted as the empty set. Total: input that cannot be read returns None.
    """
    try:
        return _may_speak(snapshot, agency, speech, policy, linked=linked)
    except Exception:  # noqa: BLE001 - an agency that got no answer could go on without one
        return None


def _may_speak(
    snapshot: Snapshot, agency: str, speech: Speech, policy: Policy, *, linked: bool
) -> frozenset[str] | None:
    speaker = snapshot.recipient
    if linked is not True or speaker is None or speaker.id != agency or speaker.sector not in policy.sectors:
        return None
    if speaker.standing not in STANDINGS[speech.act not in READS]:
        return None
    if snapshot.state != "active" and not (snapshot.state == "paused" and speech.act in TAKES_AWAY):
        return None
    if speech.act in ANYBODY_LINKED:
        return speech.categories
    forbidden: set[str | None] = set()
    for rule in snapshot.restrictions:
        if not is_readable(rule, policy):
            return None
        if _is_about(rule, agency, speaker.sector, speech):
            forbidden.add(rule.category)
    left = speech.categories - forbidden
    nothing_left = bool(speech.categories) and not left
    return None if None in forbidden or nothing_left else left


def _is_about(rule: Restriction, agency: str, sector: str, speech: Speech) -> bool:
    return (
        (rule.agency is None or rule.agency == agency)
        and (rule.sector is None or rule.sector == sector)
        and (rule.purpose is None or rule.purpose == speech.purpose)
    )
