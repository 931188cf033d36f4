"""Migrates a service's database to the newest schema; the steps are files in the service's `migrations` folder."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Literal

from alembic.autogenerate import RevisionContext, compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData

from services.common.database.advisory_locks import lock_until_commit
from services.common.database.column_types import BigId, Code, Codes, Instant, Json
from services.common.database.engine import Database
from services.common.errors import Problem


class Newer(Problem):
    """A database took a step that this version does not know, so its schema is unknown."""

    def __init__(self, service: str) -> None:
        told = f"The {service} database was made by a newer version. Run that version, or one newer still."
        super().__init__(503, "newer-database", told)


def upgrade(service: str, database: Database) -> list[str]:
    """Take every missing step, in one transaction; return the descriptions of the steps taken. Raises `Newer`."""
    script = _script(service)
    taken: list[str] = []

    def steps(revision: Any, _context: object) -> list[Any]:
        _must_know(script, service, revision)
        missing = script._upgrade_revs("head", revision)  # noqa: SLF001 - as alembic's own `command.upgrade` does
        taken.extend(step.revision.doc for step in missing)
        return missing

    _run(script, database, steps, None)
    return taken


def missing_steps(service: str, database: Database) -> list[str]:
    """Return the descriptions of the steps that `upgrade` would take, in order; raises `Newer`."""
    with database.reading() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    script = _script(service)
    _must_know(script, service, heads)
    return [step.doc for step in script.iterate_revisions("head", heads or "base")][::-1]


def differences(database: Database, metadata: MetaData) -> Sequence[Any]:
    """Return the differences between the database and the models; empty when the migrations are complete."""
    with database.connection() as connection:
        found: Sequence[Any] = compare_metadata(MigrationContext.configure(connection), metadata)
        return found


def write_step(service: str, database: Database, metadata: MetaData, message: str) -> None:
    """Write a new migration file with the difference between the migrated database and the models."""
    script = _script(service)
    number = f"{len(list(script.walk_revisions())) + 1:04d}"
    wanted = {"message": message, "autogenerate": True, "sql": False, "head": "head", "splice": False, "rev_id": number}
    unused = dict.fromkeys(("branch_label", "version_path", "depends_on", "process_revision_directives"))
    new = RevisionContext(Config(), script, wanted | unused)

    def compare(revision: Any, context: Any) -> list[Any]:
        new.run_autogenerate(revision, context)
        return []

    _run(script, database, compare, metadata)
    list(new.generate_scripts())


def _run(
    script: ScriptDirectory, database: Database, steps: Callable[[Any, Any], list[Any]], metadata: MetaData | None
) -> None:
    with database.transaction() as connection, EnvironmentContext(Config(), script, fn=steps) as environment:
        # Several processes may start at once: the second waits here and then finds no step left to take.
        lock_until_commit(connection, "fireweed:migrate")
        environment.configure(connection=connection, target_metadata=metadata, render_item=_render)
        environment.run_migrations()


def _script(service: str) -> ScriptDirectory:
    template = files("services.common.database").joinpath("migration_template")
    steps = files(f"services.{service}").joinpath("migrations")
    return ScriptDirectory(str(template), version_locations=[str(steps)], file_template="%(rev)s_%(slug)s")


def _must_know(script: ScriptDirectory, service: str, taken: Sequence[str]) -> None:
    if not {step.revision for step in script.walk_revisions()}.issuperset(taken):
        raise Newer(service)


def _render(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Return the project's own column types by name, as the models write them; False for other items."""
    if kind != "type":
        return False
    if isinstance(item, Code):
        return f"Code({item.length})"
    if isinstance(item, Codes | Instant):
        return f"{type(item).__name__}()"
    return next((name for name, known in {"BigId": BigId, "Json": Json}.items() if item is known), False)
