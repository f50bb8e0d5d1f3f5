"""The server's log: one JSON object a line, written by a thread of its own, so that a slow reader delays no answer."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

MOST_LINES = 50_000  # that wait for a slow reader; the oldest are dropped, and counted


EVERY = 0.2  # seconds between writes


class Log:
    """Writes events to a stream.

    Args:
        stream: A text file, such as standard error.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._events: deque[tuple[float, dict[str, Any]]] = deque()
        self._dropped = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_often, name="log", daemon=True)
        self._thread.start()

    def add(self, event: str, **facts: Any) -> None:
        """Write an event, soon.

        Args:
            event: What happened.
            facts: What JSON can hold.
        """
        if len(self._events) >= MOST_LINES:
            self._events.popleft()
            self._dropped += 1
        self._events.append((time.time(), {"event": event, **facts}))

    def end(self) -> None:
        """Write what waits, unless nobody reads it."""
        self._ended.set()
        self._thread.join(timeout=1)

    def _write_often(self) -> None:
        """Write until `end`."""
        is_last = False
        while not is_last:
            is_last = self._ended.wait(EVERY)
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
                self._stream.writelines(self._lines())
                self._stream.flush()

    def _lines(self) -> list[str]:
        """Return the lines that wait."""
        lines = []
        if self._dropped:
            self.add("dropped", lines=self._dropped)
            self._dropped = 0
        for _ in range(len(self._events)):
            seconds, facts = self._events.popleft()
            when = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
            lines.append(json.dumps({"time": when.replace("+00:00", "Z"), **facts}) + "\n")
        return lines
