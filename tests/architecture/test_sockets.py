"""Tests talk to this machine alone."""

import socket

import pytest
from pytest_socket import SocketConnectBlockedError


@pytest.mark.filterwarnings("ignore:A test tried")
def test_a_test_cannot_reach_another_machine() -> None:
    # 192.0.2.0/24 is set aside for documentation (RFC 5737): nobody is there, whatever the network.
    with socket.socket() as reaching, pytest.raises(SocketConnectBlockedError):
        reaching.connect(("192.0.2.1", 9))


def test_a_test_reaches_servers_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()
