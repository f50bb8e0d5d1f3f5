"""Facts about the training pictures that are known before decoding; a recipe is chosen by them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ...base.addresses import is_address
from ...errors import DataError
from ..decode import Seen, Shape, look
from ..files.catalog import Catalog, File, is_picture
from ..files.common_shape import common_shape
from ..files.how import How
from .find import find_catalog, names_in
from .named import named

HEADERS = 32  # the most that are read; all pictures are assumed to be like the first ones


@dataclass(frozen=True)
class Facts:
    """The number, the classes and the shape (channels, height, width) of the training pictures."""

    count: int
    fewest: int  # pictures of the smallest class
    classes: tuple[str, ...]
    shape: Shape

    @property
    def inputs(self) -> int:
        """How many numbers a picture consists of."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def side(self) -> int:
        """The shorter side, in pixels."""
        return min(self.shape[1:])


def facts_of(source: str | Path, classes: Sequence[str], how: How) -> Facts | None:
    """Return the facts about picture files or arrays; None for other sources.

    Args:
        source: A name or a path, as for `load`.
        classes: Only these classes; empty: all.
        how: How to read picture files.

    Raises:
        UsageError, DataError: The source or a setting is invalid.
    """
    from .arrays import holds_arrays, look_at

    if not source or named(source) or is_address(source):
        return None
    if (catalog := find_catalog(source, how, classes := names_in(classes))) is not None:
        return _of_catalog(catalog, classes, how.size)
    if not holds_arrays(Path(source)) or not Path(source).exists():  # `load` reports that
        return None
    counts, shape = look_at(Path(source))
    names = tuple(classes) or tuple(counts)
    counted = [counts.get(name, 0) for name in names]
    return Facts(sum(counted), min(counted, default=0), names, shape)


def _of_catalog(catalog: Catalog, classes: Sequence[str], size: int) -> Facts:
    """Return the facts about picture files."""
    files = [file for file in catalog.splits["train"] if is_picture(file.path) or catalog.base]
    files = [file for file in files if not classes or file.name in classes]
    counts = Counter(file.name for file in files)
    fewest = min((counts[name] for name in classes or counts), default=0)  # a folder of other files is not a class
    return Facts(len(files), fewest, tuple(classes or catalog.classes), common_shape(_headers(catalog, files), size))


def _headers(catalog: Catalog, files: Sequence[File]) -> Iterator[Seen]:
    """Give the headers of the first files; `load_files` reports the bad ones."""
    for content in islice(catalog.contents(files), HEADERS):
        with contextlib.suppress(DataError):
            yield look(content())
