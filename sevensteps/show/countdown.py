"""One line at the bottom of a terminal: how many files are done, and how much time is left."""

from __future__ import annotations

import time

from rich.console import Console

from ..base.words import counted

EVERY = 0.2  # seconds between two changes: faster is not read, and costs time


WAIT = 1.0  # seconds before the first: less is done before anyone has read it


class Countdown:
    """A line that is shown while files are worked on, and removed before anything else is printed.

    Args:
        error: The console on stderr; nothing is shown unless it is a terminal.
        total: The number of files; None if it is not known.
    """

    def __init__(self, error: Console, total: int | None) -> None:
        self._file, self._total = error.file, total
        self._began = self._last = time.monotonic()
        self._done, self._is_shown = 0, False
        self._is_terminal = error.is_terminal

    def hide(self) -> None:
        """Remove the line, so that something can be printed."""
        if self._is_shown:
            self._file.write("\r\x1b[K")
            self._file.flush()
            self._is_shown = False

    def advance(self) -> None:
        """Count one more file, and show the line if it is time."""
        self._done += 1
        now = time.monotonic()
        if not self._is_terminal or now - self._last < EVERY or now - self._began < WAIT:
            return
        self._last, self._is_shown = now, True
        self._file.write(f"\r{self._in_words(now - self._began)}\x1b[K")
        self._file.flush()

    def _in_words(self, seconds: float) -> str:
        """Return what the line says."""
        if self._total is None or self._total <= self._done:
            return counted(self._done, "file")
        left = round(seconds / self._done * (self._total - self._done))
        minutes, left = divmod(left, 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
        return f"{self._done:,} of {counted(self._total, 'file')}, {clock} left"
