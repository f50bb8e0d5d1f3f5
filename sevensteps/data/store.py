"""Store: prepared pictures in one flat file, for sets larger than memory. What it holds, and how it is opened.

The file begins with 8 bytes that say what it is, the length of the header as a little-endian number of 64 bits, and the
header: canonical JSON with sorted keys. Everything else has its place by the counts in the header, from the next
multiple of 4096 on: for each split, in the order test, valid, train, its tables (labels and rows of the source as
64-bit numbers, how often each channel has each of the 256 values, a CRC-32 for each block of pixels), then for each
split its pixels, one uint8 picture after the other, from a multiple of 4096 on.

What can be damaged and how that is found: the header and the size of the file whenever it is opened; the tables, too,
by their SHA-256; the pixels by their CRC-32, once on opening where this very file (its place, size and time of change)
was not checked on this machine before, and block by block whenever training reads them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from .. import files, memory, reading
from ..errors import DataError, SevenstepsError
from ..places import cache_folder
from ..records import Check
from .blocks import Blocks
from .decode import FITS, Fit
from .images import Images, Splits, chosen_labels, fingerprint

MAGIC = b"7STEPS\x00\x01"
FORMAT = 1
PAGE = 4096
BLOCK = 1 << 20  # bytes of pixels under one checksum
LARGEST_HEADER = 1 << 24  # bytes; a thousand classes with long names have some 50 KB
SPLITS = ("test", "valid", "train")  # in the order of the file: training, which is put together last, is at its end
_AT_ONCE = 1 << 24  # bytes read at once to check tables and fingerprints

Progress = Callable[[int, int], None]  # takes the bytes that are done, and those of all


@dataclass(frozen=True)
class Section:
    """What the header says of a split."""

    origin: str  # the source's split that the pictures are from
    count: int
    fingerprint: str  # as `Images.fingerprint`
    tables: str  # SHA-256


@dataclass(frozen=True)
class Header:
    """What a store holds, and what it was made of."""

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    source: str
    hold_out: float
    seed: int
    splits: Mapping[str, Section]
    fit: Fit | None = None  # as of `Images`; not in the file where there is none

    @property
    def picture(self) -> int:
        """Bytes of a picture."""
        return math.prod(self.shape)

    @property
    def block(self) -> int:
        """Pictures of a block."""
        return max(1, BLOCK // self.picture)

    def to_bytes(self) -> bytes:
        """The beginning of the file."""
        facts: dict[str, Any] = {**vars(self), "format": FORMAT}
        facts["splits"] = {name: vars(section) for name, section in self.splits.items()}
        if self.fit is None:
            del facts["fit"]
        facts["sha256"] = hashlib.sha256(_canonical(facts)).hexdigest()
        text = _canonical(facts)
        return MAGIC + len(text).to_bytes(8, "little") + text

    def places(self) -> Places:
        """Where everything is."""
        at, tables, pixels = _paged(len(self.to_bytes())), {}, {}
        for name, section in self.splits.items():
            blocks = -(-section.count // self.block)
            sizes = (8 * section.count, 8 * section.count, 8 * 256 * self.shape[0], 4 * blocks)
            tables[name] = (at, sizes)
            at = _paged(at + sum(sizes))
        for name, section in self.splits.items():
            pixels[name] = at
            at = _paged(at + section.count * self.picture) if name != SPLITS[-1] else at + section.count * self.picture
        return Places(tables, pixels, at)


@dataclass(frozen=True)
class Places:
    """Where the parts of a store begin: each split's tables with their sizes, and its pixels; and how long it is."""

    tables: Mapping[str, tuple[int, tuple[int, int, int, int]]]
    pixels: Mapping[str, int]
    size: int


def _canonical(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _paged(at: int) -> int:
    return -(-at // PAGE) * PAGE


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
        return Images(self.pixels[where], self.labels[where], self.classes, self.origin, rows, fit=self.fit)

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
        with reading.regular(path, 1 << 60) as (file, _):
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


_HINT = "Copy the file again, or prepare it again from its source: sevensteps prepare SOURCE"


def _header(path: Path) -> tuple[Header, os.stat_result]:
    """The header of a store, checked against itself and the size of the file.

    Raises:
        DataError: it is none, is damaged, or the file is cut off.
    """
    try:
        with reading.regular(path, 1 << 60) as (file, size):
            status = os.fstat(file.fileno())
            if file.read(len(MAGIC)) != MAGIC:
                raise DataError(f"{path}: this is no store of pictures, or its beginning is damaged.", hint=_HINT)
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length <= min(LARGEST_HEADER, size) else b""
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}).", hint="Check the path and its permissions."
        ) from error
    header = _parsed(text)
    if header is None:
        raise DataError(f"{path}: its header is damaged, or of another version of sevensteps.", hint=_HINT)
    expected = header.places().size
    if size != expected:
        what = "cut off" if size < expected else "too long"
        raise DataError(f"{path}: it is {what}: {size:,} bytes, and {expected:,} were written.", hint=_HINT)
    return header, status


def _parsed(text: bytes) -> Header | None:
    """The header, if it is one that can be: its own checksum, and every type and range, whoever wrote it."""
    try:
        facts = json.loads(text)
        claimed = facts.pop("sha256")
        if facts.pop("format") != FORMAT:
            return None
        splits = {name: Section(**facts["splits"][name]) for name in SPLITS if name in facts["splits"]}
        shape, classes = tuple(facts["shape"]), tuple(facts["classes"])
        header = Header(**{**facts, "shape": shape, "classes": classes, "splits": splits})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    sizes = [*shape, *(section.count for section in splits.values())]
    words = [*classes, header.source, *(w for s in splits.values() for w in (s.origin, s.fingerprint, s.tables))]
    if not all(type(size) is int and 0 <= size < 1 << 40 for size in sizes) or len(shape) != 3 or 0 in shape:
        return None
    if not all(isinstance(word, str) for word in words) or "train" not in splits or len(set(classes)) != len(classes):
        return None
    if header.fit not in (None, *FITS):
        return None
    if type(header.seed) is not int or type(header.hold_out) not in (int, float):
        return None
    return header if header.to_bytes()[len(MAGIC) + 8 :] == text and f'"sha256":"{claimed}"'.encode() in text else None


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
    """Whether each split's labels, rows, counts and checksums are what was written."""
    checks = []
    for name, (at, sizes) in header.places().tables.items():
        digest, left = hashlib.sha256(), sum(sizes)
        file.seek(at)
        while left and (piece := file.read(min(left, _AT_ONCE))):
            digest.update(piece)
            left -= len(piece)
        same = digest.hexdigest() == header.splits[name].tables
        checks.append(Check(f"labels of {name}", same, "whole" if same else "are damaged, or their checksums"))
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
        DataError: labels that no class has.
    """
    places, whole = header.places(), files.mapped(file)
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
        images[name] = StoredImages(
            pixels.reshape(section.count, *header.shape),
            labels,
            header.classes,
            section.origin,
            rows,
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
