"""No code leads from the record of what a law compelled to an opening, a grant or a decision, nor the other way."""

import re

import pytest

from tests.architecture.tree import imports, modules, parsed, text

# Calls that decide, open, seal or unwrap keys: a new module of that kind is found by them.
OPENS = re.compile(r"\b(decide|begin_openings?|unwrap|part_key|read_snapshots|new_grant_key|aes_key_unwrap)\(")
RECORDS = {
    "services/consent/handlers/agencies/compelled.py",
    "services/consent/api/compelled.py",
    "services/consent/store/compelled.py",
}
MAY_KNOW = {
    # Puts the routes and the chore together.
    "services/consent/main.py",
    # Her pages, her export, and the table with what erases it.
    "services/consent/pages/export.py",
    "services/consent/pages/ledger_text.py",
    "services/consent/api/survivors/export.py",
    "services/consent/api/survivors/records.py",
    "services/consent/models/__init__.py",
    "services/consent/models/compelled.py",
    "services/consent/store/permissions.py",
    # Where the rule for sealing is read.
    "services/consent/policy.py",
}
SERVICES = modules("services")


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_record_uses_nothing_that_opens_or_permits(name: str) -> None:
    assert not OPENS.search(text(name))
    used = {f"{module}.{word}" for module, word in imports(parsed(name))}
    for forbidden in (
        "openings",
        "decisions",
        "grants",
        "changes",
        "snapshots",
        "keys",
        "envelope",
        "envelopes",
        "key_encryption",
        "opening_response",
        "locks",
    ):
        assert not [one for one in used if forbidden in one.split(".")], forbidden


@pytest.mark.parametrize("name", SERVICES)
def test_no_other_module_knows_the_record(name: str) -> None:
    if name not in RECORDS | MAY_KNOW:
        assert "compelled" not in text(name).lower()


@pytest.mark.parametrize("name", sorted(MAY_KNOW))
def test_module_that_knows_the_record_decides_nothing(name: str) -> None:
    assert "compelled" in text(name)
    assert not OPENS.search(text(name))
