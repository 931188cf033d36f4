"""Every database migrates to the newest schema, from any step and with any number of concurrent processes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, inspect, text

import services
from deploy.testing.postgresql import PostgresServer
from services import composition
from services.common.database.column_types import BigId, Instant, Json
from services.common.database.engine import Database
from services.common.database.migrations import differences, missing_steps, upgrade, write_step
from services.common.service import Service
from services.common.service_tables import define_plumbing
from services.common.settings import Settings
from tests.support.hubs import environment

IMPORTS = "import json, sys; from services import composition; from services.common.settings import Settings"
UPGRADE = f"{IMPORTS}; print(json.dumps(composition.migrate_all(Settings(), (sys.argv[1],))))"


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Yield a setting for an empty database of a service, on each backend."""
    if request.param == "sqlite":
        return Settings(data=tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return Settings(data=tmp_path, database_url=server.empty_database())


@pytest.fixture(params=composition.NAMES)
def service(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Service]:
    with closing(composition.build_one(request.param, settings)) as made:
        yield made


@pytest.fixture
def intake(settings: Settings) -> Iterator[Service]:
    with closing(composition.build_one("intake", settings)) as made:
        yield made


def tables(service: Service) -> set[str]:
    return set(inspect(service.database.engine).get_table_names()) - {"alembic_version"}


def test_empty_database_migrates_to_the_schema_of_the_models(service: Service) -> None:
    missing = missing_steps(service.name, service.database)
    assert missing
    assert upgrade(service.name, service.database) == missing
    assert list(differences(service.database, service.metadata)) == []
    assert tables(service) == set(service.metadata.tables)


def test_second_upgrade_takes_no_step(service: Service) -> None:
    upgrade(service.name, service.database)
    assert missing_steps(service.name, service.database) == []
    assert upgrade(service.name, service.database) == []


def test_listing_missing_steps_takes_none(intake: Service) -> None:
    assert missing_steps("intake", intake.database) == missing_steps("intake", intake.database)
    assert tables(intake) == set()


def test_failing_step_rolls_back_the_whole_upgrade(intake: Service) -> None:
    with intake.database.transaction() as connection:
        connection.execute(text("CREATE TABLE used_once (wrong INTEGER)"))
    with pytest.raises(Exception, match="used_once"):
        upgrade("intake", intake.database)
    assert tables(intake) == {"used_once"}
    assert missing_steps("intake", intake.database)


def test_model_that_no_step_creates_is_a_difference(intake: Service) -> None:
    upgrade("intake", intake.database)
    metadata = MetaData()
    for table in intake.metadata.tables.values():
        table.to_metadata(metadata)
    Table("forgotten", metadata, Column("id", Integer, primary_key=True))
    found = list(differences(intake.database, metadata))
    assert [(difference[0], difference[1].name) for difference in found] == [("add_table", "forgotten")]


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_processes_that_start_at_once_take_each_step_once(settings: Settings) -> None:
    command = [sys.executable, "-c", UPGRADE, "reporting"]
    processes = [
        subprocess.Popen(command, env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ends = [(*process.communicate(timeout=60), process.returncode) for process in processes]
    assert [(errors, status) for _told, errors, status in ends] == [("", 0)] * 2
    assert sorted(json.loads(told)["reporting"] == [] for told, _errors, _status in ends) == [False, True]
    with closing(composition.build_one("reporting", settings)) as service:
        assert list(differences(service.database, service.metadata)) == []


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Add a service for these tests; return the folder of its migrations."""
    folder = tmp_path / "more" / "probe" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.setattr(services, "__path__", [*services.__path__, str(tmp_path / "more")])
    yield folder
    for name in [name for name in sys.modules if name.startswith("services.probe")]:
        del sys.modules[name]


def test_written_step_uses_the_projects_column_types(database: Database, probe: Path) -> None:
    metadata = MetaData()
    plumbing = define_plumbing(metadata)
    Table("thing", metadata, Column("id", BigId, primary_key=True), Column("facts", Json), Column("at", Instant))
    write_step("probe", database, metadata, "first tables")
    assert [path.name for path in probe.glob("*.py")] == ["0001_first_tables.py"]
    content = (probe / "0001_first_tables.py").read_text()
    assert content.startswith('"""First tables."""\n')
    for column in ("'id', BigId", "'facts', Json", "'at', Instant()"):
        assert f"sa.Column({column}" in content
    assert upgrade("probe", database) == ["First tables."]
    assert list(differences(database, metadata)) == []
    plumbing.outbox.table.append_column(Column("later", Integer))
    write_step("probe", database, metadata, "one column more")
    assert missing_steps("probe", database) == ["One column more."]
    assert upgrade("probe", database) == ["One column more."]
    assert list(differences(database, metadata)) == []


def test_database_that_stopped_half_way_goes_on_from_there(database: Database, probe: Path) -> None:
    metadata = MetaData()
    plumbing = define_plumbing(metadata)
    write_step("probe", database, metadata, "first tables")
    upgrade("probe", database)
    plumbing.outbox.table.append_column(Column("later", Integer))
    write_step("probe", database, metadata, "one column more")
    upgrade("probe", database)
    with database.transaction() as connection:
        connection.execute(text("ALTER TABLE outbox DROP COLUMN later"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert missing_steps("probe", database) == ["One column more."]
    assert upgrade("probe", database) == ["One column more."]
    assert list(differences(database, metadata)) == []
