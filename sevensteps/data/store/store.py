"""Store: prepared pictures in one flat file, for sets larger than memory. How it is opened, and how it is checked.

What is where in the file is said in `layout`.

What can be damaged and how that is found: the header and the size of the file whenever it is opened; the tables
and names, too, by their SHA-256; the pixels by their CRC-32, once on opening where this very file (its place, size
and time of change) was not checked on this machine before, and block by block whenever training reads them.
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


Progress = Callable[[int, int], None]  # takes the bytes that are done, and those of all


@dataclass(frozen=True, eq=False, repr=False)
class StoredImages(Images):
    """A split of a store: `Images` whose arrays are the file itself, read where they are touched.

    A slice of neighboring pictures is a view of the file. What would copy many of them into memory is refused where
    they do not fit.
    """

    blocks: Blocks = field(kw_only=True, repr=False)
    known_fingerprint: str = field(kw_only=True, repr=False)
    known_values: Int64[np.ndarray, "channels 256"] = field(kw_only=True, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """As of the same pictures in memory; it was computed when the store was made, and `verify` does it again."""
        return self.known_fingerprint

    @cached_property
    def sums(self) -> tuple[list[int], list[int]]:
        """Of each channel, the sum of its values and the sum of their squares; counted when the store was made."""
        values = np.arange(256)
        return (self.known_values @ values).tolist(), (self.known_values @ values**2).tolist()

    def take(self, rows: Int64[np.ndarray, " m"]) -> Images:
        """The pictures at these places, in this order: neighbors as a view of the file, others as a copy in memory.

        Raises:
            DataError: the copy would not fit.
        """
        if len(rows) and (np.diff(rows) == 1).all():
            where: Any = slice(int(rows[0]), int(rows[-1]) + 1)
        else:
            where, size = rows, len(rows) * math.prod(self.shape)
            if size > memory.available() // 2:
                raise DataError(
                    f"{len(rows):,} pictures of {self.blocks.path} are {in_words(size)}, and do not fit into memory.",
                    hint="Choose classes, and what is held out, when the store is made: sevensteps prepare --help",
                )
        rows = self.rows[where]
        labels = self.labels[where]
        return Images(self.pixels[where], labels, self.classes, self.origin, rows, names=self.names, fit=self.fit)

    def choose(self, classes: Any) -> Images:
        """As `Images.choose`; the copy must fit into memory.

        Raises:
            DataError: it does not, or no such class.
        """
        if len(classes) > 1 and tuple(classes) == self.classes:
            return self
        labels = chosen_labels(self.labels, self.classes, classes)
        rows = np.flatnonzero(labels >= 0)
        taken = self.take(rows)
        return replace(taken, labels=labels[rows], classes=tuple(classes))


def is_store(path: Path) -> bool:
    """Whether a path is a store, or was one before it was damaged."""
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
    """The splits of a store. Nothing is read into memory; `say` gets a line where all of it is checked first.

    Raises:
        DataError: no store, of another version, damaged or cut off.
    """
    header, status = _header(path)
    with _open(path) as file:
        damage = [check for check in _checked_tables(file, header) if not check.passed]
        if damage:
            raise DataError(f"{path}: {damage[0].name} {damage[0].line}.", hint=_HINT)
        known = _known(path, header, status)
        if not known:
            say(f"Checking {path} once, since it is new here: {in_words(status.st_size)}")
        splits = _splits(path, file, header)
    if not known:
        for check in _checked_pixels(path, splits, lambda done, total: None):
            if not check.passed:
                raise DataError(f"{path}: {check.name} {check.line}.", hint=_HINT)
        remember_checked(path)
    return splits


def verify_store(path: Path, progress: Progress = lambda done, total: None) -> list[Check]:
    """Hold a whole store against its checksums: header, tables and every block of pixels."""
    try:
        header, _ = _header(path)
    except DataError as error:
        return [Check(path.name, False, error.message.removeprefix(f"{path}: "))]
    checks = [Check("header and size", True, f"{in_words(header.places().size)}, {', '.join(_counts(header))}")]
    with _open(path) as file:
        checks += _checked_tables(file, header)
        if not all(check.passed for check in checks):  # the checksums of the pixels are among what is damaged
            return checks
        splits = _splits(path, file, header)
    checks += _checked_pixels(path, splits, progress)
    if all(check.passed for check in checks):
        for name, images in _named(splits):
            same = fingerprint(images.pixels, images.labels, images.classes) == images.fingerprint
            checks.append(Check(f"fingerprint of {name}", same, "the same" if same else "is another"))
    return checks


def remember_checked(path: Path) -> None:
    """Note that this very file is whole, so that opening it need not read it all; where that is not possible, it is."""
    header, status = _header(path)
    with contextlib.suppress(SevenstepsError):
        files.write(_note(path), json.dumps(_identity(header, status)))


def in_words(size: int) -> str:
    """A number of bytes for a person.

    >>> in_words(2_100_000_000)
    '2.1 GB'
    """
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


_HINT = "Copy the file again, or prepare it again from its pictures: sevensteps prepare PICTURES"


def _header(path: Path) -> tuple[Header, os.stat_result]:
    """The header of a store, checked against itself and the size of the file.

    Raises:
        DataError: it is none, is damaged, or the file is cut off.
    """
    try:
        with files.regular(path, 1 << 60) as (file, size):
            status = os.fstat(file.fileno())
            if file.read(len(MAGIC)) != MAGIC:
                raise DataError(f"{path}: this is no store of pictures, or its beginning is damaged.", hint=_HINT)
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length <= min(LARGEST_HEADER, size) else b""
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}).", hint="Check the path and its permissions."
        ) from error
    header = parsed(text)
    if header is None:
        raise DataError(f"{path}: its header is damaged, or of another version of sevensteps.", hint=_HINT)
    expected = header.places().size
    if size != expected:
        what = "cut off" if size < expected else "too long"
        raise DataError(f"{path}: it is {what}: {size:,} bytes, and {expected:,} were written.", hint=_HINT)
    return header, status


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The file, unbuffered.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except OSError as error:
        if isinstance(error, SevenstepsError):
            raise
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).", hint="Check the disk.") from error


def _checked_tables(file: Any, header: Header) -> list[Check]:
    """Whether each split's labels, rows, counts and checksums, and its names, are what was written."""
    checks, places = [], header.places()
    tables = [
        (f"labels of {name}", at, sum(sizes), header.splits[name].tables, "are damaged, or their checksums")
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
        checks.append(Check(what, same, "whole" if same else damaged))
    return checks


def _checked_pixels(path: Path, splits: Splits, progress: Progress) -> list[Check]:
    """Whether each block of pixels is what was written."""
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
        many = f"{len(damaged):,} of {len(images.blocks.checksums):,} blocks, the first at picture {first:,}"
        checks.append(Check(f"pixels of {name}", not damaged, f"are damaged: {many}" if damaged else "whole"))
    return checks


def _splits(path: Path, file: Any, header: Header) -> Splits:
    """The splits as views of the file.

    Raises:
        DataError: labels that no class has, or rows that no name has.
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
        of_source = names.get(section.origin, ())
        if len(of_source) and not 0 <= int(rows.min(initial=0)) <= int(rows.max(initial=0)) < len(of_source):
            raise DataError(f"{path}: pictures of {name} have no names.", hint=_HINT)
        images[name] = StoredImages(
            pixels.reshape(section.count, *header.shape),
            labels,
            header.classes,
            section.origin,
            rows,
            names=of_source,
            fit=header.fit,
            blocks=Blocks(path, places.pixels[name], header.shape, labels, header.block, checksums),
            known_fingerprint=section.fingerprint,
            known_values=values.reshape(header.shape[0], 256),
        )
    return Splits(images["train"], images.get("test"), images.get("valid"), header.source)


def _named(splits: Splits) -> list[tuple[str, StoredImages]]:
    return [(name, images) for name in SPLITS if isinstance(images := getattr(splits, name), StoredImages)]


def _counts(header: Header) -> list[str]:
    return [f"{section.count:,} {name}" for name, section in reversed([*header.splits.items()])]


def _identity(header: Header, status: os.stat_result) -> dict[str, Any]:
    """What tells this very file from another, and from itself after a change."""
    digest = hashlib.sha256(header.to_bytes()).hexdigest()
    return {"header": digest, "size": status.st_size, "changed": status.st_mtime_ns, "file": status.st_ino}


def _known(path: Path, header: Header, status: os.stat_result) -> bool:
    """Whether this very file was checked here before."""
    try:
        return bool(json.loads(_note(path).read_text("utf-8")) == _identity(header, status))
    except (OSError, ValueError, RecursionError):
        return False


def _note(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    return cache_folder() / "stores" / "checked" / f"{name}.json"
