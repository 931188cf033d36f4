"""The compose file starts the whole hub, gives each process only its own secrets, and contains no secret."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import deploy.testing.kafka
import deploy.testing.postgresql
from deploy.testing.kafka import KafkaServer
from deploy.testing.postgresql import SERVICES, PostgresServer
from services import composition
from services.common.messaging.kafka import KafkaBroker
from services.common.settings import Settings
from tests.deploy.files import DEPLOY, KEEPERS, PROCESSES, compose, environment, read

COMPOSE = compose()
EVERYTHING = COMPOSE["services"]
HELPERS = {"postgres", "kafka", "setup", "collector"}
NAMES = {f"FIREWEED_{name.upper()}" for name in Settings.model_fields}
each_process = pytest.mark.parametrize("process", PROCESSES)


def mounted(service: str) -> dict[str, str]:
    """Return the mounted sources by target."""
    mounts = (mount.split(":") for mount in EVERYTHING[service].get("volumes", []))
    return {mount[1]: mount[0] for mount in mounts}


def networks(service: str) -> set[str]:
    return set(EVERYTHING[service]["networks"])


def test_compose_names_eight_processes_and_their_servers() -> None:
    assert set(EVERYTHING) == {*PROCESSES, *HELPERS}


@each_process
def test_a_process_runs_its_own_service_and_role(process: str) -> None:
    service, role = process.split("-")
    assert EVERYTHING[process]["command"] == ["serve", service, role, "--host", "0.0.0.0", "--port", "8080"]
    assert "entrypoint" not in EVERYTHING[process]


@each_process
def test_a_process_waits_for_the_set_up_and_tells_how_it_is(process: str) -> None:
    service = process.split("-", maxsplit=1)[0]
    assert EVERYTHING[process]["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}
    assert EVERYTHING[process]["healthcheck"]["test"][-1] == f"http://127.0.0.1:8080/{service}/health/ready"


@pytest.mark.parametrize("service", [*PROCESSES, "setup", "collector"])
def test_a_process_can_change_nothing_but_its_data(service: str) -> None:
    told = EVERYTHING[service]
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in told
    assert "user" not in told


@pytest.mark.parametrize("service", sorted({*PROCESSES, "setup"}))
def test_every_variable_is_a_setting(service: str) -> None:
    assert {name for name in environment(service) if name.startswith("FIREWEED_")} <= NAMES


# Settings that follow from the stack itself, that no stack of several machines uses, or that no operator needs to change.
NOT_TO_BE_SET = {"DATA", "KEYS", "ISSUER", "PUSH_TO_LOOPBACK", "RELAY_INTERVAL", "KAFKA_SESSION"}


def test_optional_settings_can_be_set_in_the_values_file() -> None:
    written = {name: value for process in PROCESSES for name, value in environment(process).items()}
    assert {name for name in NAMES if name not in written} == {f"FIREWEED_{name}" for name in NOT_TO_BE_SET}
    for name in ("FIREWEED_LEAVE_TO", "FIREWEED_LEDGER_ORIGIN", "FIREWEED_TIME_ZONE", "FIREWEED_TRUSTED_PROXIES"):
        assert written[name].startswith(f"${{{name}:-")


@each_process
def test_settings_are_valid_once_the_blanks_are_filled(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = {name: _filled(value) for name, value in environment(process).items()}
    for name, value in filled.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    service = process.split("-", maxsplit=1)[0]
    assert settings.token_issuer == "https://hub.example/intake"
    assert settings.database(service) == f"postgresql+psycopg://fireweed_{service}:x@postgres:5432/fireweed_{service}"
    assert settings.consent_url in {None, "http://consent-api:8080"}


def _filled(value: str) -> str:
    value = value.replace("${FIREWEED_PUBLIC_URL:?set it in deploy/.env}", "https://hub.example")
    return re.sub(r"\$\{\w+:-([\w/]*)\}", r"\1", re.sub(r"\$\{\w+:\?[^}]+\}", "x", value))


def test_only_the_apis_have_a_port_and_only_on_this_machine() -> None:
    published = {name: told["ports"] for name, told in EVERYTHING.items() if "ports" in told}
    assert set(published) == {*(name for name in PROCESSES if name.endswith("-api")), "collector"}
    ports = [port for these in published.values() for port in these]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_keys_are_mounted_into_their_own_service_only() -> None:
    for service, keepers in KEEPERS.items():
        assert {name for name in EVERYTHING if f"{service}-keys" in mounted(name).values()} == keepers
        assert all(mounted(name) == {"/keys": f"{service}-keys"} for name in keepers)


@pytest.mark.parametrize("service", composition.NAMES)
def test_secrets_of_a_service_outlive_its_containers(service: str) -> None:
    code = "".join(path.read_text("utf-8") for path in (DEPLOY.parent / "services" / service).glob("*.py"))
    assert ("keys_folder" in code) == (mounted(f"{service}-worker").get("/keys") == f"{service}-keys")
    assert ("keys_folder" in code) == (service in KEEPERS)


def test_each_service_knows_its_own_password_only() -> None:
    for process in PROCESSES:
        names = set(re.findall(r"\$\{(\w+)_PASSWORD", str(environment(process))))
        assert names == {process.split("-")[0].upper()}


def test_only_workers_and_the_set_up_reach_kafka() -> None:
    on_the_bus = {name for name in EVERYTHING if "bus" in networks(name)}
    assert on_the_bus == {"kafka", "setup", *(name for name in PROCESSES if name.endswith("-worker"))}
    assert networks("kafka") == {"bus"}
    knows = {name for name in EVERYTHING if "FIREWEED_KAFKA" in environment(name)}
    assert knows == on_the_bus - {"kafka"}


def test_servers_are_on_networks_that_lead_nowhere_outside() -> None:
    inside = {name for name, told in COMPOSE["networks"].items() if told.get("internal")}
    for server in ("kafka", "postgres"):
        assert networks(server) <= inside
    assert {name for name in EVERYTHING if networks(name) - inside} == {
        *(name for name in PROCESSES if name.endswith("-api")),
        "collector",
    }


def test_every_secret_is_a_blank_that_must_be_filled() -> None:
    for told in EVERYTHING.values():
        for name, value in told.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN$", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", str(value)), name


def test_example_lists_each_blank_without_a_value() -> None:
    lines = [line for line in read("example.env").splitlines() if line and not line.startswith("#")]
    assert all(line.endswith("=") for line in lines)
    asked = set(re.findall(r"\$\{(\w+):\?", read("compose.yaml")))
    assert {line.rstrip("=") for line in lines} == asked


def test_a_filled_in_example_is_never_committed() -> None:
    ignored = (DEPLOY.parent / ".gitignore").read_text("utf-8").splitlines()
    assert "/deploy/.env" in ignored


def test_the_servers_use_the_files_that_the_tests_use() -> None:
    kafka, postgres = deploy.testing.kafka.HERE, deploy.testing.postgresql.HERE
    mounts = {**mounted("kafka"), **mounted("postgres")}
    assert (DEPLOY / mounts["/mnt/shared/config/server.properties"]).samefile(kafka / "server.properties")
    assert (DEPLOY / mounts["/etc/postgresql/postgresql.conf"]).samefile(postgres / "postgresql.conf")
    assert (DEPLOY / mounts["/docker-entrypoint-initdb.d/1-roles.sql"]).samefile(postgres / "roles.sql")
    assert "config_file=/etc/postgresql/postgresql.conf" in EVERYTHING["postgres"]["command"]
    version = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([^<]+)", read("kafka/pom.xml"))
    assert version
    assert EVERYTHING["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_every_file_that_is_mounted_exists() -> None:
    for name in EVERYTHING:
        for source in mounted(name).values():
            assert source in COMPOSE["volumes"] or (DEPLOY / source).is_file(), source


@pytest.mark.slow
@pytest.mark.server
def test_kafka_takes_the_file_with_what_compose_adds_to_it(tmp_path: Path) -> None:
    """The image adds each KAFKA_ variable as a property in lower case with dots; here the broker's own tool reads them."""
    added = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in environment("kafka").items()
    }
    assert added.pop("log.dirs") == "/var/lib/kafka/data"
    assert "/var/lib/kafka/data" in mounted("kafka")
    lines = "".join(f"{name}={value}\n" for name, value in {**added, "log.dirs": tmp_path / "data"}.items())
    settings = tmp_path / "server.properties"
    settings.write_text(read("kafka/server.properties") + lines)

    done = _storage("format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(settings))

    assert done.returncode == 0, done.stderr + done.stdout
    assert (tmp_path / "data" / "meta.properties").exists()


def _storage(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["java", "-cp", f"{deploy.testing.kafka.jars()}/*", "kafka.tools.StorageTool", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.backend("postgresql", "kafka")
def test_setup_creates_tables_and_topics_and_is_repeatable(
    postgres_server: PostgresServer, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    urls = postgres_server.recreate_services()
    told: Any = EVERYTHING["setup"]
    program, [script] = told["entrypoint"], told["command"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FIREWEED_")}
    variables |= {name: _local(name, urls, kafka_server) for name in told["environment"]}
    variables |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FIREWEED_KEYS": str(tmp_path / "keys"),
    }
    for _ in range(2):
        done = subprocess.run(
            [*program, script.replace("$$", "$")],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    for name in SERVICES:
        service = composition.build_one(name, Settings(database_url=urls, keys=tmp_path / "made-here"))
        assert composition.missing(service) == []
        service.close()
    assert KafkaBroker(kafka_server.bootstrap).missing_topics() == []
    assert not (tmp_path / "keys").exists()


def _local(name: str, urls: str, kafka: KafkaServer) -> str:
    return kafka.bootstrap if name == "FIREWEED_KAFKA" else urls.format(service=name.removeprefix("DATABASE_"))
