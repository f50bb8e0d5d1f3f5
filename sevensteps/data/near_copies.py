"""Keep near-copies together: on one side of every split, and known from a cache."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import numpy as np
from jaxtyping import Int64, UInt8

from ..base import files, memory
from ..base.user_folders import cache_folder
from ..errors import FileError
from .images import Images
from .near_pairs import BLOCK, SIDE, Pairs, digest_of, near_pairs, smaller
from .near_search import copies_among

VERSION = 3  # of what counts as a copy: raise it when that changes

WORTH_KEEPING = 200  # pictures: comparing this many takes a few hundredths of a second

# Pictures that are compared with one another before a split, all with all, as they always were: so a run that was saved
# before is split in the same way again. Among more, a run searches for none, and `prepare` searches by clusters.
MOST = 250_000

_BYTES_EACH = 2000  # memory that comparing takes for each picture in addition to its pixels


def known_pairs(images: Images) -> Pairs:
    """Return the near-copies among these pictures, from the cache if the same pictures were compared before.

    Args:
        images: The pictures; sets under `WORTH_KEEPING` pictures are compared each time.

    Returns:
        Pairs of places in `images`.
    """
    if len(images) < WORTH_KEEPING:
        return near_pairs(images.pixels)
    path = cache_folder() / "near" / f"{images.fingerprint[:24]}-{VERSION}.json"
    try:
        saved = json.loads(path.read_bytes())
        pairs = Pairs(
            np.array(saved["first"], dtype=np.int64),
            np.array(saved["second"], dtype=np.int64),
            np.array(saved["scores"], dtype=np.float64),
        )
        if pairs.first.shape == pairs.second.shape == pairs.scores.shape and (
            not len(pairs.first) or (pairs.first.min() >= 0 and pairs.second.max() < len(images))
        ):
            return pairs
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        pass
    pairs = near_pairs(images.pixels)
    with contextlib.suppress(FileError):  # without a cache, the next time takes a second longer
        files.make_folder(path.parent)
        columns = {"first": pairs.first, "second": pairs.second, "scores": pairs.scores}
        files.write(path, json.dumps({key: column.tolist() for key, column in columns.items()}))
    return pairs


def groups_of(pairs: Pairs, count: int) -> Int64[np.ndarray, " count"]:
    """Return the group number of each picture; pairs that share a picture form one group.

    Args:
        pairs: The pairs, as rows under `count`.
        count: The number of pictures.

    Returns:
        The lowest row of each picture's group, or -1 for a picture in no group.
    """
    above = list(range(count))  # for each row, another row of its group; the top row points to itself

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = row = above[above[row]]
        return row

    for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        lower, higher = sorted((top(first), top(second)))
        above[higher] = lower
    tops = np.array([top(row) for row in range(count)], dtype=np.int64)
    return np.where(np.bincount(tops, minlength=count)[tops] > 1, tops, -1)


def kept_together(images: Images) -> tuple[Images, int]:
    """Put near-copies into one group, merged with existing groups, so that they stay on one side of every split.

    Args:
        images: The pictures; among more than `MOST` no near-copies are searched for.

    Returns:
        The same pictures with their groups, and the number of pictures that are near-copies of another.
    """
    if len(images) > MOST:
        return images, 0
    pairs = known_pairs(images)
    if not len(pairs.first):
        return images, 0
    own = None if images.groups is None else images.groups[images.rows]
    places = int(images.rows.max()) + 1 if images.groups is None else len(images.groups)
    groups = np.full(places, -1, dtype=np.int64)
    groups[images.rows] = joined(pairs, own, len(images))
    return dataclasses.replace(images, groups=groups), copies_in(pairs)


def joined(pairs: Pairs, own: Int64[np.ndarray, " count"] | None, count: int) -> Int64[np.ndarray, " count"]:
    """Merge groups of near-copies with the groups that the pictures already have.

    Args:
        pairs: The near-copies, as rows.
        own: The existing group of each picture, -1 for none; None if there are no groups.
        count: The number of pictures.

    Returns:
        The merged group of each picture, -1 for none.
    """
    own = np.full(count, -1, dtype=np.int64) if own is None else own
    grouped = np.flatnonzero(own >= 0)
    _, heads, which = np.unique(own[grouped], return_index=True, return_inverse=True)
    first, second = np.concatenate([pairs.first, grouped]), np.concatenate([pairs.second, grouped[heads[which]]])
    return groups_of(Pairs(first, second, np.ones(len(first))), count)


def copies_in(pairs: Pairs) -> int:
    """Return the number of pictures that are a near-copy of another.

    Args:
        pairs: The near-copies.
    """
    return len(np.unique([pairs.first, pairs.second]))


def said_of(copies: int) -> str:
    """Return a sentence about what happens to near-copies.

    Args:
        copies: The number of pictures that are near-copies.
    """
    return f"{copies:,} pictures are exact or near copies of others: copies always stay on the same side of a split."


class Passing:
    """Pictures that arrive one at a time; each is kept at the size it is compared at: at most 1 KB, or 3 KB in color.

    Args:
        shape: Channels, height and width of the pictures.
        count: The number of pictures to come.
    """

    def __init__(self, shape: tuple[int, int, int], count: int) -> None:
        channels, height, width = shape
        small = channels, height // -(-height // SIDE), width // -(-width // SIDE)
        needed = 2 * count * int(np.prod(small)) + _BYTES_EACH * count
        self.is_in_reach = needed <= memory.available() // 2
        self._block = np.empty((BLOCK if self.is_in_reach else 0, *shape), dtype=np.uint8)
        self._small = np.empty((count if self.is_in_reach else 0, *small), dtype=np.uint8)
        self._digests: list[bytes] = []
        self._done = self._waiting = 0

    def add(self, pixels: UInt8[np.ndarray, "channels height width"]) -> None:
        """Add the next picture.

        Args:
            pixels: The picture, of the shape that was announced.
        """
        if self.is_in_reach:
            self._block[self._waiting] = pixels
            self._digests.append(digest_of(pixels))
            self._waiting += 1
            if self._waiting == len(self._block):
                self._put_away()

    def pairs(self) -> Pairs:
        """Return the near-copies among the pictures; none if there are more than fit in memory."""
        self._put_away()
        small = self._small[: self._done]
        if self._done > MOST:
            return copies_among(small, self._digests).pairs
        return near_pairs(small, self._digests)

    def _put_away(self) -> None:
        """Shrink the waiting pictures and keep them."""
        small = smaller(self._block[: self._waiting])
        self._small[self._done : self._done + len(small)] = small
        self._done += len(small)
        self._waiting = 0
