"""A client that loads a server: many connections in one process, and every answer compared byte by byte.

One request at a time is on its way on each connection. Requests follow at once, or at a rate; then a request that finds
no connection free waits, and its time counts from when it was due.
"""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

Exchange = tuple[bytes, bytes]  # a request, and the body of its right answer


LONGEST = 60.0  # seconds without any answer


@dataclass
class Counts:
    """What came back."""

    right: int = 0
    busy: int = 0  # 503
    wrong: list[str] = field(default_factory=list)  # other answers, and connections that ended without one
    delays: list[float] = field(default_factory=list)
    seconds: float = 0.0  # for which requests were sent; of a fixed number, until the last answer
    in_time: int = 0  # right answers in these seconds

    @property
    def rate(self) -> float:
        """Right answers a second, while requests were sent.

        What comes afterwards does not count: a client that was turned away may have to wait for a second, in which a
        server that answers fast has nothing else to do.
        """
        return self.in_time / self.seconds

    def delay(self, share: float) -> float:
        """Return the delay that this share of the requests does not exceed, in milliseconds."""
        return 1000 * sorted(self.delays)[min(len(self.delays) - 1, int(share * len(self.delays)))]


class _Connection:
    """A connection, with the request that is on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.content, self.wanted, self.due = b"", b"", 0.0

    def send(self, exchange: Exchange, due: float) -> None:
        """Send a request, which is small enough for the buffer of the system."""
        request, self.wanted = exchange
        self.content, self.due = b"", due
        with contextlib.suppress(OSError):  # which shows again when the answer is read
            self.socket.sendall(request)


def load(
    port: int,
    exchanges: Sequence[Exchange],
    connections: int,
    *,
    count: int | None = None,
    seconds: float | None = None,
    rate: float | None = None,
    polite: bool = True,
) -> Counts:
    """Send requests and count the answers.

    Args:
        port: The server's.
        exchanges: Requests with their answers; taken in turn.
        connections: How many.
        count: How many requests; without it, as many as go into `seconds`.
        seconds: For how long.
        rate: Requests a second; without it, each follows the answer before.
        polite: Whether to wait as long as a 503 asks for.
    """
    counts, began = Counts(), time.perf_counter()
    selector = selectors.DefaultSelector()
    free: deque[_Connection] = deque(_Connection(port) for _ in range(connections))
    for connection in free:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    resting: list[tuple[float, int, _Connection]] = []
    sent = answered = 0
    began = last = time.perf_counter()
    while True:
        now = time.perf_counter()
        is_over = (count is not None and sent >= count) or (seconds is not None and now - began >= seconds)
        if seconds is not None and is_over and not counts.seconds:
            counts.seconds, counts.in_time = now - began, counts.right
        while resting and resting[0][0] <= now:
            free.append(heapq.heappop(resting)[2])
        while free and not is_over:
            due = began + sent / rate if rate else time.perf_counter()
            if due > now and rate:
                break
            free.popleft().send(exchanges[sent % len(exchanges)], due)
            sent += 1
            is_over = count is not None and sent >= count
        if is_over and answered == sent:
            break
        if now - last > LONGEST:
            counts.wrong.append(f"{sent - answered} requests without an answer for {LONGEST:g} seconds")
            break
        pause = 0.5 if not (resting or rate) else 0.001
        for key, _ in selector.select(pause):
            connection = key.data
            if (reply := _reply(connection)) is None:
                continue
            last = time.perf_counter()
            answered += 1
            counts.delays.append(last - connection.due)
            status, body = reply
            if status == 200 and body == connection.wanted:
                counts.right += 1
                free.append(connection)
            elif status == 503 and polite:
                counts.busy += 1
                heapq.heappush(resting, (last + 1, answered, connection))
            elif status == 503:
                counts.busy += 1
                free.append(connection)
            else:
                counts.wrong.append(f"{status}: {body[:100]!r}")
                selector.unregister(connection.socket)
                connection.socket.close()
                if not status:
                    continue
                fresh = _Connection(port)
                selector.register(fresh.socket, selectors.EVENT_READ, fresh)
                free.append(fresh)
    if not counts.seconds:
        counts.seconds, counts.in_time = time.perf_counter() - began, counts.right
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    selector.close()
    return counts


def _reply(connection: _Connection) -> tuple[int, bytes] | None:
    """Return the status and the body of an answer; None if more is to come, and status 0 if none will."""
    try:
        content = connection.socket.recv(1 << 16)
    except OSError:
        content = b""
    if not content:
        return 0, b"the connection ended"
    connection.content += content
    head, blank, body = connection.content.partition(b"\r\n\r\n")
    if not blank:
        return None
    at = head.lower().find(b"content-length: ") + 16
    return (int(head[9:12]), body) if len(body) >= int(head[at:].split(b"\r\n", 1)[0]) else None
