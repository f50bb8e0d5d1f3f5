"""Store: open and check prepared pictures in one flat file, for sets larger than memory.

`layout` describes the file. Damage is found as follows. The header, the size of the file, and the SHA-256 of tables
and names are checked whenever the file is opened. The CRC-32 of the pixels is checked when a file is opened for the
first time on this machine (same place, size and time of change), and block by block whenever training reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from ...base import files, growing_file, memory
from ...errors import DataError
from ...records.events import Check
from ..image_arrays import chosen_labels, fingerprint
from ..images import Images, Splits
from .blocks import Blocks
from .far_blocks import FarBlocks, FarPixels, far_pixels
from .layout import MAGIC, SPLITS, Header
from .names import Names
from .opening import HINT, checked_tables, header_of, opened, remember_checked, was_checked

Progress = Callable[[int, int], None]  # called with the bytes that are done, and the bytes in all


@dataclass(frozen=True, eq=False, repr=False)
class StoredImages(Images):
    """A split of a store: `Images` whose arrays are the file itself, read where they are touched.

    A slice of neighboring pictures is a view of the file. A copy of pictures that would not fit into memory is
    refused.
    """

    blocks: Blocks = field(kw_only=True, repr=False)
    known_fingerprint: str = field(kw_only=True, repr=False)
    known_values: Int64[np.ndarray, "channels 256"] = field(kw_only=True, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """The same as for pictures in memory, as it was computed when the store was made; `verify` recomputes it."""
        return self.known_fingerprint

    @cached_property
    def sums(self) -> tuple[list[int], list[int]]:
        """For each channel, the sum of its values, and of their squares, as counted when the store was made."""
        values = np.arange(256)
        return (self.known_values @ values).tolist(), (self.known_values @ values**2).tolist()

    def take(self, rows: Int64[np.ndarray, " m"]) -> Images:
        """Return the pictures at these places.

        Args:
            rows: Places in this split, in the order wanted.

        Returns:
            A view of the file if the places are consecutive, otherwise a copy in memory.

        Raises:
            DataError: The copy would not fit into memory.
        """
        far = far_pixels(self.pixels)
        if len(rows) and (np.diff(rows) == 1).all():
            first, stop = int(rows[0]), int(rows[-1]) + 1
            where: Any = slice(first, stop)
            pixels = self.pixels[where] if far is None else far.part(first, stop)
        else:
            where, size = rows, len(rows) * math.prod(self.shape)
            if size > memory.available() // 2:
                raise DataError(
                    f"{len(rows):,} pictures of {self.blocks.where} are {in_words(size)} and do not fit into memory.",
                    hint="Choose classes and held-out pictures when you make the store: sevensteps prepare --help",
                )
            pixels = self.pixels[where]
        rows = self.rows[where]
        labels = self.labels[where]
        return Images(
            pixels,
            labels,
            self.classes,
            self.origin,
            rows,
            names=self.names,
            fit=self.fit,
            range=self.range,
        )

    def choose(self, classes: Any) -> Images:
        """Return only the pictures of some classes, as a copy in memory.

        Args:
            classes: The names; a label becomes the index in this list.

        Returns:
            The pictures, in their old order.

        Raises:
            DataError: The copy would not fit into memory, or a class does not exist.
        """
        if len(classes) > 1 and tuple(classes) == self.classes:
            return self
        labels = chosen_labels(self.labels, self.classes, classes)
        rows = np.flatnonzero(labels >= 0)
        taken = self.take(rows)
        return replace(taken, labels=labels[rows], classes=tuple(classes))


def is_store(path: Path) -> bool:
    """Return whether a path is a store, or was one before it was damaged.

    Args:
        path: Any path.
    """
    if not path.is_file():
        return False
    if path.suffix == ".store":
        return True
    try:
        with files.regular(path, 1 << 60) as (file, _):
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_store(path: Path, say: Callable[[str], None] = lambda line: None) -> Splits:
    """Open a store without reading its pictures into memory.

    Args:
        path: The file.
        say: Called with a line if all of it is checked first.

    Returns:
        The splits, as views of the file.

    Raises:
        DataError: The file is not a store, has another version, is damaged, or is cut off.
    """
    header, status = header_of(path)
    with opened(path) as file:
        damage = [check for check in checked_tables(file, header) if not check.passed]
        if damage:
            raise DataError(f"{path}: {damage[0].name} {damage[0].line}.", hint=HINT)
        is_known = was_checked(path, header, status)
        if not is_known:
            say(f"Checking {path}, because it is new on this machine: {in_words(status.st_size)}")
        splits = splits_in(path, file, header)
    if not is_known:
        for check in _checked_pixels(path, splits, lambda done, total: None):
            if not check.passed:
                raise DataError(f"{path}: {check.name} {check.line}.", hint=HINT)
        remember_checked(path)
    return splits


def shape_in(path: Path) -> tuple[int, int, int]:
    """Return channels, height and width of a store's pictures, from its header alone.

    Args:
        path: The file.

    Raises:
        DataError: As `open_store`, as far as the header tells.
    """
    return header_of(path)[0].shape


def verify_store(path: Path, progress: Progress = lambda done, total: None) -> list[Check]:
    """Check a whole store against its checksums: the header, the tables and every block of pixels.

    Args:
        path: The file.
        progress: Called with the bytes that are done, and the bytes in all.

    Returns:
        What was checked, and whether it is intact.
    """
    try:
        header, _ = header_of(path)
    except DataError as error:
        return [Check(path.name, False, error.message.removeprefix(f"{path}: "))]
    checks = [Check("header and size", True, f"{in_words(header.places().size)}, {', '.join(counts_in(header))}")]
    with opened(path) as file:
        checks += checked_tables(file, header)
        if not all(check.passed for check in checks):  # the checksums of the pixels may be damaged too
            return checks
        splits = splits_in(path, file, header)
    checks += _checked_pixels(path, splits, progress)
    if all(check.passed for check in checks):
        for name, images in named_splits(splits):
            same = fingerprint(images.pixels, images.labels, images.classes) == images.fingerprint
            checks.append(Check(f"fingerprint of {name}", same, "the same" if same else "differs"))
    return checks


def in_words(size: int) -> str:
    """Return a number of bytes in words.

    Args:
        size: The number.

    Returns:
        The number in the unit that suits it.

    >>> in_words(2_100_000_000)
    '2.1 GB'
    """
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _checked_pixels(path: Path, splits: Splits, progress: Progress) -> list[Check]:
    """Check each block of pixels."""
    named = named_splits(splits)
    total, done, checks = sum(images.pixels.size for _, images in named), 0, []
    for name, images in named:
        damaged = []
        with opened(path) as file:
            for block, (size, is_damaged) in enumerate(images.blocks.damaged(file)):
                damaged += [block] * is_damaged
                done += size
                progress(done, total)
        first = damaged[0] * images.blocks.rows if damaged else 0
        blocks = f"{len(damaged):,} of {len(images.blocks.checksums):,} blocks, the first at picture {first:,}"
        checks.append(Check(f"pixels of {name}", not damaged, f"are damaged: {blocks}" if damaged else "intact"))
    return checks


def splits_in(
    path: Path, file: Any, header: Header, elsewhere: Callable[[str, Blocks], FarBlocks] | None = None
) -> Splits:
    """Return the splits of a store as views of its file.

    Args:
        path: The file, for messages.
        file: The open file.
        header: Its header.
        elsewhere: The blocks of a split, by its name, whose pixels are not in this file, given those that would be.

    Returns:
        The splits.

    Raises:
        DataError: A label has no class, or a row has no name.
    """
    places, whole = header.places(), growing_file.mapped(file)
    names = {
        split: Names(np.frombuffer(whole, np.uint8, size, at), header.names[split].count)
        for split, (at, size) in places.names.items()
    }
    images = {}
    for name, section in header.splits.items():
        at, sizes = places.tables[name]
        labels, rows, values, checksums = (
            np.frombuffer(whole, kind, size // np.dtype(kind).itemsize, start)
            for kind, size, start in zip(
                ("<i8", "<i8", "<i8", "<u4"), sizes, at + np.cumsum([0, *sizes[:3]]), strict=True
            )
        )
        blocks = Blocks(path, places.pixels[name], header.shape, labels, header.block, checksums)
        if elsewhere is None:
            pixels = np.frombuffer(whole, np.uint8, section.count * header.picture, places.pixels[name])
            pixels = pixels.reshape(section.count, *header.shape)
        else:
            blocks = far = elsewhere(name, blocks)
            pixels = FarPixels(far, 0, section.count).part(0, section.count)
        own_names = names.get(section.origin, ())
        if len(own_names) and not 0 <= int(rows.min(initial=0)) <= int(rows.max(initial=0)) < len(own_names):
            raise DataError(f"{blocks.where}: pictures of {name} have no names.", hint=HINT)
        images[name] = StoredImages(
            pixels,
            labels,
            header.classes,
            section.origin,
            rows,
            names=own_names,
            fit=header.fit,
            range=header.range,
            blocks=blocks,
            known_fingerprint=section.fingerprint,
            known_values=values.reshape(header.shape[0], 256),
        )
    return Splits(images["train"], images.get("test"), images.get("valid"), header.source)


def named_splits(splits: Splits) -> list[tuple[str, StoredImages]]:
    """Return the splits with their names, in the order of the file.

    Args:
        splits: The splits of a store.
    """
    return [(name, images) for name in SPLITS if isinstance(images := getattr(splits, name), StoredImages)]


def counts_in(header: Header) -> list[str]:
    """Return the number of pictures of each split in words.

    Args:
        header: The header of a store.
    """
    return [f"{section.count:,} {name}" for name, section in reversed([*header.splits.items()])]
