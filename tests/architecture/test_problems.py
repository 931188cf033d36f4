"""The catalogue of problem types is what the code says."""

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.common.errors import invalid, not_found, unavailable
from tests.architecture.tree import calls, modules, parsed, text
from tools import problems

COMPUTED = {
    # How many problems in a file have a code that is computed; `tools/problems.py` lists what it can be.
    "services/intake/posting.py": 1,
    "services/intake/token_endpoint.py": 1,
    # `refuse` itself; the next test is about those who call it.
    "services/reporting/publication/workflow.py": 1,
}


def test_page_is_what_the_code_says() -> None:
    assert text("docs/problems.md") == problems.page(), "docs/problems.md is stale; run: make problems"


def test_check_names_a_stale_page_and_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "PAGE", tmp_path / "problems.md")
    (tmp_path / "problems.md").write_text("stale")
    checked = CliRunner().invoke(problems.main, ["--check"])
    assert (checked.exit_code, (tmp_path / "problems.md").read_text()) == (1, "stale")
    assert "make problems" in checked.stderr

    assert CliRunner().invoke(problems.main, []).exit_code == 0
    assert CliRunner().invoke(problems.main, ["--check"]).exit_code == 0


@pytest.mark.parametrize("problem", [not_found(), invalid(), unavailable("Not ready yet.")], ids=str)
def test_shared_problem_has_a_row_with_its_title(problem: object) -> None:
    status, code = str(problem).split(" ")
    [row] = [row for row in text("docs/problems.md").splitlines() if row.startswith(f"| `{code}`")]
    assert status in row
    assert problem.title in row  # type: ignore[attr-defined]


def test_code_of_a_problem_is_a_constant() -> None:
    """A computed code is counted in `COMPUTED`, so that nobody adds one without adding its values to the catalogue."""
    found = {}
    for name in modules("services"):
        made = [node for node in ast.walk(parsed(name)) if isinstance(node, ast.Call)]
        made = [call for call in made if ast.unparse(call.func) == "Problem"]
        if computed := sum(not isinstance(call.args[1], ast.Constant) for call in made):
            found[name] = computed
    assert found == COMPUTED


def test_wrappers_of_problems_are_called_with_constants() -> None:
    for name in modules("services"):
        for node in ast.walk(parsed(name)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "refuse":
                assert isinstance(node.args[0], ast.Constant), name
    assert "refuse" in set(calls(parsed("services/reporting/publication/workflow.py")))
