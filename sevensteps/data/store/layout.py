"""Layout: what the header of a store says, and where by that everything else is.

The file begins with 8 bytes that say what it is, the length of the header as a little-endian number of 64 bits, and the
header: canonical JSON with sorted keys. Everything else has its place by the counts in the header, from the next
multiple of 4096 on: for each split, in the order test, valid, train, its tables (labels and rows of the source as
64-bit numbers, how often each channel has each of the 256 values, a CRC-32 for each block of pixels), then for each
split of the source whose pictures have names, these (see `names`), then for each split its pixels, one uint8 picture
after the other, from a multiple of 4096 on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..decode import FITS, Fit
from .names import offsets_size

MAGIC = b"7STEPS\x00\x01"


FORMAT = 1


PAGE = 4096


BLOCK = 1 << 20  # bytes of pixels under one checksum


LARGEST_HEADER = 1 << 24  # bytes; a thousand classes with long names have some 50 KB


SPLITS = ("test", "valid", "train")  # in the order of the file: training, which is put together last, is at its end


@dataclass(frozen=True)
class Section:
    """What the header says of a split."""

    origin: str  # the source's split that the pictures are from
    count: int
    fingerprint: str  # as `Images.fingerprint`
    tables: str  # SHA-256


@dataclass(frozen=True)
class Named:
    """What the header says of the names that the pictures of a split of the source have."""

    count: int
    bytes: int
    sha256: str


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
    names: Mapping[str, Named] = field(default_factory=dict)  # by the source's split; neither

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
        facts["names"] = {split: vars(named) for split, named in self.names.items()}
        if not self.names:
            del facts["names"]
        facts["sha256"] = hashlib.sha256(_canonical(facts)).hexdigest()
        text = _canonical(facts)
        return MAGIC + len(text).to_bytes(8, "little") + text

    def places(self) -> Places:
        """Where everything is."""
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
    """Where the parts of a store begin: each split's tables with their sizes, names, and pixels; and how long it is."""

    tables: Mapping[str, tuple[int, tuple[int, int, int, int]]]
    names: Mapping[str, tuple[int, int]]
    pixels: Mapping[str, int]
    size: int


def _canonical(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _paged(at: int) -> int:
    return -(-at // PAGE) * PAGE


def parsed(text: bytes) -> Header | None:
    """The header, if it is one that can be: its own checksum, and every type and range, whoever wrote it."""
    try:
        facts = json.loads(text)
        claimed = facts.pop("sha256")
        if facts.pop("format") != FORMAT:
            return None
        splits = {name: Section(**facts["splits"][name]) for name in SPLITS if name in facts["splits"]}
        shape, classes = tuple(facts["shape"]), tuple(facts["classes"])
        names = {split: Named(**facts["names"][split]) for split in sorted(facts.get("names", {}))}
        header = Header(**{**facts, "shape": shape, "classes": classes, "splits": splits, "names": names})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    sizes = [*shape, *(section.count for section in splits.values())]
    sizes += [size for named in names.values() for size in (named.count, named.bytes)]
    words = [*classes, header.source, *(w for s in splits.values() for w in (s.origin, s.fingerprint, s.tables))]
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
