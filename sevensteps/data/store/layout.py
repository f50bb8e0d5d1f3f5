"""Layout: the header of a store, and where everything else in the file is.

The file begins with 8 bytes that identify it, the length of the header as a little-endian 64-bit integer, and the
header: canonical JSON with sorted keys. The counts in the header determine the place of everything else. Each part
begins at a multiple of 4096. First come the tables of each split, in the order test, valid, train: labels and rows of
the source as 64-bit integers, how often each channel has each of the 256 values, and a CRC-32 for each block of pixels.
Then come the names of each split of the source whose pictures have names (see `names`), and then the pixels of each
split, one uint8 picture after the other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..decode import FITS, Fit
from ..value_range import Range
from .names import offsets_size

MAGIC = b"7STEPS\x00\x01"


FORMAT = 1


PAGE = 4096


BLOCK = 1 << 20  # bytes of pixels that share a checksum


LARGEST_HEADER = 1 << 24  # bytes; a thousand classes with long names need about 50 KB

SPLITS = ("test", "valid", "train")  # in the order of the file: training comes last because it is completed last


@dataclass(frozen=True)
class Section:
    """The header's entry for a split."""

    origin: str  # the split of the source that the pictures come from
    count: int  # of pictures
    fingerprint: str  # as in `Images.fingerprint`
    tables: str  # SHA-256 of the tables


@dataclass(frozen=True)
class Named:
    """The header's entry for the names of one split of the source."""

    count: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Header:
    """The header of a store: what it contains, and what it was made from."""

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    source: str
    hold_out: float
    seed: int
    splits: Mapping[str, Section]
    fit: Fit | None = None  # as in `Images`; absent from the file if None
    names: Mapping[str, Named] = field(default_factory=dict)  # by split of the source; absent from the file if empty
    range: Range | None = None  # as in `Images`; absent from the file if None

    @property
    def picture(self) -> int:
        """The size of a picture, in bytes."""
        return math.prod(self.shape)

    @property
    def block(self) -> int:
        """The number of pictures in a block."""
        return max(1, BLOCK // self.picture)

    def to_bytes(self) -> bytes:
        """Return the beginning of the file, with the checksum of the header."""
        facts: dict[str, Any] = {**vars(self), "format": FORMAT}
        facts["splits"] = {name: vars(section) for name, section in self.splits.items()}
        if self.fit is None:
            del facts["fit"]
        facts["names"] = {split: vars(named) for split, named in self.names.items()}
        if not self.names:
            del facts["names"]
        facts["range"] = self.range and self.range.as_json()
        if self.range is None:
            del facts["range"]
        facts["sha256"] = hashlib.sha256(_canonical(facts)).hexdigest()
        text = _canonical(facts)
        return MAGIC + len(text).to_bytes(8, "little") + text

    def places(self) -> Places:
        """Return where everything is in the file."""
        at, tables, names, pixels = _paged(len(self.to_bytes())), {}, {}, {}
        for name, section in self.splits.items():
            blocks = -(-section.count // self.block)
            sizes = (8 * section.count, 8 * section.count, 8 * 256 * self.shape[0], 4 * blocks)
            tables[name] = (at, sizes)
            at = _paged(at + sum(sizes))
        for split, named in self.names.items():
            names[split] = (at, named.bytes)
            at = _paged(at + named.bytes)
        for name, section in self.splits.items():
            pixels[name] = at
            at = _paged(at + section.count * self.picture) if name != SPLITS[-1] else at + section.count * self.picture
        return Places(tables, names, pixels, at)


@dataclass(frozen=True)
class Places:
    """Where the parts of a store begin, in bytes from the beginning of the file."""

    tables: Mapping[str, tuple[int, tuple[int, int, int, int]]]  # by split, with the sizes of the four tables
    names: Mapping[str, tuple[int, int]]  # by split of the source, with the size
    pixels: Mapping[str, int]  # by split
    size: int  # of the file


def _canonical(facts: Mapping[str, Any]) -> bytes:
    """Return JSON that is always the same for the same facts."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _paged(at: int) -> int:
    """Return the next multiple of the page size."""
    return -(-at // PAGE) * PAGE


def parsed(text: bytes) -> Header | None:
    """Read a header and check its checksum and every type and range, since anyone may have written the file.

    Args:
        text: The bytes after the length.

    Returns:
        The header, or None if it is not valid.
    """
    try:
        facts = json.loads(text)
        claimed = facts.pop("sha256")
        if facts.pop("format") != FORMAT:
            return None
        splits = {name: Section(**facts["splits"][name]) for name in SPLITS if name in facts["splits"]}
        shape, classes = tuple(facts["shape"]), tuple(facts["classes"])
        names = {split: Named(**facts["names"][split]) for split in sorted(facts.get("names", {}))}
        range = Range.from_json(facts.pop("range", None))
        header = Header(
            **{**facts, "shape": shape, "classes": classes, "splits": splits, "names": names, "range": range}
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    sizes = [*shape, *(section.count for section in splits.values())]
    sizes += [size for named in names.values() for size in (named.count, named.bytes)]
    words = [*classes, header.source, *(word for s in splits.values() for word in (s.origin, s.fingerprint, s.tables))]
    words += [named.sha256 for named in names.values()]
    if not all(type(size) is int and 0 <= size < 1 << 40 for size in sizes) or len(shape) != 3 or 0 in shape:
        return None
    if not all(isinstance(word, str) for word in words) or "train" not in splits or len(set(classes)) != len(classes):
        return None
    if header.fit not in (None, *FITS) or any(named.bytes < offsets_size(named.count) for named in names.values()):
        return None
    if type(header.seed) is not int or type(header.hold_out) not in (int, float):
        return None
    return header if header.to_bytes()[len(MAGIC) + 8 :] == text and f'"sha256":"{claimed}"'.encode() in text else None
