"""Writes `docs/problems.md` from the code that raises problems; `--check` compares instead and fails if it is stale."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "problems.md"
VARIES = "varies"
HEAD = """# Problem types

Every answer that is not a success is an RFC 9457 problem, `application/problem+json`:

```json
{
  "type": "urn:fireweed:problem:invalid-request",
  "title": "Something in this request needs changing.",
  "status": 422,
  "errors": [{"member": "/data/need", "detail": "Not one of the codes.", "accepted": "a code of codes/needs.json"}]
}
```

Decide by `type` and `status`. A `title` is for people and may be reworded. `errors` names each member at fault by its JSON
Pointer, or by a header and claim; it never repeats the value that was sent. After a 503, wait for `Retry-After` seconds and
send the same request again. Absent things and things that an agency may not know of get the same answer: `not-found`.

`make problems` writes this page from the code. An ellipsis stands for a part that is filled in. `common` means every service.
Problems of `reporting` with status 409 appear on the command line only.

| type | status | title | service |
|---|---|---|---|
"""


class Found(NamedTuple):
    """One place that raises a problem: its type without the prefix, its status, its title and its service."""

    code: str
    status: str
    title: str
    service: str


# How each function that makes a problem takes the code, the status and the title: a position, a keyword or a fixed value.
_MAKERS = {
    "Problem": ("1", "0", "2"),
    "super().__init__": ("1", "0", "2"),
    "refuse": ("0", "=409", "1"),
    "unavailable": ("=unavailable", "=503", "0"),
    "invalid": ("=invalid-request", "status", "=Something in this request needs changing."),
}
# Each of these makes a problem from its arguments; its callers are listed in its place.
_DEFINITIONS = {"refuse", "unavailable", "invalid", "_refusal", "raise_if_rejected"}
# Codes that are computed: standards name the one kind, results of posted events the other.
_COMPUTED = (
    *(
        Found(code, status, "No token was issued.", "intake")
        for code, status in (
            ("invalid-client", "401"),
            ("invalid-dpop-proof", "400"),
            ("invalid-request", "400"),
            ("invalid-scope", "400"),
            ("unauthorized-client", "400"),
            ("unsupported-grant-type", "400"),
        )
    ),
    Found("id-reused", "409", "This event cannot be taken.", "intake"),
    *(
        Found(code, "422", "This event cannot be taken.", "intake")
        for code in ("invalid", "not-for-police", "recipient-suspended", "unknown-recipient")
    ),
    Found("not-found", "404", "Not found.", "common"),
)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; the status is 1 if the page is stale.")
def main(check: bool) -> None:
    """Write the catalogue of problem types anew."""
    stale = not PAGE.exists() or PAGE.read_text("utf-8") != page()
    if check:
        if stale:
            click.echo("docs/problems.md is not what the code says; run: make problems", err=True)
        sys.exit(1 if stale else 0)
    PAGE.write_text(page(), "utf-8")
    click.echo("docs/problems.md has changed" if stale else "docs/problems.md is up to date")


def page() -> str:
    """Return the text of the page."""
    every = {*_COMPUTED, *(found for path in sorted((ROOT / "services").rglob("*.py")) for found in problems(path))}
    rows = []
    for code in sorted({found.code for found in every}):
        same = [found for found in every if found.code == code]
        titles, services = (sorted({one[at] for one in same}) for at in (2, 3))
        status = sorted({status for one in same for status in one.status.split(", ")})
        rows.append(f"| `{code}` | {', '.join(status)} | {'<br>'.join(titles)} | {', '.join(services)} |\n")
    return HEAD + "".join(rows)


def problems(path: Path) -> Iterator[Found]:
    """Yield each problem that a file raises, except where its arguments come from the caller."""
    tree = ast.parse(path.read_text("utf-8"))
    service = path.relative_to(ROOT / "services").parts[0].removesuffix(".py")
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name not in _DEFINITIONS:
            texts = _assigned(function)
            for call in _own_calls(function):
                maker = _MAKERS.get(ast.unparse(call.func))
                if maker and not _is_other_super(call):
                    code, status, title = (_value(call, how, texts) for how in maker)
                    if code != VARIES:
                        yield Found(code, status, title, service)


def _own_calls(function: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls of a function, without those of functions inside it."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.Call):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _own_calls(node)


def _is_other_super(call: ast.Call) -> bool:
    """Tell a constructor of a subclass of `Problem` from that of any other class: it passes a status first."""
    if ast.unparse(call.func) != "super().__init__":
        return False
    first = call.args[0] if call.args else None
    return not (len(call.args) >= 3 and isinstance(first, ast.Constant) and isinstance(first.value, int))


def _assigned(function: ast.AST) -> dict[str, ast.expr]:
    """Return what a function assigns to plain names, for titles that are put into a variable first."""
    found = (node for node in ast.walk(function) if isinstance(node, ast.Assign) and len(node.targets) == 1)
    return {node.targets[0].id: node.value for node in found if isinstance(node.targets[0], ast.Name)}


def _value(call: ast.Call, how: str, texts: dict[str, ast.expr]) -> str:
    if how.startswith("="):
        return how[1:]
    if how.isdigit():
        return _text(call.args[int(how)], texts) if len(call.args) > int(how) else VARIES
    given = [keyword.value for keyword in call.keywords if keyword.arg == how]
    return _text(given[0], texts) if given else "400"


def _text(node: ast.expr, texts: dict[str, ast.expr]) -> str:
    """Return the text of a constant or f-string, with an ellipsis for each part that is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body, texts)}, {_text(node.orelse, texts)}"
    if isinstance(node, ast.Name) and node.id in texts:
        return _text(texts[node.id], {})
    return VARIES


if __name__ == "__main__":
    main()
