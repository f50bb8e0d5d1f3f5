"""Decoded pictures in the user's cache, so that the next start decodes only the files that have changed.

There are two cache files for each source and each way of reading it: the pixels, which are mapped into memory, and an
index of the picture files with their sizes and times. A picture file whose size or times have changed is decoded again.
The cache is optional: if it is missing, damaged or from another version, everything is decoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from ...base import files
from ...base.user_folders import cache_folder
from ...errors import FileError
from ..decode import Seen, Shape
from ..range_ends import BY_TYPE, Ends
from ..value_range import DEPTHS, Depth, Range
from .catalog import Catalog, File
from .how import How

VERSION = 2  # of the cache files and of the pixels that `decode` gives: raise it when either changes


MOST = 8 << 30  # bytes in the whole cache; the least recently used entries are removed first


_INDEX, _PIXELS = ".index", ".pixels"


Stamps = Int64[np.ndarray, "_ 3"]  # bytes, and when content and status last changed, in ns; -1: unknown


@dataclass(frozen=True)
class Kept:
    """Pictures that were decoded before: the path, stamp, header and pixels of each file, in the same order."""

    shape: Shape
    paths: Sequence[str]
    stamps: Stamps
    seen: Int64[np.ndarray, "n 3"]  # width, height, and 1 for gray plus 2 times the place of the depth in DEPTHS
    pixels: UInt8[np.ndarray, "n channels height width"]
    asked: Ends = BY_TYPE  # the range that was asked for, which is also how versions without ranges decoded
    values: Range | None = None  # the smallest and the largest value of the deep pictures

    def depths_of(self, rows: Int64[np.ndarray, " some"]) -> list[Depth | None]:
        """Return the depth of the file of each row; None for a row of -1.

        Args:
            rows: Rows of this record, or -1.
        """
        places = self.seen[rows, 2] >> 1
        return [DEPTHS[place] if row >= 0 else None for row, place in zip(rows.tolist(), places.tolist(), strict=True)]

    def rows_of(self, paths: Sequence[str], stamps: Stamps) -> Int64[np.ndarray, " files"]:
        """Return the row of each file that has not changed, -1 for the others.

        Args:
            paths: Paths of files.
            stamps: Their stamps now.
        """
        if paths == self.paths:
            rows = np.arange(len(paths), dtype=np.int64)
        else:
            places = {path: row for row, path in enumerate(self.paths)}
            rows = np.array([places.get(path, -1) for path in paths], dtype=np.int64)
        is_same = (rows >= 0) & (stamps[:, 0] >= 0)
        is_same[is_same] = (self.stamps[rows[is_same]] == stamps[is_same]).all(1)
        return np.where(is_same, rows, -1)

    def headers(self, rows: Int64[np.ndarray, " some"]) -> list[Seen]:
        """Return the header of the file of each row.

        Args:
            rows: Rows of this record.
        """
        values = [*map(tuple, self.seen[rows].tolist())]
        headers = {
            value: Seen(value[0], value[1], bool(value[2] & 1), DEPTHS[value[2] >> 1]) for value in set(values)
        }  # many are equal
        return [headers[value] for value in values]


def stamps_of(catalog: Catalog, files: Sequence[File]) -> Stamps:
    """Return the stamp of each file: its size and times, or those of the archive or table that holds it.

    Args:
        catalog: The catalog of the files.
        files: Files of the catalog.
    """
    stamps: list[tuple[int, int, int]] = []
    if catalog.holder_of is None:
        folder = os.path.join(os.fspath(catalog.base or catalog.path), "")
        stamps = [_stamp(folder + file.path) for file in files]
    else:
        holders = [catalog.holder(file.path) for file in files]
        stamp_of = {holder: _stamp(holder) for holder in set(holders)}
        stamps = [stamp_of[holder] for holder in holders]
    return np.array(stamps, dtype=np.int64).reshape(-1, 3)


def find_kept(catalog: Catalog, how: How) -> Kept | None:
    """Return the decoded pictures of a source in the cache; None if there are none, or they are damaged.

    Args:
        catalog: The source.
        how: How its picture files are read.
    """
    index = _place(catalog, how)
    try:
        head, _, body = index.read_bytes().partition(b"\n")
        facts = json.loads(head)
        count, shape = int(facts["count"]), tuple(map(int, facts["shape"]))
        asked, values = tuple(facts.get("asked", BY_TYPE)), Range.from_json(facts.get("values"))
        if facts["version"] != VERSION or zlib.crc32(body) != facts["checksum"]:
            return None
        numbers = np.frombuffer(body, dtype=np.int64, count=6 * count).reshape(2, count, 3)
        names = body[numbers.nbytes :].split(b"\0")
        place = index.with_suffix(_PIXELS)
        if len(names) != count or place.stat().st_size != count * int(np.prod(shape)):
            return None
        pixels = np.asarray(np.memmap(place, dtype=np.uint8, mode="c", shape=(count, *shape)))
        # A file that is not the very one that was written with the index is checked as a whole.
        if _identity(place) != facts["file"] and _checksum(pixels) != facts["pixels"]:
            return None
        os.utime(index)  # marks it as used now
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if numbers[1, :, 2].max(initial=0) >> 1 >= len(DEPTHS) or numbers[1, :, 2].min(initial=0) < 0:
        return None
    return Kept(shape, [*map(os.fsdecode, names)], numbers[0], numbers[1], pixels, asked, values)  # type: ignore[arg-type]


def keep(
    catalog: Catalog,
    how: How,
    shape: Shape,
    decoded: Sequence[tuple[Sequence[File], Stamps, Sequence[Seen], Any]],
    values: Range | None = None,
) -> int:
    """Write decoded pictures to the cache.

    Args:
        catalog: The source.
        how: How its picture files were read.
        shape: Channels, height and width of the pictures.
        decoded: The files of each split, with their stamps, headers and pixels.
        values: The smallest and the largest value of the deep pictures.

    Returns:
        The number of bytes written; 0 if the cache cannot be written or has too little room.
    """
    stamped = [stamps[:, 0] >= 0 for _, stamps, _, _ in decoded]
    all_paths = [file.path for of_split, _, _, _ in decoded for file in of_split]
    has_stamp = np.concatenate(stamped)
    paths = [path for path, is_known in zip(all_paths, has_stamp.tolist(), strict=True) if is_known]
    size = len(paths) * int(np.prod(shape))
    index = _place(catalog, how)
    seen = [
        (seen.width, seen.height, seen.is_grey + 2 * DEPTHS.index(seen.depth))
        for _, _, headers, _ in decoded
        for seen in headers
    ]
    stamps = np.concatenate([of_split for _, of_split, _, _ in decoded])
    numbers = np.stack([stamps, np.array(seen, dtype=np.int64).reshape(-1, 3)])[:, has_stamp]
    body = numbers.tobytes() + b"\0".join(map(os.fsencode, paths))
    try:
        if not paths or size > MOST or 2 * size > files.free_space(index.parent):
            return 0
        files.make_folder(index.parent)
        _make_room(index.parent, size)
        files.remove(index)  # first, so that an index never lies next to the pixels of another
        checksum = 0
        with files.replacing(index.with_suffix(_PIXELS), lasting=False) as file:
            for (_, _, _, pixels), is_known in zip(decoded, stamped, strict=True):
                part = pixels if is_known.all() else pixels[is_known]
                checksum = zlib.crc32(part, checksum)
                file.write(part.data)
        facts = {
            "version": VERSION,
            "count": len(paths),
            "shape": list(shape),
            "asked": list(how.range),
            "values": values and values.as_json(),
            "checksum": zlib.crc32(body),
            "pixels": checksum,
            "file": _identity(index.with_suffix(_PIXELS)),
        }
        files.write(index, json.dumps(facts).encode() + b"\n" + body)
    except (OSError, FileError):
        return 0
    return size


def _place(catalog: Catalog, how: How) -> Path:
    """Return the path of the index for a source and a way of reading it."""
    from PIL import __version__

    column = (catalog.column,) if catalog.column else ()  # another column of the same file holds other pictures
    key = repr((os.path.realpath(catalog.path), how.size, how.fit, VERSION, __version__, *column))
    return cache_folder() / "decoded" / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:24]}{_INDEX}"


def _stamp(path: str) -> tuple[int, int, int]:
    """Return size, time of the last change of content and of status of a file; -1 for each if it is not accessible."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1, -1, -1
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _identity(place: Path) -> list[int]:
    """Return numbers that differ for another file, and for the same file after a change."""
    status = os.stat(place)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _checksum(pixels: Any) -> int:
    """Return the CRC of pixels, read in parts."""
    checksum = 0
    for first in range(0, len(pixels), 4096):
        checksum = zlib.crc32(pixels[first : first + 4096], checksum)
    return checksum


def _make_room(folder: Path, size: int) -> None:
    """Remove the least recently used entries until `size` more bytes fit."""
    places = sorted(folder.glob(f"*{_PIXELS}"), key=lambda place: _used(place.with_suffix(_INDEX)))
    total = sum(place.stat().st_size for place in places)
    for place in places:
        if total + size <= MOST:
            return
        total -= place.stat().st_size
        with contextlib.suppress(FileError, OSError):
            files.remove(place.with_suffix(_INDEX))
            files.remove(place)


def _used(index: Path) -> float:
    """Return when an entry was last used; 0 if that is unknown."""
    try:
        return index.stat().st_mtime
    except OSError:
        return 0.0
