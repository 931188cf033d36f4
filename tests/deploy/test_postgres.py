"""On a real server the set-up files give each service its own role, database and password."""

import base64
import hashlib
import hmac
import os
import re
import subprocess

import psycopg
import pytest

from deploy.testing.postgresql import SERVICES, PostgresServer, binaries
from tests.deploy.files import DEPLOY

pytestmark = pytest.mark.backend("postgresql")
PASSWORDS = {f"{service.upper()}_PASSWORD": f"sample-{service}" for service in SERVICES}


def passwords(server: PostgresServer, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(binaries() / "psql"), server.url(), "--no-psqlrc", "--file", str(DEPLOY / "postgres/passwords.sql")]
    kept = {name: value for name, value in os.environ.items() if name not in PASSWORDS}
    return subprocess.run(command, env=kept | given, capture_output=True, text=True, check=False)


def verifiers(server: PostgresServer) -> dict[str, str | None]:
    with psycopg.connect(server.url()) as connection:
        rows = connection.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'fireweed\\_%'")
        return dict(rows.fetchall())


def verifies(kept: str, word: str) -> bool:
    """Tell whether a verifier belongs to a password (RFC 5802, section 3; RFC 7677)."""
    name, iterations, salt, stored, _ = re.split("[$:]", kept)
    salted = hashlib.pbkdf2_hmac("sha256", word.encode(), base64.b64decode(salt), int(iterations))
    key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return name == "SCRAM-SHA-256" and base64.b64decode(stored) == key


@pytest.fixture
def server(postgres_server: PostgresServer) -> PostgresServer:
    for service in SERVICES:
        postgres_server.execute(f"ALTER ROLE fireweed_{service} PASSWORD NULL")
    return postgres_server


def test_each_role_has_its_own_password(server: PostgresServer) -> None:
    """The server stores only a verifier of it."""
    assert passwords(server, PASSWORDS).returncode == 0
    kept = verifiers(server)
    assert set(kept) == {f"fireweed_{service}" for service in SERVICES}
    for service in SERVICES:
        assert verifies(str(kept[f"fireweed_{service}"]), PASSWORDS[f"{service.upper()}_PASSWORD"])


def test_a_password_that_is_missing_stops_the_set_up(server: PostgresServer) -> None:
    few = {name: word for name, word in PASSWORDS.items() if not name.startswith("INTAKE")}
    assert passwords(server, few).returncode != 0
    assert verifiers(server)["fireweed_intake"] is None


def test_role_cannot_connect_to_another_database(server: PostgresServer) -> None:
    for service in SERVICES:
        for other in SERVICES:
            url = server.url(f"fireweed_{other}", f"fireweed_{service}")
            if service == other:
                psycopg.connect(url).close()
            else:
                with pytest.raises(psycopg.OperationalError, match="permission denied"):
                    psycopg.connect(url)
