"""Decoded pictures that are kept in the user's cache, so that the next start decodes only what has changed since.

Two files for each source and way of reading it: the pixels, which are mapped into memory, and an index of the files
that they came from, each with its size and times. A file whose size or times are others is decoded anew. Nothing here
is needed: what is missing, damaged or of another version is as good as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from .. import files
from ..errors import FileError
from ..places import cache_folder
from .catalog import Catalog, File, How
from .decode import Seen, Shape

VERSION = 1  # of the files, and of what `decode` makes of a picture: raise it when either changes
MOST = 8 << 30  # bytes of all that is kept; what was used longest ago goes first
_INDEX, _PIXELS = ".index", ".pixels"

Stamp = tuple[int, int, int]  # bytes, and nanoseconds of the last change of content and of anything


@dataclass(frozen=True)
class Kept:
    """What was decoded before: of each file its stamp, its header and its row in `pixels`."""

    shape: Shape
    rows: Mapping[str, int]
    stamps: Int64[np.ndarray, "n 3"]
    seen: Int64[np.ndarray, "n 3"]
    pixels: UInt8[np.ndarray, "n channels height width"]

    def row(self, path: str, stamp: Stamp | None) -> int | None:
        """The row of a file that is as it was."""
        row = self.rows.get(path)
        return row if row is not None and stamp is not None and tuple(self.stamps[row].tolist()) == stamp else None

    def header(self, row: int) -> Seen:
        """What the header of the file said."""
        width, height, grey = self.seen[row].tolist()
        return Seen(width, height, bool(grey))


def stamps_of(catalog: Catalog, splits: Mapping[str, Sequence[File]]) -> dict[str, Stamp]:
    """The stamp of each file, by its path; of those that can be looked at."""
    found: dict[str, Stamp] = {}
    holders: dict[str, Stamp | None] = {}
    for path in (file.path for of_split in splits.values() for file in of_split):
        holder = catalog.holder(path)
        if holder not in holders:
            holders[holder] = _stamp(holder)
        if (stamp := holders[holder]) is not None:
            found[path] = stamp
    return found


def find_kept(catalog: Catalog, how: How) -> Kept | None:
    """What was kept of this source, read in this way; None where that is nothing, or damaged."""
    index = _place(catalog, how)
    try:
        head, _, body = index.read_bytes().partition(b"\n")
        facts = json.loads(head)
        count, shape = int(facts["count"]), tuple(map(int, facts["shape"]))
        if facts["version"] != VERSION or zlib.crc32(body) != facts["checksum"]:
            return None
        numbers = np.frombuffer(body, dtype=np.int64, count=6 * count).reshape(2, count, 3)
        names = body[numbers.nbytes :].split(b"\0")
        place = index.with_suffix(_PIXELS)
        if len(names) != count or place.stat().st_size != count * int(np.prod(shape)):
            return None
        pixels = np.asarray(np.memmap(place, dtype=np.uint8, mode="c", shape=(count, *shape)))
        if _checksum(pixels) != facts["pixels"]:
            return None
        os.utime(index)  # used now
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    rows = {os.fsdecode(name): row for row, name in enumerate(names)}
    return Kept(shape, rows, numbers[0], numbers[1], pixels)  # type: ignore[arg-type]


def keep(
    catalog: Catalog,
    how: How,
    shape: Shape,
    stamps: Mapping[str, Stamp],
    decoded: Sequence[tuple[Sequence[File], Sequence[Seen], Any]],
) -> int:
    """Keep what was decoded: of each split its files, what their headers say and their pixels. Gives the bytes kept.

    Where the cache cannot be written, or has too little room, nothing is kept.
    """
    stamped = [[file.path in stamps for file in of_split] for of_split, _, _ in decoded]
    paths = [file.path for of_split, _, _ in decoded for file in of_split if file.path in stamps]
    size = len(paths) * int(np.prod(shape))
    index = _place(catalog, how)
    seen = [
        (one.width, one.height, one.is_grey)
        for (_, headers, _), known in zip(decoded, stamped, strict=True)
        for one, is_known in zip(headers, known, strict=True)
        if is_known
    ]
    numbers = np.array([[stamps[path] for path in paths], seen], dtype=np.int64)
    body = numbers.tobytes() + b"\0".join(map(os.fsencode, paths))
    try:
        if not paths or size > MOST or 2 * size > files.free_space(index.parent):
            return 0
        files.make_folder(index.parent)
        _make_room(index.parent, size)
        files.remove(index)  # first, so that no index ever stands beside pixels of another
        checksum = 0
        with files.replacing(index.with_suffix(_PIXELS), lasting=False) as file:
            for (_, _, pixels), known in zip(decoded, stamped, strict=True):
                some = pixels if all(known) else pixels[np.array(known, dtype=bool)]
                checksum = zlib.crc32(some, checksum)
                file.write(some.data)
        facts = {
            "version": VERSION,
            "count": len(paths),
            "shape": list(shape),
            "checksum": zlib.crc32(body),
            "pixels": checksum,
        }
        files.write(index, json.dumps(facts).encode() + b"\n" + body)
    except (OSError, FileError):
        return 0
    return size


def _place(catalog: Catalog, how: How) -> Path:
    """The index of what is kept of a source, read in one way."""
    from PIL import __version__

    key = repr((os.path.realpath(catalog.path), how.size, how.fit, VERSION, __version__))
    return cache_folder() / "decoded" / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:24]}{_INDEX}"


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _checksum(pixels: Any) -> int:
    checksum = 0
    for first in range(0, len(pixels), 4096):
        checksum = zlib.crc32(pixels[first : first + 4096], checksum)
    return checksum


def _make_room(folder: Path, size: int) -> None:
    """Remove what was used longest ago until so many bytes more are within what may be kept."""
    found = sorted(folder.glob(f"*{_PIXELS}"), key=lambda place: _used(place.with_suffix(_INDEX)))
    total = sum(place.stat().st_size for place in found)
    for place in found:
        if total + size <= MOST:
            return
        total -= place.stat().st_size
        with contextlib.suppress(FileError, OSError):
            files.remove(place.with_suffix(_INDEX))
            files.remove(place)


def _used(index: Path) -> float:
    try:
        return index.stat().st_mtime
    except OSError:
        return 0.0
