"""Find the range of values over all pictures of a source, before any is decoded: see `value_range`.

Only files that can have more than 8 bits are opened for it, and only deep ones are read twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from ..decode import Seen, extremes, largest_value
from ..range_ends import BY_TYPE
from ..value_range import MASK, Extremes, Range, union
from .catalog import Catalog
from .decoded_cache import Kept
from .in_parallel import each

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


_OF_8_BITS = (*_JPEG, ".gif", ".bmp", ".dib", ".webp")


def find_values(
    catalog: Catalog, kept: Kept | None, rows: Int64[np.ndarray, " files"], seen: Mapping[str, Seen]
) -> Range | None:
    """Return the smallest and the largest value in the deep pictures of all splits, and their depths.

    Pictures of 8 bits that hold only 0 and 1 count too, if there are no others. None: all pictures have 8 bits.

    Args:
        catalog: The source.
        kept: Its pictures in the cache.
        rows: For each file of the catalog its row in the cache, -1 for those to decode.
        seen: Headers that were read already, by path.
    """
    if kept is not None and kept.asked == BY_TYPE:  # by a version that did not look for a range
        kept, rows = None, np.full(len(rows), -1, dtype=np.int64)
    is_whole = kept is not None and np.unique(rows[rows >= 0]).size == len(kept.paths)
    if kept is not None and is_whole and (rows >= 0).all():
        return kept.values
    depths = kept.depths_of(rows) if kept is not None else [None] * len(rows)
    read: list[Extremes] = []
    first = 0
    for of_split in catalog.splits.values():
        unread = []
        for number, file in enumerate(of_split, first):
            depth = depths[number] or (seen[file.path].depth if file.path in seen else None)
            is_known = is_whole and rows[number] >= 0
            if depth != "bytes" and not is_known and not file.path.lower().endswith(_OF_8_BITS):
                unread.append(file)
        first += len(of_split)
        read += [values for values in each(extremes, unread, catalog) if isinstance(values, Extremes)]
    if is_whole and kept is not None and kept.values is not None and kept.values != MASK:
        read += [Extremes(depth, kept.values.low, kept.values.high) for depth in kept.values.depths]
    return union(read) or (MASK if _are_masks(catalog, kept, rows, seen) else None)


def _are_masks(
    catalog: Catalog, kept: Kept | None, rows: Int64[np.ndarray, " files"], seen: Mapping[str, Seen]
) -> bool:
    """Return whether all pictures are gray, of 8 bits, and hold only 0 and 1; the first other one ends the search."""
    if kept is not None and kept.values is None and (rows >= 0).any():
        return False
    if any(not header.is_grey for header in seen.values()):
        return False
    largest = 0
    for of_split in catalog.splits.values():
        if any(file.path.lower().endswith(_JPEG) for file in of_split):
            return False
        for value in each(largest_value, of_split, catalog):
            largest = max(largest, value if isinstance(value, int) else 0)
            if largest > 1:
                return False
    return largest == 1
