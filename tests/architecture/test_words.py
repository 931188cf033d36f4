"""No file tells of the machine it was written on, of where packages were fetched, or of the tools that were at hand."""

import re

import pytest

from tests.architecture.tree import ROOT, files

# Written in halves, so that this file may lie in the tree that it checks.
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
def test_a_file_says_nothing_about_how_it_came_to_be(name: str) -> None:
    words = f"{name}\n" + (ROOT / name).read_bytes().decode("utf-8", "replace")
    found = {what: match[0] for what, pattern in FORBIDDEN.items() if (match := pattern.search(words))}
    assert found == {}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("a tool", "Written with " + "Cla" + "ude."),
        ("a tool", "an L" + "LM wrote this"),
        ("a folder of one machine", "see " + "/wo" + "rk/main/x"),
        ("a folder of one machine", "open('" + "/tm" + "p/brief.md')"),
        ("where packages come from", "https://py" + "pi.org/simple"),
        ("where packages come from", "pip install --index" + "-url http://127.0.0.1"),
    ],
)
def test_the_patterns_find_what_they_are_for(what: str, words: str) -> None:
    assert FORBIDDEN[what].search(words)


@pytest.mark.parametrize(
    "words", ["OpenAPI and AsyncAPI", "a framework/workshop", "tmpfs: [/tmp]", "--no-emit-index-url", "pages by cursor"]
)
def test_the_patterns_leave_plain_words_alone(words: str) -> None:
    assert [what for what, pattern in FORBIDDEN.items() if pattern.search(words)] == []
