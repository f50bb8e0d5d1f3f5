"""Blocks: the pictures of a store as batches, read from the disk as they are needed, one window ahead in a thread.

A shuffled epoch takes the blocks in random order. The blocks of a window of 4 MiB are read together, and the rows of
the window are shuffled. The thread does both. Three windows are in memory: one that is used, the next one, and its rows
as they were read. The order is a pure function of (seed, epoch), and an epoch can start at any batch without reading
what comes before. `prepare` has already put the whole set into random order, so that each block is a fair sample of all
pictures.

Every block is compared with its checksum the first time that a process reads it, in the reading thread. That thread
needs Python's lock, which the training thread holds, only once for each call that reads.
"""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8, UInt32

from ...base import growing_file
from ...base.seeds import ORDER, seed_of
from ...errors import DataError

WINDOW = 4 << 20  # bytes; three windows are in memory

Shuffled = tuple[int, int]  # the (seed, epoch) of an order; None stands for the order in the file


@dataclass(frozen=True, eq=False)
class Blocks:
    """Pictures in a file, one after the other.

    Args:
        path: The file.
        offset: Where the first pixel is, in bytes.
        shape: Channels, height and width of the pictures.
        labels: The label of each picture.
        rows: The pictures in a block; the last block may have fewer.
        checksums: The CRC-32 of each block.
        window: The bytes that are read together.
        checked: The blocks whose checksum was compared in this process.
    """

    path: Path
    offset: int
    shape: tuple[int, int, int]
    labels: Int64[np.ndarray, " n"]
    rows: int
    checksums: UInt32[np.ndarray, " blocks"]
    window: int = WINDOW
    checked: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def where(self) -> str:
        """What to call the file in messages."""
        return str(self.path)

    @property
    def size(self) -> int:
        """The size of a picture, in bytes."""
        return math.prod(self.shape)

    def order(self, shuffled: Shuffled | None) -> Int64[np.ndarray, " n"]:
        """Return the rows in the order in which `batches` yields them.

        Args:
            shuffled: The (seed, epoch) of a random order; None for the order in the file.

        Returns:
            The rows.
        """
        if not len(self):
            return np.empty(0, dtype=np.int64)
        ordered = []
        for window, blocks in enumerate(self._windows(shuffled)):
            rows = np.concatenate([np.arange(*self._range(block)) for block in blocks.tolist()])
            ordered.append(rows if shuffled is None else rows[_mixed(shuffled, window, len(rows))])
        return np.concatenate(ordered)

    def batches(
        self, size: int, start: int = 0, shuffled: Shuffled | None = None
    ) -> Iterator[tuple[UInt8[np.ndarray, "batch channels height width"], Int64[np.ndarray, " batch"]]]:
        """Yield batches of pictures and labels.

        Args:
            size: Pictures in a batch; the last batch may be smaller.
            start: The first batch to yield, from 0.
            shuffled: The (seed, epoch) of a random order; None for the order in the file.

        Yields:
            Pixels, which the next batch overwrites, and labels.

        Raises:
            DataError: A block is damaged, or the file has become shorter.
        """
        windows = self._windows(shuffled)
        counts = [sum(stop - first for first, stop in map(self._range, blocks.tolist())) for blocks in windows]
        begins = np.cumsum([0, *counts])
        position = start * size
        if position >= len(self):
            return
        window = int(np.searchsorted(begins, position, side="right")) - 1
        values = self.size
        between = np.empty((min(size, len(self)), values), dtype=np.uint8)  # for batches that lie in several windows
        as_read = _memory(max(counts), values) if shuffled else None
        pixels = [_memory(max(counts), values) for _ in range(min(2, len(windows)))]
        # Both are closed with the generator, also by an interrupt: the current read is awaited, and no other begins.
        with self.opened() as file, ThreadPoolExecutor(1, "sevensteps-blocks") as thread:

            def read_ahead(window: int) -> Future[Int64[np.ndarray, " rows"]]:
                order = _mixed(shuffled, window, counts[window]) if shuffled else None
                return thread.submit(self._read, file, windows[window], pixels[window % 2], as_read, order)

            read = read_ahead(window)
            filled, targets = 0, np.empty(len(between), dtype=np.int64)
            while True:
                labels, of_window = read.result(), pixels[window % 2]
                if window + 1 < len(windows):
                    read = read_ahead(window + 1)
                at = position - int(begins[window])
                while at < len(labels):
                    stop = min(at + len(between) - filled, len(labels))
                    rows, some, position = of_window[at:stop], labels[at:stop], position + stop - at
                    at = stop
                    if filled or (len(some) < len(between) and position < len(self)):
                        part = slice(filled, filled + len(some))
                        between[part], targets[part] = rows, some
                        rows, some, filled = between[: part.stop], targets[: part.stop], part.stop
                    if len(rows) == len(between) or position == len(self):
                        yield rows.reshape(len(rows), *self.shape), some
                        filled, targets = 0, np.empty(len(between), dtype=np.int64)
                window += 1
                if window == len(windows):
                    return

    def damaged(self, file: io.FileIO) -> Iterator[tuple[int, bool]]:
        """Check each block against its checksum.

        Args:
            file: The open file.

        Yields:
            For each block, in the order of the file, its size in bytes and whether it is damaged.
        """
        size = self.size
        buffer = np.empty(self.rows * size, dtype=np.uint8)
        for block, checksum in enumerate(self.checksums.tolist()):
            first, stop = self._range(block)
            part = buffer[: (stop - first) * size]
            yield (
                len(part),
                not growing_file.read_at(file, self.offset + first * size, part) or zlib.crc32(part.data) != checksum,
            )

    def _windows(self, shuffled: Shuffled | None) -> list[Int64[np.ndarray, " blocks"]]:
        """Return the blocks of each window."""
        count = len(self.checksums)
        order = np.arange(count) if shuffled is None else _random(*shuffled).permutation(count)
        at_once = max(1, self.window // (self.rows * self.size))
        return [order[first : first + at_once] for first in range(0, count, at_once)]

    def _range(self, block: int) -> tuple[int, int]:
        """Return the first row of a block, and the row after its last."""
        return block * self.rows, min((block + 1) * self.rows, len(self))

    def opened(self) -> contextlib.AbstractContextManager[Any]:
        """Open the file, as `fill` needs it."""
        return self.path.open("rb", buffering=0)

    def fill(self, file: Any, blocks: Sequence[int], parts: Sequence[UInt8[np.ndarray, " _"]]) -> None:
        """Fill memory with the pixels of blocks.

        Args:
            file: What `opened` gave.
            blocks: The blocks.
            parts: The memory for each.

        Raises:
            DataError: A block is damaged or missing.
        """
        for block, part in zip(blocks, parts, strict=True):
            first, stop = self._range(block)
            whole = growing_file.read_at(file, self.offset + first * self.size, part)
            if not whole or (block not in self.checked and zlib.crc32(part.data) != self.checksums[block]):
                raise DataError(
                    f"{self.path}: pictures {first:,} to {stop - 1:,} of a split are damaged"
                    f"{'' if whole else ': the file has become shorter'}.",
                    hint=f"Copy the file or prepare it again. To see all damage: sevensteps verify {self.path}",
                )
            self.checked.add(block)

    def _read(
        self,
        file: Any,
        blocks: Int64[np.ndarray, " blocks"],
        pixels: UInt8[np.ndarray, "most values"],
        as_read: UInt8[np.ndarray, "most values"] | None,
        order: Int64[np.ndarray, " rows"] | None,
    ) -> Int64[np.ndarray, " rows"]:
        """Fill a window's memory and return its labels; with an order, both are in that order.

        Raises:
            DataError: A block is damaged or missing.
        """
        filled, parts, labels = 0, [], []
        into = pixels if as_read is None else as_read
        for block in blocks.tolist():
            first, stop = self._range(block)
            if file:  # told of all, the system reads them together
                growing_file.will_need(file, self.offset + first * self.size, (stop - first) * self.size)
            parts.append(into[filled : filled + stop - first].reshape(-1))
            labels.append(self.labels[first:stop])
            filled += stop - first
        self.fill(file, blocks.tolist(), parts)
        joined = np.concatenate(labels)
        if order is not None:
            np.take(into, order, axis=0, out=pixels[:filled], mode="clip")  # "raise" would copy
            joined = joined[order]
        return joined


def _memory(rows: int, values: int) -> UInt8[np.ndarray, "rows values"]:
    """Return memory for a window that is returned to the system afterward; Python's allocator would keep it."""
    flags = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
    return np.frombuffer(mmap.mmap(-1, rows * values, **flags), dtype=np.uint8).reshape(rows, values)


def _random(*parts: int) -> np.random.Generator:
    """Return a generator that depends on these numbers alone."""
    return np.random.Generator(np.random.PCG64(seed_of(*parts, ORDER)))


def _mixed(shuffled: Shuffled, window: int, count: int) -> Int64[np.ndarray, " count"]:
    """Return the rows of a window in their random order."""
    return _random(*shuffled, window).permutation(count)
