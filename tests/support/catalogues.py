"""Checks on the catalogues of both sets of pages: missing sentences, changed placeholders, text outside them."""

import re
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from services.common.http.i18n import LANGUAGES

OTHERS = [language for language in LANGUAGES if language != "en"]
PLACE = re.compile(r"%\(\w+\)s")
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
OPTIONS = {"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}}


def said(folder: Path) -> set[str]:
    """Return every sentence of the templates and the code."""
    return {str(message) for _, _, message, _, _ in extract_from_dir(str(folder), METHODS, OPTIONS)}


def kept(folder: Path, language: str) -> Catalog:
    """Return the catalogue of a language."""
    with (folder / "translations" / f"{language}.po").open("rb") as source:
        return read_po(source, locale=language, abort_invalid=True)


def amiss(folder: Path, language: str) -> set[str]:
    """Return the sentences that a catalogue lacks, that are unused, or whose translation is empty or fuzzy."""
    known = {str(message.id): message for message in kept(folder, language) if message.id}
    return (set(known) ^ said(folder)) | {
        name for name, message in known.items() if not message.string or message.fuzzy
    }


def unlike(folder: Path, language: str) -> list[str]:
    """Return the sentences whose translation has other placeholders."""
    return [
        str(message.id)
        for message in kept(folder, language)
        if sorted(PLACE.findall(str(message.id))) != sorted(PLACE.findall(str(message.string)))
    ]


def outside(template: Path) -> set[str]:
    """Return the readable text of a template that does not come through the catalogue."""
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<!--.*?-->", "", template.read_text("utf-8"), flags=re.DOTALL)
    told = re.findall(r'(?:aria-label|title|placeholder|alt)="[^"{]*[A-Za-z]', text)
    return {*told, *re.findall(r">[^<]*?(?<![/\w])([A-Za-z]{3,})[^<]*<", text)}
