"""Show pictures in a notebook: how many each class and split has, and the first few of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..base.words import counted
from ..records.audit import Corrected
from ..show import notebook
from ..show.pixels import colors_of, data_uri
from ..show.report.html import Html, tag

CLASSES = 12  # how many are shown: a thousand would fill the page

PICTURES = 8  # how many of each class are shown


@runtime_checkable
class Pictures(Protocol):
    """What is shown of a set of pictures; `Images` has it."""

    def __len__(self) -> int: ...

    @property
    def origin(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def pixels(self) -> Any: ...
    @property
    def labels(self) -> Any: ...
    @property
    def ids(self) -> Sequence[str]: ...


def images_html(images: Pictures) -> str:
    """Return a set of pictures as a notebook shows it.

    Args:
        images: The pictures.

    Returns:
        A title and a table: a row for each class with its count and its first pictures.
    """
    title = f"{counted(len(images), 'picture')} of {size_of(images)}"
    return notebook.framed(tag("p", title), *_table({images.origin: images}))


def splits_html(
    source: str, splits: Mapping[str, Pictures], corrected: Corrected | None, bad_files: Sequence[Any]
) -> str:
    """Return the splits of a source as a notebook shows them.

    Args:
        source: The name of the source.
        splits: The pictures of each split, those to train on first.
        corrected: The corrections that were applied.
        bad_files: The files that were left out.

    Returns:
        A title and a table: a row for each class with its count in each split and its first training pictures.
    """
    title = f"{source or 'pictures'}: {in_words(splits)} pictures of {size_of(next(iter(splits.values())))}"
    notes = []
    if corrected is not None:
        notes.append(tag("p", f"Corrections: {corrected.in_words}."))
    if bad_files:
        notes.append(tag("p", f"Left out: {counted(len(bad_files), 'file')} that cannot be used."))
    return notebook.framed(tag("p", title), *_table(splits), *notes)


def in_words(splits: Mapping[str, Pictures]) -> str:
    """Return how many pictures each split has: "12,000 train, 2,000 test".

    Args:
        splits: The pictures of each split.
    """
    return ", ".join(f"{len(images):,} {name}" for name, images in splits.items())


def size_of(images: Pictures) -> str:
    """Return the size of the pictures: "28x28, gray".

    Args:
        images: The pictures.
    """
    channels, height, width = images.shape
    return f"{width}x{height}, " + {1: "gray", 3: "color"}.get(channels, f"{channels} channels")


def _table(splits: Mapping[str, Pictures]) -> list[Html]:
    """Return a row for each of the first classes, and a line about the others."""
    first = next(iter(splits.values()))
    counts = [images.counts for images in splits.values()]
    rows = [
        [name, *(f"{count[name]:,}" for count in counts), _strip(first, label)]
        for label, name in enumerate(first.classes[:CLASSES])
    ]
    others = len(first.classes) - CLASSES
    more = [tag("p", f"… and {counted(others, 'more class', 'more classes')}")] if others > 0 else []
    return [notebook.grid(["class", *splits, "the first of them"], rows), *more]


def _strip(images: Pictures, label: int) -> Sequence[Html]:
    """Return the first pictures of a class side by side."""
    return [
        tag(
            "img",
            src=data_uri(colors_of(images.pixels[row])),
            alt=images.classes[label],
            title=images.ids[row],
            style="display:inline;height:3em;margin:0 .1em;image-rendering:pixelated",
        )
        for row in np.flatnonzero(images.labels == label)[:PICTURES].tolist()
    ]
