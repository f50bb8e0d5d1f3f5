"""Streams: the pictures of a source as they come, so many at a time, with all labels known before; for sets that are
never in memory as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer, UInt8

from ..errors import DataError
from ..words import counted
from .decode import Fit
from .images import Images, Splits

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


def of_idx(path: Path) -> Streams:
    """The streams of IDX files; only their labels are read here.

    Raises:
        DataError: files that are missing, damaged or do not belong together.
    """
    from . import idx

    pictures = idx.find_pictures(path)
    streams, shapes, used = {}, set(), []
    for split, file in pictures.items():
        beside = idx.labels_beside(file)
        count, height, width = idx.read_picture_shape(file)
        labels = idx.read_labels(beside)
        if len(labels) != count:
            raise DataError(
                f"{file}: {counted(count, 'picture')} but {counted(len(labels), 'label')}.",
                hint="Check that the two files belong together.",
            )
        shapes.add((1, height, width))
        streams[split] = Stream(labels, _chunks_in(file))
        for one in (file, beside):
            status = os.stat(one)
            used.append((str(one.absolute()), status.st_size, status.st_mtime_ns))
    if len(shapes) > 1:
        raise DataError(
            f"{path}: the pictures of its splits have different sizes.", hint="All splits need the same picture size."
        )
    classes = idx.class_names([stream.labels for stream in streams.values()])
    counts = [
        dict(zip(classes, np.bincount(stream.labels, minlength=len(classes)).tolist(), strict=True))
        for stream in streams.values()
    ]
    return Streams(streams, classes, idx.without_gaps(classes, counts), shapes.pop(), path.name, tuple(used))


def _chunks_in(file: Path) -> Callable[[int, int], Iterator[Chunk]]:
    from .idx import read_chunks

    return lambda at_once, start: read_chunks(file, at_once, start)
