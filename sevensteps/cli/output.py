"""Where the command's output goes: a reader that leaves, a full disk or a closed stream must not cost a run."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import MutableMapping
from typing import Any

# Narrower than this, no table can be read; wider than this is a mistake, and a frame of help would fill the memory.
LEAST_COLUMNS, MOST_COLUMNS = 20, 10_000


class _Tolerant(io.FileIO):
    """A file that is only written: after the first failure, everything that is written to it disappears."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return len(data)


def guard_streams() -> None:
    """Make stdout and stderr tolerate whatever may happen to them, so that the work goes on; `failure_of` tells.

    A stream that was closed (`>&-`) leads nowhere, as /dev/null. A terminal stays as it is: it does not fill up.
    """
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(os.open(os.devnull, os.O_RDONLY), "rb")))
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _text(io.FileIO(os.open(os.devnull, os.O_WRONLY), "wb")))
        elif isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.flush()
            settings: dict[str, Any] = {"encoding": stream.encoding, "errors": stream.errors}
            settings["line_buffering"] = stream.line_buffering or stream.write_through
            setattr(sys, name, _text(_Tolerant(stream.fileno(), "wb", closefd=False), **settings))


def _text(raw: io.FileIO, **settings: Any) -> io.TextIOWrapper:
    """Return a stream of text on a file."""
    return io.TextIOWrapper(io.BufferedWriter(raw), **settings)


def failure_of(stream: Any) -> OSError | None:
    """Return why something that was written to a stream is lost, or None; what is still buffered is written first.

    Args:
        stream: `sys.stdout`, or what stands in its place.
    """
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Tolerant) else None


def settle_size(environment: MutableMapping[str, str]) -> None:
    """Correct a width or height in the environment that is not one: 0 means unknown, as for other programs.

    Args:
        environment: Where COLUMNS and LINES may be.
    """
    for name in ("COLUMNS", "LINES"):
        typed = environment.get(name)
        if typed is None:
            continue
        try:
            number = int(typed)
        except ValueError:
            number = 0
        if not 0 < number <= MOST_COLUMNS:
            del environment[name]
        elif name == "COLUMNS":
            environment[name] = str(max(number, LEAST_COLUMNS))
