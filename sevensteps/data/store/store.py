"""Store: open and check prepared pictures in one flat file, for sets larger than memory.

`layout` describes the file. Damage is found as follows. The header, the size of the file, and the SHA-256 of tables
and names are checked whenever the file is opened. The CRC-32 of the pixels is checked when a file is opened for the
first time on this machine (same place, size and time of change), and block by block whenever training reads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from ...base import files, growing_file, memory
from ...base.user_folders import cache_folder
from ...errors import DataError, SevenstepsError
from ...records.events import Check
from ..image_arrays import chosen_labels, fingerprint
from ..images import Images, Splits
from .blocks import Blocks
from .layout import LARGEST_HEADER, MAGIC, SPLITS, Header, parsed
from .names import Names

_AT_ONCE = 1 << 24  # bytes read at once to check tables and fingerprints


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
        if len(rows) and (np.diff(rows) == 1).all():
            where: Any = slice(int(rows[0]), int(rows[-1]) + 1)
        else:
            where, size = rows, len(rows) * math.prod(self.shape)
            if size > memory.available() // 2:
                raise DataError(
                    f"{len(rows):,} pictures of {self.blocks.path} are {in_words(size)} and do not fit into memory.",
                    hint="Choose classes and held-out pictures when you make the store: sevensteps prepare --help",
                )
        rows = self.rows[where]
        labels = self.labels[where]
        return Images(
            self.pixels[where],
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
    header, status = _header(path)
    with _open(path) as file:
        damage = [check for check in _checked_tables(file, header) if not check.passed]
        if damage:
            raise DataError(f"{path}: {damage[0].name} {damage[0].line}.", hint=_HINT)
        was_checked = _was_checked(path, header, status)
        if not was_checked:
            say(f"Checking {path}, because it is new on this machine: {in_words(status.st_size)}")
        splits = _splits(path, file, header)
    if not was_checked:
        for check in _checked_pixels(path, splits, lambda done, total: None):
            if not check.passed:
                raise DataError(f"{path}: {check.name} {check.line}.", hint=_HINT)
        remember_checked(path)
    return splits


def shape_in(path: Path) -> tuple[int, int, int]:
    """Return channels, height and width of a store's pictures, from its header alone.

    Args:
        path: The file.

    Raises:
        DataError: As `open_store`, as far as the header tells.
    """
    return _header(path)[0].shape


def verify_store(path: Path, progress: Progress = lambda done, total: None) -> list[Check]:
    """Check a whole store against its checksums: the header, the tables and every block of pixels.

    Args:
        path: The file.
        progress: Called with the bytes that are done, and the bytes in all.

    Returns:
        What was checked, and whether it is intact.
    """
    try:
        header, _ = _header(path)
    except DataError as error:
        return [Check(path.name, False, error.message.removeprefix(f"{path}: "))]
    checks = [Check("header and size", True, f"{in_words(header.places().size)}, {', '.join(_counts(header))}")]
    with _open(path) as file:
        checks += _checked_tables(file, header)
        if not all(check.passed for check in checks):  # the checksums of the pixels may be damaged too
            return checks
        splits = _splits(path, file, header)
    checks += _checked_pixels(path, splits, progress)
    if all(check.passed for check in checks):
        for name, images in _named(splits):
            same = fingerprint(images.pixels, images.labels, images.classes) == images.fingerprint
            checks.append(Check(f"fingerprint of {name}", same, "the same" if same else "differs"))
    return checks


def remember_checked(path: Path) -> None:
    """Record that this file is intact, so that opening it need not read all of it.

    If the record cannot be written, the file is checked again next time.

    Args:
        path: The store.
    """
    header, status = _header(path)
    with contextlib.suppress(SevenstepsError):
        files.write(_note(path), json.dumps(_identity(header, status)))


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


_HINT = "Copy the file again, or prepare it again from its pictures: sevensteps prepare PICTURES"


def _header(path: Path) -> tuple[Header, os.stat_result]:
    """Return the header of a store, checked against its checksum and the size of the file.

    Raises:
        DataError: The file is not a store, is damaged, or is cut off.
    """
    try:
        with files.regular(path, 1 << 60) as (file, size):
            status = os.fstat(file.fileno())
            if file.read(len(MAGIC)) != MAGIC:
                raise DataError(f"{path}: this is not a store, or its beginning is damaged.", hint=_HINT)
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length <= min(LARGEST_HEADER, size) else b""
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}).", hint="Check the path and its permissions."
        ) from error
    header = parsed(text)
    if header is None:
        raise DataError(f"{path}: its header is damaged, or from another version of sevensteps.", hint=_HINT)
    expected = header.places().size
    if size != expected:
        what = "cut off" if size < expected else "too long"
        raise DataError(f"{path}: it is {what}: {size:,} bytes, but {expected:,} were written.", hint=_HINT)
    return header, status


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a file without a buffer.

    Raises:
        DataError: It cannot be opened or read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except OSError as error:
        if isinstance(error, SevenstepsError):
            raise
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).", hint="Check the disk.") from error


def _checked_tables(file: Any, header: Header) -> list[Check]:
    """Check the tables (labels, rows, counts, checksums) of each split, and all names."""
    checks, places = [], header.places()
    tables = [
        (f"labels of {name}", at, sum(sizes), header.splits[name].tables, "or their checksums are damaged")
        for name, (at, sizes) in places.tables.items()
    ]
    tables += [
        (f"names of {split}", at, size, header.names[split].sha256, "are damaged")
        for split, (at, size) in places.names.items()
    ]
    for what, at, left, claimed, damaged in tables:
        digest = hashlib.sha256()
        file.seek(at)
        while left and (piece := file.read(min(left, _AT_ONCE))):
            digest.update(piece)
            left -= len(piece)
        same = digest.hexdigest() == claimed
        checks.append(Check(what, same, "intact" if same else damaged))
    return checks


def _checked_pixels(path: Path, splits: Splits, progress: Progress) -> list[Check]:
    """Check each block of pixels."""
    named = _named(splits)
    total, done, checks = sum(images.pixels.size for _, images in named), 0, []
    for name, images in named:
        damaged = []
        with _open(path) as file:
            for block, (size, is_damaged) in enumerate(images.blocks.damaged(file)):
                damaged += [block] * is_damaged
                done += size
                progress(done, total)
        first = damaged[0] * images.blocks.rows if damaged else 0
        blocks = f"{len(damaged):,} of {len(images.blocks.checksums):,} blocks, the first at picture {first:,}"
        checks.append(Check(f"pixels of {name}", not damaged, f"are damaged: {blocks}" if damaged else "intact"))
    return checks


def _splits(path: Path, file: Any, header: Header) -> Splits:
    """Return the splits as views of the file.

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
        pixels = np.frombuffer(whole, np.uint8, section.count * header.picture, places.pixels[name])
        own_names = names.get(section.origin, ())
        if len(own_names) and not 0 <= int(rows.min(initial=0)) <= int(rows.max(initial=0)) < len(own_names):
            raise DataError(f"{path}: pictures of {name} have no names.", hint=_HINT)
        images[name] = StoredImages(
            pixels.reshape(section.count, *header.shape),
            labels,
            header.classes,
            section.origin,
            rows,
            names=own_names,
            fit=header.fit,
            range=header.range,
            blocks=Blocks(path, places.pixels[name], header.shape, labels, header.block, checksums),
            known_fingerprint=section.fingerprint,
            known_values=values.reshape(header.shape[0], 256),
        )
    return Splits(images["train"], images.get("test"), images.get("valid"), header.source)


def _named(splits: Splits) -> list[tuple[str, StoredImages]]:
    """Return the splits with their names, in the order of the file."""
    return [(name, images) for name in SPLITS if isinstance(images := getattr(splits, name), StoredImages)]


def _counts(header: Header) -> list[str]:
    """Return the number of pictures of each split in words."""
    return [f"{section.count:,} {name}" for name, section in reversed([*header.splits.items()])]


def _identity(header: Header, status: os.stat_result) -> dict[str, Any]:
    """Return what tells this file from any other, and from itself after a change."""
    digest = hashlib.sha256(header.to_bytes()).hexdigest()
    return {"header": digest, "size": status.st_size, "changed": status.st_mtime_ns, "file": status.st_ino}


def _was_checked(path: Path, header: Header, status: os.stat_result) -> bool:
    """Whether exactly this file was checked on this machine before."""
    try:
        return bool(json.loads(_note(path).read_text("utf-8")) == _identity(header, status))
    except (OSError, ValueError, RecursionError):
        return False


def _note(path: Path) -> Path:
    """Return where it is recorded that a store was checked."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    return cache_folder() / "stores" / "checked" / f"{name}.json"
