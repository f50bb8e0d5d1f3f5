"""Start `sevensteps serve` as a user types it, and send it bytes as they are."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typed import start


@dataclass(frozen=True)
class Reply:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Server:
    """A server that runs; after `stop`, its exit code and its log."""

    process: Any
    log_file: Any
    port: int
    code: int | None = None
    log: list[dict[str, Any]] = field(default_factory=list)

    def cpu(self) -> float:
        """Return the seconds of CPU that it has taken."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def connected(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a request on a new connection; underscores in the names of headers become hyphens."""
        with self.connected() as connection:
            connection.sendall(request(method, path, body, **headers))
            return read(connection)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, and wait for the end."""
        if self.code is None:
            self.process.send_signal(number)
            self.process.communicate(timeout=20)
            self.code = self.process.returncode
            self.log_file.seek(0)
            self.log = [json.loads(line) for line in self.log_file.read().splitlines()]


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return the bytes of a request."""
    named = {"Host": "localhost", "Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n" for name, value in named.items() if value]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


def read(connection: socket.socket) -> Reply:
    """Read one response; raise EOFError if the connection ends before it does."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += _more(connection)
    head, _, body = content.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += _more(connection)
    return Reply(int(status.split()[1]), headers, body)


def _more(connection: socket.socket) -> bytes:
    content = connection.recv(1 << 16)
    if not content:
        raise EOFError
    return content


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """Return a form with files, and its type."""
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="picture"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join([*parts, b"--edge--\r\n"]), "multipart/form-data; boundary=edge"


@contextlib.contextmanager
def served(model: str, *flags: str, cwd: Path) -> Iterator[Server]:
    """Serve a model at a free port until the context ends."""
    with tempfile.TemporaryFile("w+") as log:
        process = start("serve", model, "--port", "0", "--json", *flags, cwd=cwd, how={"stderr": log})
        with process:
            try:
                line = process.stdout.readline()
                assert line, (process.wait(20), log.seek(0), log.read())
                server = Server(process, log, int(json.loads(line)["url"].rpartition(":")[2]))
                yield server
                server.stop()
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(20)
