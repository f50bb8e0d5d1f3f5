"""Streams: the pictures of a source in chunks, with all labels known in advance, for sets larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer, UInt8

from ..decode import Fit
from ..images import Images, Splits
from ..value_range import Range

Chunk = UInt8[np.ndarray, "chunk channels height width"]


@dataclass(frozen=True, eq=False)
class Stream:
    """The pictures of one split of a source.

    Args:
        labels: The label of each picture.
        chunks: `chunks(at_once, start)` yields `at_once` pictures at a time, from number `start` on.
        groups: The group of each picture, -1 for none, as in `Images`; None if there are no groups.
        names: The name of each picture, if they have names.
    """

    labels: Integer[np.ndarray, " n"]
    chunks: Callable[[int, int], Iterator[Chunk]]
    groups: Int64[np.ndarray, " n"] | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Streams:
    """The splits of a source that is read in chunks.

    Args:
        splits: The splits by name.
        classes: All classes; labels are indices into them.
        present: The classes that are used unless others are chosen.
        shape: Channels, height and width of the pictures.
        source: The name of the source.
        files: What changes if the files of the source change.
        fit: How the pictures were brought to this size, as in `Images`.
        range: The values that became black and white, as in `Images`.
    """

    splits: Mapping[str, Stream]
    classes: tuple[str, ...]
    present: tuple[str, ...]
    shape: tuple[int, int, int]
    source: str
    files: tuple[Any, ...]
    fit: Fit | None = None
    range: Range | None = None

    @property
    def size(self) -> int:
        """The size of all pixels, in bytes."""
        return sum(len(stream.labels) for stream in self.splits.values()) * int(np.prod(self.shape))


def of_splits(splits: Splits) -> Streams:
    """Return the streams of pictures that are in memory, or mapped into it.

    Args:
        splits: The pictures.

    Returns:
        One stream for each split.
    """
    named = {name: images for name in ("train", "test", "valid") if (images := getattr(splits, name)) is not None}
    streams = {
        name: Stream(images.labels, _chunks_of(images), _groups_of(images), images.ids if images.names else ())
        for name, images in named.items()
    }
    return Streams(
        streams, splits.classes, splits.classes, splits.train.shape, splits.source, (), None, splits.train.range
    )


def _groups_of(images: Images) -> Int64[np.ndarray, " n"] | None:
    """Return the group of each picture."""
    return None if images.groups is None else images.groups[images.rows]


def _chunks_of(images: Images) -> Callable[[int, int], Iterator[Chunk]]:
    """Return a function that yields the pictures in chunks."""

    def chunks(at_once: int, start: int) -> Iterator[Chunk]:
        for first in range(start, len(images), at_once):
            yield images.pixels[first : first + at_once]

    return chunks
