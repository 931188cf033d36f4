"""Pages in several languages: templates are in English, and a catalogue translates each sentence. Chooses languages."""

import re
from datetime import date
from functools import cache
from gettext import NullTranslations
from importlib.resources import files
from io import BytesIO

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from jinja2 import Environment, PackageLoader, StrictUndefined

LANGUAGES = ("en", "fr")
COUNTRY = "CA"
# A member of Accept-Language: its primary subtag or `*`, and its weight (RFC 9110, section 12.4.2; RFC 4647, section 2.1).
_RANGE = re.compile(
    r"[ \t]*(?:([A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*|\*)"
    r"(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
)


@cache
def catalogue(package: str, language: str) -> NullTranslations:
    """Return a language's translations, read from the file that translators edit, so that nothing is compiled before."""
    if language == LANGUAGES[0]:
        return NullTranslations()
    compiled = BytesIO()
    with files(package).joinpath("translations", f"{language}.po").open("rb") as source:
        write_mo(compiled, read_po(source, locale=language, abort_invalid=True))
    compiled.seek(0)
    return Translations(compiled)


def environment(package: str, language: str, said: NullTranslations) -> Environment:
    """Return an environment for a package's templates in a language: its sentences, dates and writing direction."""
    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(said, newstyle=True)  # type: ignore[attr-defined]
    locale = locale_of(language)
    made.globals.update(
        language=language,
        direction=locale.text_direction,
        languages={code: (Locale(code).get_display_name(code) or code).capitalize() for code in LANGUAGES},
    )
    made.filters["day"] = lambda instant: long_date(instant, locale)
    return made


def long_date(day: date, locale: Locale) -> str:
    """Return a day as text; the first of a month is "1er" in French, which the CLDR tables leave out."""
    written = format_date(day, "long", locale=locale)
    return written.replace("1 ", "1er ", 1) if locale.language == "fr" and written.startswith("1 ") else written


def locale_of(language: str) -> Locale:
    """Return the locale by which a language writes days, times and numbers in Canada."""
    try:
        return Locale(language, COUNTRY)
    except UnknownLocaleError:
        return Locale(language)


def preferred(*accepted: str) -> str:
    """Return the one of our languages that `Accept-Language` header lines rate highest; English if none is named.

    By RFC 9110, section 12.5.4: `fr-CA` asks for French and `frr` does not, `q=0` excludes, `*` stands for every language
    that is not named, and a malformed member is left out. The first named one of equally rated languages is chosen.
    """
    members = [found.groups() for member in ",".join(accepted).split(",") if (found := _RANGE.fullmatch(member))]
    ratings: dict[str, tuple[float, int]] = {}
    for place, (primary, weight) in enumerate(members):
        rating = (float(weight or 1), -place)
        ratings[(primary or "*").lower()] = max(rating, ratings.get((primary or "*").lower(), rating))
    # A language of which nothing is said comes after every one that is asked for, and before those that are excluded.
    unnamed = ratings.get("*", (0.0001, -len(members)))
    best = max(LANGUAGES, key=lambda language: ratings.get(language, unnamed))
    return best if ratings.get(best, unnamed)[0] > 0 else LANGUAGES[0]
