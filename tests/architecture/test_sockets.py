"""Tests talk to this machine alone."""

import socket

import pytest
from pytest_socket import SocketConnectBlockedError


@pytest.mark.filterwarnings("ignore:A test tried")
def test_connecting_to_another_machine_is_blocked() -> None:
    # 192.0.2.0/24 is set aside for documentation (RFC 5737): nobody is there, whatever the network.
    with socket.socket() as reaching, pytest.raises(SocketConnectBlockedError):
        reaching.connect(("192.0.2.1", 9))


def test_connecting_to_a_local_server_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()
