"""Loads the rules that hold for everybody and the notice that is shown before a grant; both are versioned files."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files

import schemas
from services.consent.domain import Policy

POLICY = "1"
NOTICE = "1"


@dataclass(frozen=True, slots=True)
class Notice:
    """The words she saw before she said yes."""

    version: str
    language: str
    text: str

    @property
    def sha256(self) -> str:
        """The hash that her grant and her receipt keep."""
        return sha256(self.text.encode()).hexdigest()


@cache
def policy(version: str = POLICY) -> Policy:
    """The policy of that version."""
    document = json.loads(files("schemas").joinpath("policies", f"{version}.json").read_text("utf-8"))
    return Policy(
        version=document["version"],
        purposes=schemas.code_set("purposes"),
        categories=schemas.code_set("categories"),
        sectors=schemas.code_set("sectors"),
        floors=frozenset((floor["sector"], floor["category"]) for floor in document["floors"]),
        default_days=document["grant_days"]["default"],
        maximum_days=document["grant_days"]["maximum"],
        until=datetime.fromisoformat(document["until"]) if document["until"] else None,
    )


def reason(rule: str, language: str) -> str:
    """What a rule of a decision means, in words for her."""
    return schemas.label("rules", rule, language)


@cache
def notice(language: str, version: str = NOTICE) -> Notice:
    """The notice of that version in that language."""
    text = files("services.consent").joinpath("notices", f"{version}.{language}.txt").read_text("utf-8")
    return Notice(version, language, text)
