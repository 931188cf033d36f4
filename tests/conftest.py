"""Fixtures for every test: real databases and real brokers, with a count of those that were used."""

from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.testing.kafka import KafkaServer
from deploy.testing.postgresql import PostgresServer, temporary_postgres
from services.common.database.engine import Database
from services.common.messaging.broker import Broker
from services.common.messaging.kafka import KafkaBroker
from services.common.messaging.local_log import LocalLog

BACKENDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "local_log": "the local log", "kafka": "Apache Kafka"}
SERVERS = {"postgres_server", "kafka_server", "chromium"}
_used: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-servers",
        action="store_true",
        help="Fail unless tests ran on every database and broker, and none was skipped.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "server: needs PostgreSQL, Kafka or Chromium")
    config.addinivalue_line("markers", "store: keeps something in a real database or log")
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    config.addinivalue_line("markers", "soak: a long randomized run, only in `make soak`")
    config.addinivalue_line(
        "markers", "backend(*names): databases and brokers that a test uses without being parametrized"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & SERVERS or set(_backends(item)) & {"postgresql", "kafka"}:
            item.add_marker("server")
        if _backends(item):
            item.add_marker("store")
    _order(items)
    if "soak" not in (config.option.markexpr or ""):
        kept = [item for item in items if not item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("soak")])
        items[:] = kept


def _order(items: list[pytest.Item]) -> None:
    """Run long files first, so that several processes end together, and those with Chromium last.

    From its first test on, Playwright runs an event loop in the main thread, beside which no other loop can run.
    """
    in_browser = {item.path for item in items if _is_in_browser(item)}
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path in in_browser, item.path not in long, _is_in_browser(item)))


def _is_in_browser(item: pytest.Item) -> bool:
    return "chromium" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    # Stored in the report, which reaches the process that counts; tests run in other processes.
    report.user_properties += [("backend", name) for name in _backends(item)] if report.when == "call" else []
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        _used.update(str(value) for name, value in report.user_properties if name == "backend")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    told = ", ".join(f"{_used[name]} on {label}" for name, label in BACKENDS.items())
    terminalreporter.write_line(f"Tests that ran on real backends: {told}.")
    if config.option.all_servers and _shortfall(terminalreporter):
        terminalreporter.write_line(f"FAILED: {_shortfall(terminalreporter)}", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    counting = not hasattr(session.config, "workerinput")
    if counting and session.config.option.all_servers and session.exitstatus == 0 and _shortfall(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _shortfall(reporter: Any) -> str:
    unused = [label for name, label in BACKENDS.items() if not _used[name]]
    if unused:
        return f"no test ran on {', '.join(unused)}"
    skipped = len(reporter.stats.get("skipped", []))
    return f"{skipped} tests were skipped" if skipped else ""


def _backends(item: pytest.Item) -> list[str]:
    """Return the backends of a test: the parameters of its fixtures, and those named by a marker."""
    marked = [name for marker in item.iter_markers("backend") for name in marker.args]
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return [name for name in (*parameters.values(), *marked) if isinstance(name, str) and name in BACKENDS]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    # Machines do not die here, and to wait for the disk at each commit and each dropped database took a third of all time.
    with temporary_postgres(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    server = KafkaServer.create(tmp_path_factory.mktemp("kafka") / "server")
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield an empty database, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.sqlite'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.empty_database()
    yield url.replace("postgresql://", "postgresql+psycopg://")
    server.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture(params=["local_log", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Yield a broker with empty topics, of each kind in turn."""
    if request.param == "local_log":
        log = LocalLog(tmp_path / "log.sqlite")
        yield log
        log.close()
        return
    server: KafkaServer = request.getfixturevalue("kafka_server")
    server.empty_topics()
    yield KafkaBroker(server.bootstrap)
