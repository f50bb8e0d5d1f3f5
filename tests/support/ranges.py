"""A web server on this machine that answers byte ranges, is as slow as a link, and fails by a seeded plan."""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 1 << 16


@dataclass
class Plan:
    """What goes wrong: shares of requests, drawn in the order in which they come; and how slow the link is."""

    seed: int = 0
    busy: float = 0.0  # answered with 503
    cut: float = 0.0  # the connection ends in the middle of the body
    reset: float = 0.0  # the connection is reset before an answer
    wrong: float = 0.0  # one byte differs
    late: float = 0.0  # the answer comes after 0.05 seconds
    status: int = 0  # every request gets this status
    ranges: bool = True  # whether ranges are answered
    spare: int = 0  # the first requests, which are answered well
    latency: float = 0.0  # seconds before each answer
    rate: float = 0.0  # bytes in a second for all connections together; 0 for no limit
    password: str = ""  # what a signed address must have
    behind: int = 0  # the port of another server, which answers in place of this one


@dataclass
class Web:
    """The server: its files, its plan, and what it did."""

    files: dict[str, bytes]
    plan: Plan
    port: int = 0
    did: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock, self.random, self.free_at = threading.Lock(), random.Random(self.plan.seed), 0.0

    def address(self, name: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def fate(self) -> str:
        """Draw what happens to a request."""
        with self.lock:
            self.did["request"] += 1
            if self.did["request"] <= self.plan.spare:
                return ""
            drawn = self.random.random()
            for name in ("busy", "cut", "reset", "wrong", "late"):
                drawn -= getattr(self.plan, name)
                if drawn < 0:
                    self.did[name] += 1
                    return name
            return ""

    def wait_for(self, size: int) -> None:
        """Wait as long as these bytes take on the link, which all connections share."""
        if not self.plan.rate:
            return
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + size / self.plan.rate
            free_at = self.free_at
        time.sleep(max(0.0, free_at - time.monotonic()))


@contextlib.contextmanager
def web(files: dict[str, bytes], **plan: Any) -> Iterator[Web]:
    """Serve files on this machine until the context ends."""
    there = Web(files, Plan(**plan))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            (forward if there.plan.behind else answer)(self, there)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:  # a client that has gone
            pass

    server = Server(("127.0.0.1", 0), Handler)
    there.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(request: BaseHTTPRequestHandler, there: Web) -> None:
    """Answer a request, or fail as planned."""
    plan, (name, _, query) = there.plan, request.path.lstrip("/").partition("?")
    fate = there.fate()
    time.sleep(plan.latency + 0.05 * (fate == "late"))
    content = there.files.get(name)
    if plan.status or content is None or plan.password not in query:
        refuse(request, plan.status or (404 if content is None else 403))
        return
    if failed_at_once(request, fate):
        return
    asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
    first, stop = (int(asked[1]), min(int(asked[2]) + 1, len(content))) if asked and plan.ranges else (0, len(content))
    request.send_response(206 if asked and plan.ranges else 200)
    if asked and plan.ranges:
        request.send_header("Content-Range", f"bytes {first}-{stop - 1}/{len(content)}")
    with there.lock:
        there.asked.append((name, first, stop))
    send(request, there, memoryview(content)[first:stop], fate)


def forward(request: BaseHTTPRequestHandler, there: Web) -> None:
    """Pass a request on to the server behind this one; what it answers to a GET may fail as planned."""
    fate = there.fate() if request.command == "GET" else ""
    time.sleep(there.plan.latency + 0.05 * (fate == "late"))
    body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
    if failed_at_once(request, fate):
        return
    behind = http.client.HTTPConnection("127.0.0.1", there.plan.behind)
    behind.request(request.command, request.path, body, dict(request.headers))
    answered = behind.getresponse()
    content = answered.read()
    request.send_response(answered.status)
    for name, value in answered.getheaders():
        is_length = name.lower() == "content-length" and request.command != "HEAD"
        if not is_length and name.lower() not in ("connection", "transfer-encoding", "date", "server"):
            request.send_header(name, value)
    behind.close()
    if request.command == "HEAD":
        request.end_headers()
    else:
        send(request, there, memoryview(content), fate)


def refuse(request: BaseHTTPRequestHandler, status: int) -> None:
    """Answer a status without a body."""
    request.send_response(status)
    request.send_header("Content-Length", "0")
    request.end_headers()


def failed_at_once(request: BaseHTTPRequestHandler, fate: str) -> bool:
    """Fail before an answer, if that is planned, and return whether it was."""
    if fate == "busy":
        refuse(request, 503)
    if fate == "reset":
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.close_connection = True
        request.connection.close()
    return fate in ("busy", "reset")


def send(request: BaseHTTPRequestHandler, there: Web, body: memoryview, fate: str) -> None:
    """Send a body as fast as the link is; change or cut it if that is planned."""
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if fate == "wrong" and len(body):
        changed = bytearray(body)
        changed[len(changed) // 2] ^= 1
        body = memoryview(bytes(changed))
    if fate == "cut":
        body, request.close_connection = body[: len(body) // 2], True
    for at in range(0, len(body), PIECE):
        piece = body[at : at + PIECE]
        there.wait_for(len(piece))
        request.wfile.write(piece)
    with there.lock:
        there.sent += len(body)
