"""Decode small picture files in several processes: threads would mostly wait for Python's lock.

The processes are fresh ones that run `decode_worker`, and not copies of this one, so that a script without a
`__main__` guard does not run again. Each gets every n-th part of the files, and a thread here waits for its answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...base.device import cores
from ...errors import DataError
from ..decode import Fit, Seen, Shape
from ..value_range import Range

MOST_PROCESSES = 8  # one process cannot take more pictures from others


WORTH_IT = 1.0  # seconds that must be saved: starting the processes takes half of that


QUICK = 6e-5  # seconds for a file, below which handing it over takes as long as decoding it


_AT_ONCE, _BYTES_AT_ONCE = 64, 4 << 20  # files, and bytes of pixels, that a process decodes for one answer


_WAITING = 4  # answers of a process that wait here


_PAUSE = 0.1  # seconds after which a thread looks whether it is still needed


class Pixels(NamedTuple):
    """The pixels that files are decoded into."""

    shape: Shape
    fit: Fit
    range: Range | None


Result = tuple[Seen, Any] | DataError  # header and pixels, or why there are none


def is_worth_it(files: int, seconds: float) -> bool:
    """Return whether several processes save time.

    Args:
        files: The number of files.
        seconds: What this process takes for one.
    """
    count = min(cores(), MOST_PROCESSES)
    return seconds > QUICK and files * seconds * (1 - 1 / count) > WORTH_IT


def decoded_in_processes(files: Sequence[tuple[str, str]], into: Pixels, source: Path) -> Iterator[Result]:
    """Give what `decode_and_look` gives for each file, in order.

    Args:
        files: The path of each file, and the name by which errors call it.
        into: The pixels that they become.
        source: What errors call all of them.

    Raises:
        DataError: A process ended before it was done.
    """
    at_once = max(1, min(_AT_ONCE, _BYTES_AT_ONCE // int(np.prod(into.shape))))
    parts = [files[at : at + at_once] for at in range(0, len(files), at_once)]
    count = max(1, min(cores(), MOST_PROCESSES, len(parts)))
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_Worker(into, parts[number::count])) for number in range(count)]
        for number, part in enumerate(parts):
            answer = workers[number % count].next()
            if answer is None:
                ended = workers[number % count].ended()
                raise DataError(
                    f"{source}: a process that decodes pictures {ended}, at {part[0][1]} or one of the next "
                    f"{len(part):,} files.",
                    hint="Type the command again. If it happens again, look for that picture, or for too little "
                    "memory.",
                )
            yield from answer


class _Worker:
    """A process, and the thread that gives it files and waits for its answers."""

    def __init__(self, into: Pixels, parts: Sequence[Sequence[tuple[str, str]]]) -> None:
        self._into, self._parts = into, parts
        self._answers: queue.Queue[list[Result] | None] = queue.Queue(_WAITING)
        self._is_left = threading.Event()
        self._failed: Exception | None = None  # what its answers could not be read for

    def __enter__(self) -> _Worker:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.decode_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._is_left.set()
        self._process.kill()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not written yet
                pipe.close()  # type: ignore[union-attr]
        self._process.wait()

    def next(self) -> list[Result] | None:
        """Return the answer for the next files; None if the process ended."""
        return self._answers.get()

    def ended(self) -> str:
        """Return how the process ended, as the rest of a sentence."""
        if self._failed is not None:
            return f"gave an answer that cannot be read ({type(self._failed).__name__}: {self._failed!s:.80})"
        code = self._process.wait()
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def _ask(self) -> None:
        """Get all answers."""
        try:
            into = self._into
            how = {"shape": into.shape, "fit": into.fit, "range": into.range and into.range.as_json()}
            self._say(how)
            for part in self._parts:
                self._say(part)
                self._put(self._heard())
        except Exception as error:  # whatever it is: the caller waits for an answer
            if not isinstance(error, (OSError, EOFError)):
                self._failed = error
                self._process.kill()
            with contextlib.suppress(EOFError):  # nobody waits any more
                self._put(None)

    def _say(self, value: Any) -> None:
        """Send a line of JSON."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")
        self._process.stdin.flush()

    def _heard(self) -> list[Result]:
        """Return the next answer.

        Raises:
            EOFError: The process ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        headers = json.loads(line)
        pixels = np.empty((sum(isinstance(header, list) for header in headers), *self._into.shape), dtype=np.uint8)
        if pixels.size and self._process.stdout.readinto(pixels.data.cast("B")) < pixels.nbytes:  # type: ignore[attr-defined]
            raise EOFError
        rows = iter(pixels)
        return [(Seen(*header), next(rows)) if isinstance(header, list) else _error(**header) for header in headers]

    def _put(self, answer: list[Result] | None) -> None:
        """Hand over an answer, as soon as there is room, or never if nobody waits any more."""
        while not self._is_left.is_set():
            with contextlib.suppress(queue.Full):
                self._answers.put(answer, timeout=_PAUSE)
                return
        raise EOFError


def _error(message: str, hint: str) -> DataError:
    """Return the error that a process has met."""
    return DataError(message, hint=hint)
