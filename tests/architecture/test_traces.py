"""No file names a folder of one machine, a package registry or a writing tool."""

import re

import pytest

from tests.architecture.tree import ROOT, files

# Written in halves, so that this file passes its own check.
TOOLS = (
    ("cla", "ude"),
    ("anth", "ropic"),
    ("chat", "gpt"),
    ("open", "ai"),
    ("co", "pilot"),
    ("gem", "ini"),
    ("gpt", "-[0-9]"),
    ("ll", "ms?"),
    ("language", " models?"),
    ("ai", "[- ]generated"),
    ("as an", " ai"),
    ("co-authored", "-by"),
)
FOLDERS = ("work", "root", "home", "Users", "workspace", "opt/venv")
REGISTRIES = (
    ("pypi", "[.]org"),
    ("python", "hosted[.]org"),
    ("registry", "[.]npmjs"),
    ("repo1?[.]", "maven"),
    ("proxy[.]", "golang"),
    ("crates", "[.]io"),
    ("deb[.]", "debian"),
    ("arti", "factory"),
    ("--(extra-)?index", "-url[ =]"),
    ("--trusted", "-host[ =]"),
)
FORBIDDEN = {
    "a tool": re.compile("|".join(rf"\b{''.join(halves)}\b" for halves in TOOLS), re.IGNORECASE),
    "a folder of one machine": re.compile(rf"(?<![\w.}}-])/({'|'.join(FOLDERS)}|tmp)/\w"),
    "where packages come from": re.compile("|".join("".join(halves) for halves in REGISTRIES), re.IGNORECASE),
}


@pytest.mark.parametrize("name", [name for name in files() if not name.endswith(".png")])
def test_file_holds_no_trace_of_tools_or_machines(name: str) -> None:
    sample = f"{name}\n" + (ROOT / name).read_bytes().decode("utf-8", "replace")
    found = {what: match[0] for what, pattern in FORBIDDEN.items() if (match := pattern.search(sample))}
    assert found == {}


@pytest.mark.parametrize(
    ("what", "sample"),
    [
        ("a tool", "Written with " + "Cla" + "ude."),
        ("a tool", "an L" + "LM wrote this"),
        ("a folder of one machine", "see " + "/wo" + "rk/main/x"),
        ("a folder of one machine", "open('" + "/tm" + "p/brief.md')"),
        ("where packages come from", "https://py" + "pi.org/simple"),
        ("where packages come from", "pip install --index" + "-url http://127.0.0.1"),
    ],
)
def test_pattern_finds_forbidden_text(what: str, sample: str) -> None:
    assert FORBIDDEN[what].search(sample)


@pytest.mark.parametrize(
    "sample",
    ["OpenAPI and AsyncAPI", "a framework/workshop", "tmpfs: [/tmp]", "--no-emit-index-url", "pages by cursor"],
)
def test_pattern_ignores_plain_text(sample: str) -> None:
    assert [what for what, pattern in FORBIDDEN.items() if pattern.search(sample)] == []
