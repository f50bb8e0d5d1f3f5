"""Pixels of several arrays as one, without a copy: those of all splits of a source, which may be larger than memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8


@dataclass(frozen=True, eq=False)
class Joined:
    """Pictures of several arrays of one shape, one array after the other; an index copies only what it asks for.

    Args:
        parts: The arrays, `(n, channels, height, width)` each.
        rows: The pictures chosen, counted over all arrays; None for all.
    """

    parts: Sequence[UInt8[np.ndarray, "_ channels height width"]]
    rows: Int64[np.ndarray, " n"] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.parts)) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The number of pictures, channels, height and width."""
        channels, height, width = self.parts[0].shape[1:]
        return len(self), channels, height, width

    def take(self, rows: Int64[np.ndarray, " m"]) -> Joined:
        """Choose pictures, without copying them.

        Args:
            rows: Their places among these pictures.

        Returns:
            The pictures chosen.
        """
        return Joined(self.parts, rows if self.rows is None else self.rows[rows])

    def __getitem__(self, key: slice | Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m channels height width"]:
        if self.rows is None and len(self.parts) == 1:
            return np.asarray(self.parts[0][key])
        places = np.arange(*key.indices(len(self))) if isinstance(key, slice) else key
        rows = places if self.rows is None else self.rows[places]
        if len(self.parts) == 1:
            return np.asarray(self.parts[0][rows])
        pixels = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        begin = 0
        for part in self.parts:
            is_here = (rows >= begin) & (rows < begin + len(part))
            pixels[is_here] = part[rows[is_here] - begin]
            begin += len(part)
        return pixels
