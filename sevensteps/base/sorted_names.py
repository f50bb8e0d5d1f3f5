"""Sort any number of names in little memory: sorted parts go to a file, and are merged."""

from __future__ import annotations

import heapq
import io
import os
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import BinaryIO

from .files import scratch

AT_ONCE = 50_000  # names in memory: 5 MB


def sorted_names(names: Iterable[str], at_once: int = AT_ONCE) -> Iterator[str]:
    """Yield names in order, of which at most so many are in memory; all of them if no temporary file can be written.

    Args:
        names: Names of files, in any order.
        at_once: The number of names in memory.
    """
    waiting = iter(names)
    part = sorted(islice(waiting, at_once))
    if len(part) < at_once:
        yield from part
        return
    try:
        file = scratch()
    except OSError:
        yield from sorted([*part, *waiting])
        return
    with file:
        starts = [0]
        while part:
            for name in part:
                file.write(os.fsencode(name) + b"\0")
            starts.append(file.tell())
            part = sorted(islice(waiting, at_once))
        parts = [_read(file, start, end) for start, end in pairwise(starts)]
        yield from heapq.merge(*parts)


def _read(file: BinaryIO, start: int, end: int) -> Iterator[str]:
    """Yield the names between two places of a file, a few at a time."""
    rest = b""
    while start < end:
        file.seek(start)
        content = file.read(min(io.DEFAULT_BUFFER_SIZE, end - start))
        start += len(content)
        *whole, rest = (rest + content).split(b"\0")
        yield from map(os.fsdecode, whole)
