"""Facts that must never be collected about a survivor occur in no event that reporting reads, no table, and no plan."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import schemas
from services.reporting import models
from services.reporting.publication.true_counts import Count, TrueTable

# Section by section: who harmed her and how; what it did to her; her status and family; where and when exactly; who she
# or her worker is; how she moves through help; statistics that would tell of one person. Beginnings of words, and
# words.
BEGINNINGS = (
    *(
        "traffick",
        "pimp",
        "buyer",
        "recruit",
        "trigger",
        "exit",
        "abus",
        "violen",
        "exploit",
        "coerc",
        "crim",
        "trauma",
    ),
    *("bond", "ptsd", "esteem", "guilt", "shame", "victim", "diagnos", "condition", "substance", "drug", "alcohol"),
    *("pregnan", "child", "custody", "parent", "immigra", "status", "countr", "indigen", "ethnic", "gender", "orient"),
    *(
        "school",
        "birth",
        "postal",
        "address",
        "street",
        "latitude",
        "longitude",
        "destination",
        "photo",
        "image",
        "note",
    ),
    *(
        "comment",
        "text",
        "free",
        "worker",
        "name",
        "phone",
        "email",
        "device",
        "attempt",
        "reentry",
        "relapse",
        "window",
    ),
    *("minim", "maxim", "median", "subject", "ppid", "envelope", "parts", "grant", "epoch"),
)
DECISIONS = {"age", "sti", "cps", "ip", "race", "sex", "mean", "point", "hour", "minute", "move"}
# The events about survivors that reporting handles.
READ = ("referral.updated.v1", "need.counted.v1", "statistics.withdrawn.v1")
OF_HER = [models.journal, models.contribution, models.cell, models.withdrawn]
FINER = {"date", "time", "datetime", "timestamp", "instant"}


def found(name: str) -> list[str]:
    parts = name.split("_")
    return [part for part in parts if part in DECISIONS or part.startswith(BEGINNINGS)]


def members(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        yield name, inner
        yield from members(inner)


@pytest.mark.parametrize("event_type", READ)
def test_survivor_events_have_codes_dates_and_pseudonyms_only(event_type: str) -> None:
    """These are the events that reporting reads."""
    for name, inner in members(schemas.event_schema(event_type)):
        assert found(name) == []
        assert inner.get("x-routing") is True
        assert "x-category" not in inner
        assert "$ref" in inner or inner["type"] == "array" or "pattern" in inner or inner.get("format") == "date"


@pytest.mark.parametrize("table", OF_HER, ids=lambda table: str(table.name))
def test_survivor_tables_have_nothing_finer_than_a_quarter(table: Any) -> None:
    """They hold none of the listed facts either."""
    for column in table.columns:
        assert found(column.name) == []
        assert not FINER & set(re.findall(r"[a-z]+", str(column.type).lower()))
        assert not re.search(r"(_at|_on|day|week|month|referral|id)$", column.name)


def test_no_other_table_holds_a_pseudonym() -> None:
    holding = {table.name for table in models.metadata.sorted_tables if "statistics" in table.columns}
    assert holding == {"journal", "contribution", "withdrawn"}


def test_no_dimension_of_the_plan_is_about_who_she_is() -> None:
    plan = schemas.plan(1)
    for name, dimension in plan["dimensions"].items():
        assert found(name) == []
        for code in dimension["within"]:
            assert found(code) == []
    assert not {"agency", "sender", "recipient", "need", "age", "statistics"} & set(plan["dimensions"])


def test_no_number_of_the_interface_is_finer_than_a_cell() -> None:
    assert set(Count.__slots__) == {"persons", "agencies", "outside_largest", "contributors", "by_agency", "by_both"}
    assert set(TrueTable.__slots__) == {"table", "period", "cells"}


@pytest.mark.parametrize(
    "name", ["trafficker", "age_at_recruitment", "pregnancy", "postal_code", "worker", "free_text"]
)
def test_list_finds_forbidden_names(name: str) -> None:
    assert found(name)
