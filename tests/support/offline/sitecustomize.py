"""Keep tests offline: the tests import this file, and it is on the path of every program that they start.

Python tells its audit hooks of each connection and look-up before it is made; one that raises refuses it.
"""

from __future__ import annotations

import sys
from typing import Any

HERE = ("127.0.0.1", "::1", "localhost", "", None, b"localhost", b"127.0.0.1")


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise if a connection or a look-up leads to another machine."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        where = address[0] if isinstance(address, tuple) else None  # anything but a tuple is a socket of this machine
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        where = arguments[0]
    else:
        return
    if where not in HERE:
        raise ConnectionRefusedError(f"The tests are offline, and {event} was asked for {where!r}.")


sys.addaudithook(refuse)
