"""The page on the life of a referral is what the table of moves says."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.architecture.tree import text
from tools import referral_life


def test_page_is_what_the_table_says() -> None:
    assert text("docs/referrals.md") == referral_life.page(), "docs/referrals.md is stale; run: make referrals"


def test_check_names_a_stale_page_and_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referral_life, "PAGE", tmp_path / "referrals.md")
    (tmp_path / "referrals.md").write_text("stale")
    checked = CliRunner().invoke(referral_life.main, ["--check"])
    assert (checked.exit_code, (tmp_path / "referrals.md").read_text()) == (1, "stale")
    assert "make referrals" in checked.stderr

    assert CliRunner().invoke(referral_life.main, []).exit_code == 0
    assert CliRunner().invoke(referral_life.main, ["--check"]).exit_code == 0
