"""uvicorn with an end that loses no request: what came is answered, and connections close one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from .limits import Limits
from .log import Log
from .protocol import protocol_with

LONGEST_END = 30  # seconds for the requests that have come when the server is asked to end


class Server(uvicorn.Server):
    """A server that tells when it has begun, and ends quietly."""

    def __init__(self, config: uvicorn.Config, begun: Callable[[], None]) -> None:
        super().__init__(config)
        self._begun = begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what is there now stays: looking through it again and again would hold up answers
            self._begun()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self.server_state.is_ending = True  # type: ignore[attr-defined]
        for _ in range(100):  # accepts the connections that the system has made already
            await asyncio.sleep(0.01)
            if not select.select(sockets or [], [], [], 0)[0]:
                break
        await super().shutdown(sockets)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn, which would end with the signal that it was asked with, as if something had gone wrong."""
        with self.capture_signals():
            await self._serve(sockets)
            self._captured_signals.clear()


def run(app: Any, listening: socket.socket, limits: Limits, log: Log, begun: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        app: The application.
        listening: Where requests come from.
        limits: Of requests.
        log: Takes what uvicorn has to say.
        begun: Called once requests are answered.
    """
    config = uvicorn.Config(
        app,
        http=protocol_with(limits),
        ws="none",
        loop="auto",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=LONGEST_END,
        backlog=2048,
    )
    with _warnings_in(log):
        Server(config, begun).run([listening])


@contextlib.contextmanager
def _warnings_in(log: Log) -> Iterator[None]:
    """Inside, what libraries warn of goes to the log; standard error would have lines that are not JSON."""
    root, handler = logging.getLogger(), _ToLog(log)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it says what is wrong with a form, byte by byte
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _ToLog(logging.Handler):
    """Writes uvicorn's warnings to our log, without tracebacks."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        error = record.exc_info[0] if record.exc_info else None
        self._log.add("warning", message=record.getMessage().strip(), error=error.__name__ if error else None)
