"""Pages in several languages: templates speak English, and a catalogue says each of their sentences in another one."""

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


@cache
def catalogue(package: str, language: str) -> NullTranslations:
    """The sentences in a language. Read from the text that translators edit: nothing has to be compiled before a start."""
    if language == LANGUAGES[0]:
        return NullTranslations()
    compiled = BytesIO()
    with files(package).joinpath("translations", f"{language}.po").open("rb") as source:
        write_mo(compiled, read_po(source, locale=language, abort_invalid=True))
    compiled.seek(0)
    return Translations(compiled)


def environment(package: str, language: str, said: NullTranslations) -> Environment:
    """A package's templates, speaking a language: its sentences, dates and direction of writing."""
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
    """A day in words; the first of a month is "1er" in French, which the common tables of dates leave out."""
    written = format_date(day, "long", locale=locale)
    return written.replace("1 ", "1er ", 1) if locale.language == "fr" and written.startswith("1 ") else written


def locale_of(language: str) -> Locale:
    """How a language writes days, times and numbers here."""
    try:
        return Locale(language, COUNTRY)
    except UnknownLocaleError:
        return Locale(language)


def preferred(accepted: str) -> str:
    """The first of our languages in an `Accept-Language` header; English when there is none."""
    named = (part.partition(";")[0].strip()[:2].lower() for part in accepted.split(","))
    return next((language for language in named if language in LANGUAGES), LANGUAGES[0])
