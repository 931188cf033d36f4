"""Runs the tests that may notice a mutant: in child processes, only those that reach the changed code, the likeliest first.

Each process is forked from one that has imported everything else and, if needed, runs PostgreSQL. An import hook gives Python
the changed module in place of the file, which stays unchanged.
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
# Seconds between two polls of a process, and the number of polls that a test of unknown duration may take.
POLL_SECONDS, POLLS = 0.05, 6000
# A mutant that makes a test hang counts as noticed: the test may take TIMES its usual duration, and SECONDS more. The time is
# counted in polls, which stand still when the machine does.
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
class KnownTests:
    """The functions that each test reaches, its duration, and how many mutants it noticed."""

    reach: dict[Place, set[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    noticed: Counter[str] = field(default_factory=Counter)

    def likeliest_first(self, place: Place | None, files: Sequence[str]) -> list[str]:
        """Return the tests that reach a place; all tests of the files if it is at module level or reached before any test."""
        reached = self.reach.get(place, set()) if place else {EVERY}
        names = [
            name for name in self.seconds if name.startswith(tuple(files)) and (name in reached or EVERY in reached)
        ]
        return sorted(names, key=lambda name: (-self.noticed[name], self.seconds[name]))


def run_baseline(modules: Sequence[str], files: Sequence[str]) -> KnownTests | str:
    """Run the tests on the unchanged code; return what each test reaches, or the name of the test that failed."""
    watching = _Watching({str(ROOT / module) for module in modules})
    told = _in_a_process(files, watching, None, {})
    if told is None or told["failed"]:
        return str(told and told["failed"])
    reach: dict[Place, set[str]] = defaultdict(set)
    for file, line, name in told["reach"]:
        reach[file, line].add(name)
    return KnownTests(reach, told["seconds"])


@contextmanager
def server_for(files: Sequence[str]) -> Iterator[None]:
    """Run one PostgreSQL for all processes, if a test needs it; otherwise each process would start its own."""
    if not {name.partition("::")[0] for name in WITH_SERVER} & set(files):
        yield
        return
    with postgresql.temporary_postgres(durable=False) as server:
        setattr(postgresql, "temporary_postgres", lambda **_: nullcontext(server))  # noqa: B010
        _servers.append(server)
        yield


def run_mutant(module: str, source: str, tests: KnownTests, chosen: Sequence[str]) -> str:
    """Run the chosen tests on a changed module; return NOTICED, CUT_OFF (a test hung) or SURVIVED."""
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
    """A pytest plugin that reports each test as it begins, and the result at the end."""

    def __init__(self) -> None:
        self.failed: str | None = None
        self.pipe = -1

    def tell(self, text: str) -> None:
        """Send one row of text to the waiting process."""
        os.write(self.pipe, f"{text}\n".encode())

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
    """Runs only the chosen tests, in the order in which they were chosen."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._rank = {name: rank for rank, name in enumerate(names)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted([item for item in items if item.nodeid in self._rank], key=lambda one: self._rank[one.nodeid])


class _Watching(_Plugin):
    """Records each call of a function of these files with the running test; calls before a test count for every test."""

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
    """An import hook that gives Python the mutant in place of the module."""

    def __init__(self, module: str, source: str) -> None:
        self._file, self._source = str(ROOT / module), source
        self._name = module.removesuffix(".py").replace("/", ".")

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Return a spec for the changed module only."""
        return spec_from_loader(fullname, self, origin=self._file) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed source in place of the file."""
        module.__file__ = self._file
        exec(compile(self._source, self._file, "exec"), module.__dict__)  # noqa: S102 - our own source, changed


def _in_a_process(
    files: Sequence[str], plugin: _Plugin, change: tuple[str, str] | None, seconds: Mapping[str, float]
) -> dict[str, Any] | None:
    """Run the tests in a child process; return the result of the plugin, or None if the run was cut off."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    number = next(_numbers)
    process = os.fork()
    if process == 0:
        os.close(reading)
        os.set_blocking(writing, True)
        plugin.pipe = writing
        _run(files, plugin, change, number)
    os.close(writing)
    text, begun, left = b"", 0, POLLS
    while left > 0:
        ended, _status = os.waitpid(process, os.WNOHANG)
        text += _all_of(reading)
        if ended:
            break
        told = text.decode().split("\n")[:-1]
        left = _polls(seconds.get(told[-1])) if len(told) > begun else left - 1
        begun = len(told)
        time.sleep(POLL_SECONDS)
    else:
        os.kill(process, 9)
        os.waitpid(process, 0)
    os.close(reading)
    last = text.decode().rstrip("\n").rpartition("\n")[2]
    return json.loads(last) if last.startswith("{") else None


def _polls(seconds: float | None) -> int:
    return POLLS if seconds is None else int((SECONDS + TIMES * seconds) / POLL_SECONDS)


def _all_of(pipe: int) -> bytes:
    text = b""
    with suppress(BlockingIOError):
        while part := os.read(pipe, 65536):
            text += part
    return text


def _run(files: Sequence[str], plugin: _Plugin, change: tuple[str, str] | None, number: int) -> None:
    """Run the tests in the child, without output, until the first failure; then exit."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    if change:
        sys.meta_path.insert(0, _Changed(*change))
    for server in _servers:
        # Databases that a stopped process left behind keep their names, so this process starts at other numbers.
        server._numbers = count(number * 1000)
    quiet = ["-x", "-q", "-m", "not soak", "-p", "no:cacheprovider", "--tb=no"]
    # Hypothesis is imported already, and its own asserts need no rewriting.
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    try:
        status = pytest.main([*quiet, *files], plugins=[plugin])
        if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED} and plugin.failed is None:
            plugin.failed = "the collection"
        plugin.tell(json.dumps(plugin.told))
    finally:
        os._exit(0)
