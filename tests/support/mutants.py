"""Mutation testing (`make mutants`): changes critical code in one place at a time and reports changes that no test notices.

`docs/mutants.md` lists every surviving mutant with its reason. The exit code is 1 if a survivor is not listed, or if a listed
mutant is noticed.
"""

import argparse
import ast
import copy
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.support import mutant_runner
from tests.support.mutant_runner import ROOT, SURVIVED, KnownTests, Place, run_baseline, run_mutant, server_for

REASONS = ROOT / "docs" / "mutants.md"
CONSENT = "tests/consent"
DISCLOSURES = f"{CONSENT}/disclosures"
PROTOCOL = [
    *(f"{DISCLOSURES}/test_{name}.py" for name in ("openings", "batches", "protocol", "opening_response")),
    f"{CONSENT}/test_consistency_tokens.py",
    f"{DISCLOSURES}/test_locks.py",
]
TARGETS: dict[str, Sequence[str]] = {
    "services/consent/domain.py": [f"{CONSENT}/test_domain.py"],
    "services/consent/speaking.py": [f"{CONSENT}/test_speaking.py"],
    "services/consent/consistency_tokens.py": [f"{CONSENT}/test_consistency_tokens.py", f"{CONSENT}/test_authzen.py"],
    "services/consent/envelopes.py": [f"{CONSENT}/test_envelopes.py", *PROTOCOL],
    "services/consent/handlers/disclosures/openings.py": [*PROTOCOL, f"{CONSENT}/rights/test_letters_and_notes.py"],
    "services/consent/locks.py": [f"{DISCLOSURES}/test_locks.py", *PROTOCOL[:2]],
    "services/consent/api/opening_response.py": [
        *(f"{DISCLOSURES}/test_{name}.py" for name in ("opening_response", "lost_locks")),
        *PROTOCOL[:2],
    ],
}
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: its place, its description, and the whole changed source."""

    module: str
    line: int
    change: str
    source: str
    place: Place | None
    """The function around the change; None at module level."""

    @property
    def name(self) -> str:
        """Return the name in the list of survivors: module and change without the line number, which may move."""
        return f"{self.module}: {self.change}"


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    for number, node in enumerate(ast.walk(tree)):
        for position, change in enumerate(_changes(node)):
            changed = copy.deepcopy(tree)
            target = next(found for place, found in enumerate(ast.walk(changed)) if place == number)
            before = _shown(target)
            list(_changes(target))[position](target)
            after = _shown(target)
            if before != after and not _is_inert(tree, node):
                ast.fix_missing_locations(changed)
                line = getattr(node, "lineno", 0)
                function = _function_around(tree, node)
                place = None if function is None else (str(ROOT / module), function)
                yield Mutant(module, line, f"`{before}` -> `{after}`", ast.unparse(changed), place)
            del change


def _function_around(tree: ast.Module, node: ast.AST) -> int | None:
    """Return the first line of the innermost function around a node, by which a code object is identified."""
    found = None
    for function in ast.walk(tree):  # outer ones come before inner ones
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _is_in_body(node, function):
            found = min(one.lineno for one in (function, *function.decorator_list))
    return found


def _is_in_body(node: ast.AST, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    # A change of the function node itself removes a statement of its body.
    return node is function or any(node is inner for statement in function.body for inner in ast.walk(statement))


def _shown(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:160]


def _is_inert(tree: ast.Module, node: ast.AST) -> bool:
    """Tell whether a node is in a docstring, annotation, decorator, assert or import, which are not mutated."""
    kept = _inert.get(id(tree))
    if kept is None:
        kept = _inert[id(tree)] = {id(inner) for found in _inert_nodes(tree) for inner in ast.walk(found)}
    return id(node) in kept


_inert: dict[int, set[int]] = {}


def _inert_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from [inner for inner in (node.returns, *node.decorator_list) if inner]
        if isinstance(node, ast.ClassDef):
            yield from node.decorator_list
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation
        if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom):
            yield node


def _changes(node: ast.AST) -> Iterator[Any]:
    if isinstance(node, ast.Compare):
        yield from (_swap_compare(place) for place, found in enumerate(node.ops) if type(found) in SWAPS)
    if isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in SWAPS:
        yield lambda found: setattr(found, "op", SWAPS[type(found.op)]())
    if isinstance(node, ast.BoolOp):
        yield from (_drop_operand(place) for place in range(len(node.values)))
    if isinstance(node, ast.IfExp | ast.If | ast.While) and not isinstance(node.test, ast.Compare | ast.BoolOp):
        yield lambda found: setattr(found, "test", ast.UnaryOp(ast.Not(), found.test))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | str | int | float):
        yield lambda found: setattr(found, "value", _other(found.value))
    if isinstance(node, ast.comprehension) and node.ifs:
        yield lambda found: setattr(found, "ifs", [])
    if hasattr(node, "body") and isinstance(node.body, list) and not isinstance(node, ast.Module):
        yield from (_drop_statement(place) for place, inner in enumerate(node.body) if _can_go(inner))


def _can_go(statement: ast.stmt) -> bool:
    calls = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await | ast.YieldFrom)
    return calls or isinstance(statement, ast.Raise | ast.AugAssign | ast.Continue)


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    # Prepended, because text appended to an SQL query could be a mere alias.
    return "x" + value if isinstance(value, str) else value + 1


def _swap_compare(place: int) -> Any:
    def change(node: ast.Compare) -> None:
        node.ops[place] = SWAPS[type(node.ops[place])]()  # type: ignore[call-overload]  # comparisons swap with comparisons

    return change


def _drop_operand(place: int) -> Any:
    def change(node: ast.BoolOp) -> None:
        node.values = [*node.values[:place], *node.values[place + 1 :]]

    return change


def _drop_statement(place: int) -> Any:
    def change(node: Any) -> None:
        node.body[place] = ast.Pass()

    return change


def _known() -> set[str]:
    """Return the names of the mutants that are listed with a reason."""
    lines = REASONS.read_text("utf-8").splitlines() if REASONS.exists() else []
    return {line.removeprefix("- ").rpartition(" : ")[0] for line in lines if line.startswith("- services/")}


def main() -> int:
    """Try every mutant of the given modules; return 1 if an unlisted one survives or a listed one is noticed."""
    parser = argparse.ArgumentParser(prog="make mutants ARGS=...")
    parser.add_argument("modules", nargs="*", default=list(TARGETS), help="what to change; everything if left out")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    _import_everything_else()
    files = sorted({file for module in options.modules for file in TARGETS[module]})
    with server_for(files):
        tests = run_baseline(options.modules, files)
        if isinstance(tests, str):
            print(f"fails without any change: {tests}")
            return 1
        made = [mutant for module in options.modules for mutant in mutants(module)]
        known = {name for name in _known() if name.partition(":")[0] in options.modules}
        survived = []
        with ThreadPoolExecutor(options.processes) as pool:
            fates = pool.map(lambda one: _fate_of(one, tests, one.name in known), made)
            for mutant, became in zip(made, fates, strict=True):
                survived += [mutant.name] if became == SURVIVED else []
                print(f"{became} {mutant.name} (line {mutant.line})", flush=True)
    unlisted, needless = [name for name in survived if name not in known], known - set(survived)
    print(f"{len(made)} mutants, {len(survived)} survived, {len(unlisted)} of these without a reason in {REASONS.name}")
    for name in sorted(needless):
        print(f"listed, and noticed after all: {name}")
    return 1 if unlisted or needless else 0


def _fate_of(mutant: Mutant, tests: KnownTests, listed: bool) -> str:
    """Run the tests on a mutant; a listed one must be noticed twice, because a test may fail for another reason."""
    for _ in range(1 + listed):
        chosen = tests.likeliest_first(mutant.place, TARGETS[mutant.module])
        became = run_mutant(mutant.module, mutant.source, tests, chosen)
        if became == SURVIVED:
            break
    return became


def _import_everything_else() -> None:
    """Import everything that no mutant changes, so that the children need not: `services.common`, but no other service."""
    import hypothesis  # noqa: PLC0415

    for name in ("tests.conftest", "tests.support.consent", "tests.support.consent_processes", "fastapi.testclient"):
        import_module(name)
    for name in [name for name in sys.modules if name.startswith(("services.", "tests."))]:
        if not name.startswith("services.common") and name not in {__name__, mutant_runner.__name__}:
            del sys.modules[name]
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", database=None, phases=phases, deadline=None)
    hypothesis.settings.load_profile("mutants")


if __name__ == "__main__":
    sys.exit(main())
