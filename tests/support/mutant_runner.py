"""Which tests notice a mutant: run in processes of their own, only those that reach the changed code, the likeliest first.

Each process is forked from one that has everything else imported and, where it is needed, PostgreSQL running; the changed
module is handed to Python's import in place of the file, which stays as it is.
"""

import json
import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from itertools import count
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from deploy.testing import postgresql

ROOT = Path(__file__).parents[2]
# Seconds between looks at a process, and how many looks a test may take that is not known yet.
LOOK, LOOKS = 0.05, 6000
# A change that makes a test hang has been noticed as well: one that takes so many times as long as it does without it,
# and some seconds more. Counted in looks: when the machine stands still, so do these.
TIMES, SECONDS = 10, 10.0
EVERY = "every test"
_DISCLOSURES = "tests/consent/disclosures"
WITH_SERVER = (
    f"{_DISCLOSURES}/test_locks.py",
    f"{_DISCLOSURES}/test_lost_locks.py",
    f"{_DISCLOSURES}/test_opening_response.py::test_one_connection_serves_many_openings",
    f"{_DISCLOSURES}/test_opening_response.py::test_opening_without_transport_is_indeterminate",
)
"""Test ids, by their beginnings, that run although they need a server: half of the locks are PostgreSQL's."""
SURVIVED, NOTICED, CUT_OFF = "SURVIVED", "noticed ", "cut off "
Place = tuple[str, int]
"""A function by its file and first line."""
_servers: list[postgresql.PostgresServer] = []
_numbers = count(1)


@dataclass(slots=True)
class Tests:
    """What is known of the tests: which reach which function, how long each takes, how often it was the one that noticed."""

    reach: dict[Place, set[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    noticed: Counter[str] = field(default_factory=Counter)

    def likeliest_first(self, place: Place | None, files: Sequence[str]) -> list[str]:
        """The tests that reach a place; all of these files if it belongs to no function, or is reached before any test."""
        reached = self.reach.get(place, set()) if place else {EVERY}
        names = [
            name for name in self.seconds if name.startswith(tuple(files)) and (name in reached or EVERY in reached)
        ]
        return sorted(names, key=lambda name: (-self.noticed[name], self.seconds[name]))


def look_at(modules: Sequence[str], files: Sequence[str]) -> Tests | str:
    """Run the tests on the unchanged code, and see what each reaches; or which test failed."""
    watching = _Watching({str(ROOT / module) for module in modules})
    told = _in_a_process(files, watching, None, {})
    if told is None or told["failed"]:
        return str(told and told["failed"])
    reach: dict[Place, set[str]] = defaultdict(set)
    for file, line, name in told["reach"]:
        reach[file, line].add(name)
    return Tests(reach, told["seconds"])


@contextmanager
def server_for(files: Sequence[str]) -> Iterator[None]:
    """One PostgreSQL for all the processes, if there are tests that need it; else each of them would start its own."""
    if not {name.partition("::")[0] for name in WITH_SERVER} & set(files):
        yield
        return
    with postgresql.temporary_postgres() as server:
        setattr(postgresql, "temporary_postgres", lambda: nullcontext(server))  # noqa: B010
        _servers.append(server)
        yield


def fate(module: str, source: str, tests: Tests, chosen: Sequence[str]) -> str:
    """What becomes of a change: one of these tests notices it, or is cut off since it hangs; or it has survived."""
    if not chosen:
        return SURVIVED
    files = sorted({name.partition("::")[0] for name in chosen})
    told = _in_a_process(files, _Choosing(chosen), (module, source), tests.seconds)
    if told is None:
        return CUT_OFF
    if told["failed"]:
        tests.noticed[told["failed"]] += 1
    return NOTICED if told["failed"] else SURVIVED


class _Plugin:
    """What a run tells: each test as it begins, and everything else when it is over."""

    def __init__(self) -> None:
        self.failed: str | None = None
        self.pipe = -1

    def tell(self, line: str) -> None:
        """To the process that waits."""
        os.write(self.pipe, f"{line}\n".encode())

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tell(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [one for one in items if one.nodeid.startswith(WITH_SERVER) or not one.get_closest_marker("server")]

    @property
    def told(self) -> dict[str, Any]:
        return {"failed": self.failed}


class _Choosing(_Plugin):
    """Only the chosen tests, in the order in which they were chosen."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._rank = {name: rank for rank, name in enumerate(names)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted([item for item in items if item.nodeid in self._rank], key=lambda one: self._rank[one.nodeid])


class _Watching(_Plugin):
    """Every call of a function of these files, by the test that was running; what is called before counts for every test."""

    def __init__(self, files: set[str]) -> None:
        super().__init__()
        self._files, self._running = files, EVERY
        self._reach: set[tuple[str, int, str]] = set()
        self._seconds: dict[str, float] = {}

    def pytest_runtest_setup(self) -> None:
        self._running = EVERY
        threading.settrace(self._on_call)
        sys.settrace(self._on_call)

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        self._running = item.nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        super().pytest_runtest_logreport(report)
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    def _on_call(self, frame: FrameType, _event: str, _argument: object) -> None:
        code = frame.f_code
        if code.co_filename in self._files:
            self._reach.add((code.co_filename, code.co_firstlineno, self._running))

    @property
    def told(self) -> dict[str, Any]:
        return super().told | {"reach": sorted(self._reach), "seconds": self._seconds}


class _Changed(MetaPathFinder, Loader):
    """Gives Python the mutant where it asks for the module."""

    def __init__(self, module: str, source: str) -> None:
        self._file, self._source = str(ROOT / module), source
        self._name = module.removesuffix(".py").replace("/", ".")

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Only for the one module."""
        return spec_from_loader(fullname, self, origin=self._file) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed source in its place."""
        module.__file__ = self._file
        exec(compile(self._source, self._file, "exec"), module.__dict__)  # noqa: S102 - our own source, changed


def _in_a_process(
    files: Sequence[str], plugin: _Plugin, change: tuple[str, str] | None, seconds: Mapping[str, float]
) -> dict[str, Any] | None:
    """What the plugin tells of a run; None if that never came to an end."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    number = next(_numbers)
    process = os.fork()
    if process == 0:
        os.close(reading)
        os.set_blocking(writing, True)
        plugin.pipe = writing
        _run(files, plugin, change, number)
    os.close(writing)
    text, begun, left = b"", 0, LOOKS
    while left > 0:
        ended, _status = os.waitpid(process, os.WNOHANG)
        text += _all_of(reading)
        if ended:
            break
        told = text.decode().split("\n")[:-1]
        left = _looks(seconds.get(told[-1])) if len(told) > begun else left - 1
        begun = len(told)
        time.sleep(LOOK)
    else:
        os.kill(process, 9)
        os.waitpid(process, 0)
    os.close(reading)
    last = text.decode().rstrip("\n").rpartition("\n")[2]
    return json.loads(last) if last.startswith("{") else None


def _looks(seconds: float | None) -> int:
    return LOOKS if seconds is None else int((SECONDS + TIMES * seconds) / LOOK)


def _all_of(pipe: int) -> bytes:
    text = b""
    with suppress(BlockingIOError):
        while part := os.read(pipe, 65536):
            text += part
    return text


def _run(files: Sequence[str], plugin: _Plugin, change: tuple[str, str] | None, number: int) -> None:
    """In the child: the tests, quietly, until the first that fails."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    if change:
        sys.meta_path.insert(0, _Changed(*change))
    for server in _servers:
        # What another process has left behind, since it was stopped, keeps its name.
        server._numbers = count(number * 1000)
    quiet = ["-x", "-q", "-m", "not soak", "-p", "no:cacheprovider", "--tb=no"]
    # Hypothesis is here already, and its own asserts need no rewriting.
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    try:
        status = pytest.main([*quiet, *files], plugins=[plugin])
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED} and plugin.failed is None:
            plugin.failed = "the collection"
        plugin.tell(json.dumps(plugin.told))
    finally:
        os._exit(0)
