"""The sentences of a survivor's ledger: one for each kind of entry, and a general one for an unknown kind."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from babel.lists import format_list

import schemas
from services.consent.pages.labels import catalogue, locale_of, long_date


def _(text: str) -> str:
    """Mark a sentence for translators; it is translated when it is shown."""
    return text


SOMEBODY = _("An agency that has left")
OTHER = _("Something was written down here. Its short name is “%(kind)s”.")
SENTENCES: Mapping[str, str] = {
    "registered": _("%(agency)s made this page for you. No name was kept."),
    "claimed": _("You came in for the first time."),
    "linked": _("%(agency)s used a code that you gave it."),
    "unlinked": _("You ended that %(agency)s knows you."),
    "request.made": _("%(agency)s asked if %(other)s may see something of yours."),
    "request.answered": _("You answered what %(agency)s asked."),
    "grant.given": _("You said yes: %(agency)s may see %(what)s, for %(days)s days."),
    "grant.ended": _("%(agency)s may no longer see what you shared. %(why)s."),
    "paused": _("You paused everything."),
    "resumed": _("You ended the pause."),
    "restriction.added": _("You said never to something."),
    "age.stated": _("%(agency)s said which age group you are in: %(age)s."),
    "look.asked": _("%(agency)s will look with you at what %(other)s would see."),
    "look.ended": _("The second look by %(agency)s is over."),
    "notice.acknowledged": _("%(agency)s has the notice that tells it to stop."),
    "notice.attested": _("%(agency)s says what it did with what it had: %(done)s."),
    "compelled.recorded": _("A law made %(agency)s share something of yours: %(what)s. %(basis)s."),
    "compelled.sealed": _("A law made an agency share something of yours. What it was is closed until %(until)s."),
    "compelled.unsealed": _("What was closed is open now: a law made %(agency)s share %(what)s. %(basis)s."),
    "restriction.lifted": _("You ended a never."),
    "nothing.to.end": _("Somebody asked to stop everything for you. There was nothing to stop."),
    "statistics.on": _("You said yes to being counted."),
    "statistics.off": _("You said no to being counted."),
    "opening.intended": _("%(agency)s was about to read: %(what)s."),
    "opening.delivered": _("%(agency)s read: %(what)s."),
    "opening.refused": _("%(agency)s tried to read something. We said no."),
    "opening.indeterminate": _(
        "%(agency)s asked to read something. The line broke, so we do not know if it got there."
    ),
    "sent.read": _("What was sent to %(agency)s was read here, on your page."),
    "letter.made": _("You made a letter that names %(agency)s."),
    "letter.used": _("Somebody checked your letter that names %(agency)s. It is used up."),
    "letter.ended": _("You ended a letter that names %(agency)s."),
    "card.replaced": _("You made a new stop card. The old one no longer works."),
    "words.replaced": _("You made new words. The old ones no longer work."),
    "pin.replaced": _("You set a new PIN. The old one no longer works."),
    "correction.asked": _("You asked %(agency)s to put something right: %(what)s."),
    "correction.done": _("%(agency)s says it has put something right: %(what)s."),
    "passkey.added": _("You added a key on a phone or computer."),
    "passkey.removed": _("You took away a key on a phone or computer."),
    "erased": _("Everything was deleted."),
}
SPOKEN: Mapping[str, str] = {
    "grant.ended": _("%(agency)s may no longer see what you shared. %(teller)s told us that you said so."),
    "nothing.to.end": _("%(teller)s told us that you want everything to stop. There was nothing to stop."),
}
"""Sentences that name the agency which passed on her spoken revocation: perhaps she never said it."""
AGAIN = _("That makes %(times)s times in one day.")
"""Follows the sentence of an entry that was added because its act had been repeated so often."""
UNREAD: Mapping[str, str] = {
    "grant.given": _("You said yes to an agency."),
    "grant.ended": _("%(agency)s may no longer see what you shared."),
    "opening.intended": _("%(agency)s was about to read something of yours."),
    "opening.delivered": _("%(agency)s got what it asked to read."),
}
"""Sentences for an entry whose key was lost: only its kind is known."""
AN_AGENCY = _("An agency")
REST = _("The rest of this line can no longer be read.")
CODED = {
    "why": ("reason", "grant_end_reasons"),
    "done": ("done", "attestations"),
    "basis": ("basis", "legal_bases"),
    "age": ("age_band", "age_bands"),
}
"""Facts that are shown by a label: the member of the detail that holds the code, and the code's list."""
UNTOLD = {"key.destroyed"}
"""Kinds that need no sentence: the end of the grant, which stands beside each, has one."""


def sentence(row: Any, names: Mapping[str, str], language: str) -> str | None:
    """Return the sentence of a ledger entry in a language, None for a kind that needs none. `names` are by agency id."""
    if row.kind in UNTOLD:
        return None
    say = catalogue(language).gettext
    named = {name: names.get(key or "", say(SOMEBODY)) for name, key in _agencies(row).items()}
    facts = {name: _coded(row, member, codes, language) for name, (member, codes) in CODED.items()}
    facts |= {"kind": row.kind, "what": _what(row, language), "until": _until(row, language)}
    if among := row.detail.get("one_of"):
        named["other"] = format_list([names.get(key, say(SOMEBODY)) for key in among], "or", locale=language)
    told = SPOKEN if row.kind in SPOKEN and _teller(row) else SENTENCES
    told_once = say(told.get(row.kind, OTHER)) % {**facts, **named, "days": row.detail.get("days")}
    times = row.detail.get("times")
    return f"{told_once} {say(AGAIN) % {'times': times}}" if times else told_once


def unread(kind: str, language: str) -> str | None:
    """Return the sentence of an entry whose key was lost, None for a kind that needs none."""
    if kind in UNTOLD:
        return None
    say, told = catalogue(language).gettext, UNREAD.get(kind) or SENTENCES.get(kind, OTHER)
    if kind not in UNREAD and "%" not in told:
        return say(told)
    known = told if "%" not in told.replace("%(agency)s", "") else OTHER
    return f"{say(known) % {'agency': say(AN_AGENCY), 'kind': kind}} {say(REST)}"


def _agencies(row: Any) -> Mapping[str, str | None]:
    return {"agency": row.agency, "other": row.detail.get("for"), "teller": _teller(row)}


def agencies_in(detail: Mapping[str, Any]) -> set[str | None]:
    """Return the ids of the agencies that the detail of an entry names."""
    return {detail.get("for"), detail.get("told_to"), *detail.get("one_of", ())}


def _teller(row: Any) -> str | None:
    """Return the agency that passed on her spoken revocation, None if there was none.

    When the revocation ended nothing, that agency is the only one in the entry.
    """
    told: str | None = row.detail.get("told_to") or (row.agency if row.kind == "nothing.to.end" else None)
    return told


def _what(row: Any, language: str) -> str:
    """Return the labels of the categories that an entry names."""
    one = [row.detail["category"]] if row.detail.get("category") else []
    known = [code for code in row.detail.get("categories") or one if code in schemas.code_set("categories")]
    return format_list([schemas.label("categories", code, language) for code in known], locale=language)


def _until(row: Any, language: str) -> str:
    """Return the day until which a record is sealed, empty if the entry names none."""
    day = row.detail.get("sealed_until")
    return long_date(date.fromisoformat(day), locale_of(language)) if day else ""


def _coded(row: Any, member: str, codes: str, language: str) -> str:
    """Return the label of a code in the detail, empty if it is absent or unknown."""
    code = row.detail.get(member)
    return schemas.label(codes, code, language) if code in schemas.code_set(codes) else ""
