"""On SQLite no second process takes a role that another one has."""

import pytest

from services.common.database.engine import Database
from services.common.database.process_lock import hold
from services.common.errors import Problem

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@only_sqlite
def test_role_on_a_file_has_one_process_at_a_time(database: Database) -> None:
    with hold(database, "api"):
        with pytest.raises(Problem) as refused, hold(database, "api"):
            raise AssertionError("held twice")
        assert "--data" in refused.value.title
        with hold(database, "worker"):
            pass
    with hold(database, "api"):
        pass


@only_postgresql
def test_role_on_postgresql_may_have_many_processes(database: Database) -> None:
    with hold(database, "api"), hold(database, "api"):
        pass
