"""Facts of the pictures to train on that are known before they are decoded: what a recipe is chosen by."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ...errors import DataError
from ..decode import Seen, Shape, look
from ..files.catalog import Catalog, File, is_picture
from ..files.common_shape import common_shape
from ..files.how import How
from .load import SOURCES, find_catalog

HEADERS = 32  # that are read at most: all pictures are taken to be like the first


@dataclass(frozen=True)
class Facts:
    """How many pictures to train on, of how many classes, of what size; `shape` is channels, height, width."""

    count: int
    fewest: int  # of the class with the fewest
    classes: tuple[str, ...]
    shape: Shape

    @property
    def inputs(self) -> int:
        """The numbers that a picture is."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def side(self) -> int:
        """The shorter side, in pixels."""
        return min(self.shape[1:])


def facts_of(source: str | Path, classes: Sequence[str], how: How) -> Facts | None:
    """The facts of picture files or arrays; None of other sources.

    Raises:
        UsageError, DataError: settings or pictures that are no source.
    """
    from .arrays import holds_arrays, look_at

    if not source or str(source) in SOURCES:
        return None
    if (catalog := find_catalog(source, how)) is not None:
        return _of_catalog(catalog, classes, how.size)
    if not holds_arrays(Path(source)) or not Path(source).exists():  # which is for `load` to say
        return None
    counts, shape = look_at(Path(source))
    names = tuple(classes) or tuple(counts)
    counted = [counts.get(name, 0) for name in names]
    return Facts(sum(counted), min(counted, default=0), names, shape)


def _of_catalog(catalog: Catalog, classes: Sequence[str], size: int) -> Facts:
    files = [file for file in catalog.splits["train"] if is_picture(file.path) or catalog.base]
    files = [file for file in files if not classes or file.name in classes]
    counts = Counter(file.name for file in files)
    fewest = min((counts[name] for name in classes or counts), default=0)  # a folder of other files is no class
    return Facts(len(files), fewest, tuple(classes or catalog.classes), common_shape(_headers(catalog, files), size))


def _headers(catalog: Catalog, files: Sequence[File]) -> Iterator[Seen]:
    """Give what the headers of the first files say; which of them are bad is for `load_files` to report."""
    for content in islice(catalog.contents(files), HEADERS):
        with contextlib.suppress(DataError):
            yield look(content())
