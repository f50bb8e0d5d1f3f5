"""The tests run without a network: a program that asked for one would fail here."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request

import pytest


def test_no_other_machine_can_be_reached_from_here() -> None:
    with pytest.raises(OSError, match="offline"):
        urllib.request.urlopen("http://pypi.org/", timeout=5)
    with pytest.raises(OSError, match="offline"), socket.socket() as reaching:
        reaching.connect(("192.0.2.1", 80))


def test_nor_from_a_program_that_a_test_starts() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "The tests are offline" in done.stderr


def test_this_machine_can() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as reaching:
        assert reaching.getpeername() == server.getsockname()
