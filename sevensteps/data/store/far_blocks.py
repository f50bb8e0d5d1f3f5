"""Far blocks: the blocks of a store at an address, and its pixels as an array that fetches what is touched.

A block is a page: it is looked for in the page cache, otherwise fetched by its byte range, and compared with its
checksum wherever it comes from.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from jaxtyping import Int64, Shaped, UInt8

from ...base import memory
from ...errors import DataError
from .blocks import Blocks
from .link import Link
from .page_cache import PageCache

TOGETHER = 4  # pages that are asked for together and in memory at once, as in a window


@dataclass(frozen=True, eq=False)
class FarBlocks(Blocks):
    """Pictures in a file at an address.

    Args:
        link: The file.
        cache: Where its pages are kept.
        split: The name of the split.
    """

    link: Link = field(kw_only=True)
    cache: PageCache = field(kw_only=True)
    split: str = field(kw_only=True)
    recent: dict[int, bytes] = field(kw_only=True, default_factory=dict)  # the last pages for single pictures

    @property
    def where(self) -> str:
        """The address."""
        return self.link.address

    def opened(self) -> contextlib.AbstractContextManager[Any]:
        """Open nothing: each request stands for itself."""
        return contextlib.nullcontext()

    def fill(self, file: Any, blocks: Sequence[int], parts: Sequence[UInt8[np.ndarray, " _"]]) -> None:
        """Fill memory with the pixels of blocks.

        Args:
            file: What `opened` gave.
            blocks: The blocks.
            parts: The memory for each.

        Raises:
            DataError, DownloadError: A page is damaged or cannot be read.
        """
        missing = []
        for block, part in zip(blocks, parts, strict=True):
            page = self._kept(block)
            if page is None:
                missing.append((block, part))
            else:
                part[:] = np.frombuffer(page, np.uint8)
        for first in range(0, len(missing), TOGETHER):
            some = missing[first : first + TOGETHER]
            for (_, part), page in zip(some, self.fetched([block for block, _ in some]), strict=True):
                part[:] = np.frombuffer(page, np.uint8)

    def page(self, block: int) -> bytes:
        """Return the pixels of one block; the last few stay in memory.

        Args:
            block: The block.

        Raises:
            DataError, DownloadError: It is damaged or cannot be read.
        """
        page = self.recent.pop(block, None) or self._kept(block) or self.fetched([block])[0]
        self.recent[block] = page
        while len(self.recent) > TOGETHER:
            self.recent.pop(next(iter(self.recent)), None)
        return page

    def _kept(self, block: int) -> bytes | None:
        """Return a page from the cache; None if it is not there, or damaged."""
        start, end = self._bytes(block)
        page = self.cache.get(self._name(block), end - start)
        if page is not None and zlib.crc32(page) != self.checksums[block]:
            self.cache.drop(self._name(block))
            return None
        return page

    def fetched(self, blocks: Sequence[int], *, keep: bool = True) -> list[bytes]:
        """Fetch pages together and check them, whether they are in the cache or not.

        Args:
            blocks: The blocks.
            keep: Whether they go into the cache.

        Raises:
            DataError, DownloadError: One is damaged or cannot be read.
        """
        pages = self.link.ranges(
            [self._bytes(block) for block in blocks],
            [f"page {block:,} of {self.split}" for block in blocks],
            lambda place, page: zlib.crc32(page) == self.checksums[blocks[place]],
        )
        for block, page in zip(blocks, pages, strict=True) if keep else ():
            self.cache.put(self._name(block), page)
        return pages

    def _bytes(self, block: int) -> tuple[int, int]:
        """Return the byte range of a block in the file."""
        first, stop = self._range(block)
        return self.offset + first * self.size, self.offset + stop * self.size

    def _name(self, block: int) -> str:
        """Return the name of a page in the cache."""
        return f"{self.split}-{block}"


class FarPixels:
    """The pixels of a far split, or of neighboring pictures in it: an index returns an array with a copy of them.

    It passes for an array in type checks, since it takes the place of one in `Images`. NumPy copies all of it where a
    function needs a real array, if that fits into memory.

    Args:
        blocks: The blocks.
        first: The first picture.
        count: The number of pictures.
    """

    __class__ = property(lambda self: np.ndarray)

    dtype, ndim, itemsize = np.dtype(np.uint8), 4, 1

    def __init__(self, blocks: FarBlocks, first: int, count: int) -> None:
        self._blocks, self._first = blocks, first
        self.shape = (count, *blocks.shape)
        self.size = self.nbytes = count * blocks.size

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "channels height width"]]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            rows, *others = key
            return self[rows][(slice(None), *others) if not hasattr(rows, "__index__") else tuple(others)]
        if isinstance(key, slice):
            return self._copy(np.arange(*key.indices(len(self))))
        if hasattr(key, "__index__") and np.ndim(key) == 0:
            return self._copy(np.array([int(key)]))[0]
        places = np.asarray(key)
        return self._copy(np.flatnonzero(places) if places.dtype == bool else places.astype(np.int64))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array: np.ndarray = self[:].astype(dtype or np.uint8, copy=False)
        return array

    def part(self, first: int, stop: int) -> np.ndarray:
        """Return neighboring pictures without fetching them.

        Args:
            first: The first.
            stop: The one after the last.
        """
        return as_array(FarPixels(self._blocks, self._first + first, stop - first))

    def _copy(self, places: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n channels height width"]:
        """Return a copy of some pictures, page by page.

        Raises:
            DataError: It would not fit into memory.
            IndexError: There is no such picture.
        """
        places = np.where(places < 0, places + len(self), places)
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) < len(self):
            raise IndexError(f"There is no such picture: there are {len(self):,}, counted from 0.")
        if len(places) * self._blocks.size > memory.available() // 2:
            raise DataError(
                f"{len(places):,} pictures of {self._blocks.where} do not fit into memory.",
                hint="Choose classes and held-out pictures when you make the store: sevensteps prepare --help",
            )
        pixels = np.empty((len(places), *self.shape[1:]), dtype=np.uint8)
        rows = places + self._first
        blocks = rows // self._blocks.rows
        order = np.argsort(blocks, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1) if len(order) else ():
            block = int(blocks[some[0]])
            page = np.frombuffer(self._blocks.page(block), np.uint8).reshape(-1, *self.shape[1:])
            pixels[some] = page[rows[some] - block * self._blocks.rows]
        return pixels


def as_array(pixels: FarPixels) -> Shaped[np.ndarray, "n channels height width"]:
    """Return far pixels under the type that they pass for.

    Args:
        pixels: Pixels of a far split.
    """
    return cast(np.ndarray, pixels)


def far_pixels(pixels: Any) -> FarPixels | None:
    """Return the pixels if they are far; None if they are an array.

    Args:
        pixels: The pixels of any pictures.
    """
    return pixels if type(pixels) is FarPixels else None
