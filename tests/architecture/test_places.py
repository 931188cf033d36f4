"""Each dangerous thing is done in one place: committing, asking the database, Kafka, time, sleeping, calling out."""

import ast
import re

import pytest

from tests.architecture.tree import calls, imports, modules, parsed

SERVICES = modules("services")
each_module = pytest.mark.parametrize("name", SERVICES)

# Committing an offset of the bus is another thing than committing a transaction, and comes after it.
OFFSETS = {
    "services/common/messaging/kafka.py": "self._consumer.commit",
    "services/common/messaging/consumer.py": "consumer.commit",
}
# COPY goes past SQLAlchemy, on its own connection and so within its transaction.
DRIVERS = {"services/common/database/inserts.py": {"psycopg"}}
COMMITS = re.compile(r"(^|\.)(commit|rollback)$")

QUESTIONS = {"select", "insert", "update", "delete", "text", "union", "union_all", "exists"}
MAY_ASK = re.compile(
    r"services/(common/(\w+/)?\w+|\w+/(models|models_\w+|models/\w+|store|store/\w+)|consent/(locks|ledger/entries))\.py"
)

SPEAKS_KAFKA = "services/common/messaging/kafka.py"

CLOCK = "services/common/clock.py"
# These two stand outside of the hub, as a partner does, and have no clock of the hub's.
OUTSIDE = {"services/client.py", "services/demo.py"}
TIMES = re.compile(r"(^|\.)(now|utcnow|today|time|time_ns|gmtime|localtime|uuid1|uuid3|uuid4|uuid5|uuid6|uuid7|sleep)$")
FROM_CLOCK = re.compile(r"([\w.]+\.)?_?clock\.now")
TIME_MODULES = {"time", "uuid", "uuid_utils", "uuid_utils.compat"}
# An event loop must not be held up by a thread's pause; a server that waits for its own socket says so itself.
LOOP_SLEEPS = {"services/consent/api/opening_response.py", "services/common/http/server.py"}

CALLS_OUT = {
    "services/intake/consent_client.py",
    "services/common/auth/access_tokens.py",
    "services/common/http/certificates.py",
    "services/common/http/outgoing.py",
    *OUTSIDE,
}
OTHER_CLIENTS = {"httpx", "requests", "aiohttp", "urllib.request", "urllib3", "http.client"}


def top(module: str) -> str:
    return module.partition(".")[0]


@each_module
def test_only_the_database_module_commits(name: str) -> None:
    if name != "services/common/database/engine.py":
        # What `begin` opens commits by itself when it ends.
        found = [call for call in calls(parsed(name)) if COMMITS.search(call) or call.endswith("engine.begin")]
        assert [call for call in found if call != OFFSETS.get(name)] == []
        drivers = {module for module, _ in imports(parsed(name))} & {"sqlite3", "psycopg"}
        assert drivers == DRIVERS.get(name, set())


@each_module
def test_only_stores_and_models_ask_the_database(name: str) -> None:
    if not MAY_ASK.fullmatch(name):
        asked = {word for module, word in imports(parsed(name)) if top(module) == "sqlalchemy"} & QUESTIONS
        assert asked == set()
        assert "sqlalchemy" not in {module for module, word in imports(parsed(name)) if not word}
        assert [call for call in calls(parsed(name)) if call.endswith((".exec_driver_sql", ".execute"))] == []


@each_module
def test_only_one_module_speaks_kafka(name: str) -> None:
    if name != SPEAKS_KAFKA:
        assert "kafka" not in {top(module) for module, _ in imports(parsed(name))}


@each_module
def test_time_and_identifiers_come_from_the_clock(name: str) -> None:
    if name == CLOCK or name in OUTSIDE:
        return
    assert not {module for module, _ in imports(parsed(name)) if module in TIME_MODULES - {"uuid"}}
    assert not {word for module, word in imports(parsed(name)) if module == "uuid"} - {"UUID"}
    told = [call for call in calls(parsed(name)) if TIMES.search(call)]
    allowed = {"asyncio.sleep"} if name in LOOP_SLEEPS else set()
    assert [call for call in told if not FROM_CLOCK.fullmatch(call) and call not in allowed] == []


@each_module
def test_only_named_modules_call_out(name: str) -> None:
    named = {module for module, _ in imports(parsed(name))}
    assert not named & OTHER_CLIENTS
    if name not in CALLS_OUT:
        assert "httpx2" not in {top(module) for module in named}


@each_module
def test_nothing_buffers_an_answer_on_its_way_out(name: str) -> None:
    """Starlette's `BaseHTTPMiddleware` does, and so does `@app.middleware`, which is made of it."""
    words = {node.id for node in ast.walk(parsed(name)) if isinstance(node, ast.Name)}
    words |= {word for _, word in imports(parsed(name))}
    assert "BaseHTTPMiddleware" not in words
    assert [call for call in calls(parsed(name)) if call.endswith(".middleware")] == []


@each_module
def test_the_environment_is_read_as_settings_only(name: str) -> None:
    words = {ast.unparse(node) for node in ast.walk(parsed(name)) if isinstance(node, ast.Attribute)}
    words |= {f"{module}.{word}" for module, word in imports(parsed(name))}
    assert not words & {"os.environ", "os.getenv", "os.environb"}


def test_every_exception_is_still_needed() -> None:
    for name, call in OFFSETS.items():
        assert call in set(calls(parsed(name)))
    for name in LOOP_SLEEPS:
        assert "asyncio.sleep" in set(calls(parsed(name)))
    for name in CALLS_OUT:
        assert "httpx2" in {module for module, _ in imports(parsed(name))}
