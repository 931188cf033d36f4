"""A server that is out of file descriptors says so once a second, and goes on answering."""

import logging
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing

import pytest
from starlette.responses import PlainTextResponse

from services.common.http import accepting
from tests.support.server import served

TIMEOUT = 20.0
FLOOD, OTHER = "127.0.0.2", "127.0.0.3"
SERVER = """
import logging, resource, sys
logging.basicConfig(level=logging.WARNING, format="%(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
from starlette.responses import PlainTextResponse
from services.common.http import server as http_server
http_server.MOST_CONNECTIONS = int(sys.argv[1])
listener = http_server.listen(0)
print(listener.getsockname()[1], flush=True)
http_server.run(http_server.server(PlainTextResponse("hello")), listener)
"""


def connect(port: int, source: str) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(TIMEOUT)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", port))
    return connection


def answer(port: int) -> bytes:
    with closing(connect(port, OTHER)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


@pytest.mark.parametrize("most", [30, 4096])
def test_server_out_of_descriptors_answers_and_logs_little(most: int) -> None:
    """With its own limit it never runs out; with a limit that is too high it ends connections to go on."""
    command = [sys.executable, "-c", SERVER, str(most)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            port, began = int(running.stdout.readline()), time.monotonic()
            flood = [connect(port, FLOOD) for _ in range(300)]
            assert [answer(port)[-5:] for _time in range(3)] == [b"hello"] * 3
            for one in flood:
                one.close()
            running.terminate()
            lines = running.communicate(timeout=TIMEOUT)[1].splitlines()
        finally:
            running.kill()
    assert len(lines) <= time.monotonic() - began + 1
    assert set(lines) <= {"no file descriptor is left for a connection"}
    assert (most == 4096) == bool(lines)


REQUESTS = {
    "not a request": b"what?\r\n\r\n",
    "another protocol": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_senseless_requests_fill_no_log(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    accepting._seldom._last.clear()

    with served(PlainTextResponse("hello")) as url, caplog.at_level(logging.WARNING, "uvicorn.error"):
        port, began = int(url.rpartition(":")[2]), time.monotonic()
        for _time in range(50):
            with closing(connect(port, FLOOD)) as connection:
                connection.sendall(REQUESTS[kind])
                connection.recv(10)
        warned = [record for record in caplog.records if record.levelno == logging.WARNING]
        kinds = Counter(record.msg for record in warned)
        assert 1 <= max(kinds.values()) <= time.monotonic() - began + 1
