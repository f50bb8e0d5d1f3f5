"""Streams: the pictures of a source as they come, so many at a time, with all labels known before; for sets that are
never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer, UInt8

from ..decode import Fit
from ..images import Images, Splits

Chunk = UInt8[np.ndarray, "chunk channels height width"]


@dataclass(frozen=True, eq=False)
class Stream:
    """The pictures of a split of a source: `chunks(at_once, start)` gives them from number `start` on."""

    labels: Integer[np.ndarray, " n"]
    chunks: Callable[[int, int], Iterator[Chunk]]
    groups: Int64[np.ndarray, " n"] | None = None  # as of `Images`
    names: Sequence[str] = ()  # of each picture, where they have some


@dataclass(frozen=True, eq=False)
class Streams:
    """The splits of a source that goes by."""

    splits: Mapping[str, Stream]
    classes: tuple[str, ...]  # that the labels are places in
    present: tuple[str, ...]  # those that are used unless others are chosen
    shape: tuple[int, int, int]
    source: str
    files: tuple[Any, ...]  # what tells the source's files from changed ones
    fit: Fit | None = None  # as of `Images`

    @property
    def size(self) -> int:
        """Bytes of all pixels."""
        return sum(len(stream.labels) for stream in self.splits.values()) * int(np.prod(self.shape))


def of_splits(splits: Splits) -> Streams:
    """The streams of a set that is in memory, or mapped into it."""
    named = {name: images for name in ("train", "test", "valid") if (images := getattr(splits, name)) is not None}
    streams = {
        name: Stream(images.labels, _chunks_of(images), _groups_of(images), images.ids if images.names else ())
        for name, images in named.items()
    }
    return Streams(streams, splits.classes, splits.classes, splits.train.shape, splits.source, ())


def _groups_of(images: Images) -> Int64[np.ndarray, " n"] | None:
    return None if images.groups is None else images.groups[images.rows]


def _chunks_of(images: Images) -> Callable[[int, int], Iterator[Chunk]]:
    def chunks(at_once: int, start: int) -> Iterator[Chunk]:
        for first in range(start, len(images), at_once):
            yield images.pixels[first : first + at_once]

    return chunks
