"""Servers to try: ours, as a user starts it, and the plainest one that could do its work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Reads the body, and returns the same JSON each time: what HTTP alone costs in FastAPI, with uvicorn's fastest parts.
PLAIN = """
import json, socket, sys
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

answer = json.loads(sys.argv[1])
app = FastAPI()

@app.post("/predict")
async def predict(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse(answer)

listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(json.dumps({"url": "http://127.0.0.1:%d" % listening.getsockname()[1]}), flush=True)
config = uvicorn.Config(app, http="httptools", access_log=False, log_level="warning")
uvicorn.Server(config).run([listening])
"""


@dataclass(frozen=True, eq=False)
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int

    def memory(self) -> float:
        """Return its resident memory in megabytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000

    def cpu(self) -> float:
        """Return the seconds of CPU that it has taken."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def ours(model: Path) -> Iterator[Served]:
    """Serve a model with `sevensteps serve`.

    Args:
        model: The run.
    """
    with _running([sys.executable, "-m", "sevensteps", "serve", str(model), "--port", "0", "--json"]) as served:
        yield served


@contextlib.contextmanager
def plain(answer: bytes) -> Iterator[Served]:
    """Serve the same answer to every request.

    Args:
        answer: JSON.
    """
    with _running([sys.executable, "-c", PLAIN, answer.decode()]) as served:
        yield served


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[Served]:
    """Start a server on the first core, and end it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile("w+"))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        stack.enter_context(process)
        try:
            _pin(process.pid, 0)
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{' '.join(command[:5])} did not start")
            yield Served(process, int(json.loads(line)["url"].rpartition(":")[2]))
        finally:
            process.kill()


def pin_client() -> None:
    """Move this process to the last core, away from the server."""
    _pin(0, -1)


def _pin(process: int, place: int) -> None:
    """Keep a process on one of the cores that this one was given at first."""
    if len(_CORES) > 1:
        os.sched_setaffinity(process, {_CORES[place]})


_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
