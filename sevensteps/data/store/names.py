"""Names: the names of many pictures in one block of bytes, each decoded on demand.

The block begins with one offset more than there are names, as little-endian 64-bit integers. Then come the names in
UTF-8, one after the other: the name in row i goes from offset i to offset i + 1. So a name may contain any text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from jaxtyping import UInt8


def encoded(names: Sequence[str]) -> bytes:
    """Return the block of some names.

    Args:
        names: The names.

    Returns:
        The block.

    >>> list(Names(np.frombuffer(encoded(["cat/1.png", "a\\nb"]), np.uint8), 2))
    ['cat/1.png', 'a\\nb']
    """
    texts = [name.encode("utf-8", "backslashreplace") for name in names]
    offsets = np.cumsum([0, *map(len, texts)], dtype="<i8")
    return offsets.tobytes() + b"".join(texts)


def offsets_size(count: int) -> int:
    """Return the number of bytes before the text of this many names.

    Args:
        count: The number of names.
    """
    return 8 * (count + 1)


class Names(Sequence[str]):
    """The names in a block, which may be part of a memory-mapped file.

    Args:
        block: The block.
        count: The number of names.
    """

    def __init__(self, block: UInt8[np.ndarray, " bytes"], count: int) -> None:
        self._offsets = block[: offsets_size(count)].view("<i8")
        self._text = block[offsets_size(count) :]

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        begin, end = self._offsets[row : row + 2].tolist()
        return self._text[begin:end].tobytes().decode("utf-8", "backslashreplace")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))
