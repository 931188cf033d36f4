"""Runs a real PostgreSQL on this machine: loopback only, data in a folder that goes with it, never as root."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import psycopg

from deploy.testing.ports import free_port

HERE = Path(__file__).resolve().parent.parent / "postgres"
SUPERUSER = "fireweed"
SERVICES = ("intake", "consent", "referral", "reporting")


class PostgresServer:
    """One server with the roles and databases of deploy/postgres/roles.sql, and any number of empty databases."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder
        self.durable = durable
        self.port = free_port()
        self._numbers = count(1)

    @classmethod
    def create(cls, folder: Path, *, durable: bool = True) -> Self:
        """Create a cluster in a folder, start it, and set it up with the files of `deploy`.

        One that is not `durable` keeps what it committed when its processes die, but not when the machine does.
        """
        made = cls(folder, durable=durable)
        folder.mkdir(parents=True, exist_ok=True)
        _give_away(folder)
        made._run("initdb", "-A", "trust", "-U", SUPERUSER, "--no-sync", "-D", str(made.data))
        shutil.copyfile(HERE / "postgresql.conf", made.data / "fireweed.conf")
        _give_away(made.data / "fireweed.conf")
        with (made.data / "postgresql.conf").open("a") as settings:
            settings.write("include 'fireweed.conf'\n")
        made.start()
        made.execute((HERE / "roles.sql").read_text("utf-8"))
        return made

    @property
    def data(self) -> Path:
        """Return the cluster's data directory (PGDATA)."""
        return self.folder / "data"

    @property
    def services_url(self) -> str:
        """Return the URL of the four services' databases, as for FIREWEED_DATABASE_URL."""
        return f"postgresql://fireweed_{{service}}@127.0.0.1:{self.port}/fireweed_{{service}}"

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Return the URL of one database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start and wait until connections are accepted."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        options += "" if self.durable else " -c fsync=off -c full_page_writes=off"
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "server.log"), "-o", options, "-w", "start")

    def kill(self) -> None:
        """Stop the server at once, without a checkpoint."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def stop(self) -> None:
        """Stop the server at once and remove its folder, so a checkpoint would be wasted."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def empty_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"empty_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database that `empty_database` created, and end its connections."""
        self.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')

    def recreate_services(self) -> str:
        """Create the four services' databases again, empty; return their URL."""
        for service in SERVICES:
            self.execute(f"DROP DATABASE fireweed_{service} WITH (FORCE)")
            self.execute(f"CREATE DATABASE fireweed_{service} OWNER fireweed_{service}")
            self.execute(f"REVOKE CONNECT ON DATABASE fireweed_{service} FROM PUBLIC")
        return self.services_url

    def execute(self, statements: str) -> None:
        """Run statements as the superuser, each by itself (a database cannot be created in a transaction)."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            owner = connection.execute("SHOW data_directory").fetchone()
            if owner != (str(self.data),):
                raise RuntimeError("another server answers on this port; nothing was done to it")
            rows = (row for row in statements.splitlines() if not row.lstrip().startswith("--"))
            for statement in "\n".join(rows).split(";"):
                if statement.strip():
                    connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(binaries() / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # Output goes to a file of the server's own, since a pipe would stay open as long as the server runs.
        with (self.folder / "commands.log").open("ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, cwd="/", check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed; see {self.folder / 'commands.log'}")


@contextmanager
def temporary_postgres(*, durable: bool = True) -> Iterator[PostgresServer]:
    """Run a server in a temporary folder during the block; `durable` as in `PostgresServer.create`."""
    # PostgreSQL's user must be able to enter the parent folders, which it cannot for the folders of a test runner.
    with TemporaryDirectory(prefix="fireweed-postgres-") as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer.create(Path(folder) / "server", durable=durable)
        try:
            yield server
        finally:
            server.stop()


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs, of the newest version; raises `RuntimeError` if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).parent
    raise RuntimeError("PostgreSQL is not installed; run `make test` once, it says what is missing")


def _give_away(path: Path) -> None:
    """Give a path to the user of PostgreSQL if we are root, since PostgreSQL refuses to run as root."""
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(path, owner.pw_uid, owner.pw_gid)
        path.chmod(0o755 if path.is_dir() else 0o644)
