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
from .catalog import Catalog, File
from .how import How

VERSION = 2  # of the files, and of what `decode` makes of a picture: raise it when either changes


MOST = 8 << 30  # bytes of all that is kept; what was used longest ago goes first


_INDEX, _PIXELS = ".index", ".pixels"


Stamps = Int64[np.ndarray, "n 3"]  # bytes, and nanoseconds of the last change of content and of anything; -1: unknown


@dataclass(frozen=True)
class Kept:
    """What was decoded before: of each file its path, its stamp, its header and its pixels, in the same order."""

    shape: Shape
    paths: Sequence[str]
    stamps: Stamps
    seen: Int64[np.ndarray, "n 3"]
    pixels: UInt8[np.ndarray, "n channels height width"]

    def rows_of(self, paths: Sequence[str], stamps: Stamps) -> Int64[np.ndarray, " files"]:
        """The row of each file that is as it was, -1 for the others."""
        if paths == self.paths:
            rows = np.arange(len(paths), dtype=np.int64)
        else:
            places = {path: row for row, path in enumerate(self.paths)}
            rows = np.array([places.get(path, -1) for path in paths], dtype=np.int64)
        is_same = (rows >= 0) & (stamps[:, 0] >= 0)
        is_same[is_same] = (self.stamps[rows[is_same]] == stamps[is_same]).all(1)
        return np.where(is_same, rows, -1)

    def headers(self, rows: Int64[np.ndarray, " some"]) -> list[Seen]:
        """What the headers of the files said."""
        said = [*map(tuple, self.seen[rows].tolist())]
        made = {one: Seen(one[0], one[1], bool(one[2])) for one in set(said)}  # many say the same
        return [made[one] for one in said]


def stamps_of(catalog: Catalog, files: Sequence[File]) -> Stamps:
    """The stamp of each file."""
    found: list[tuple[int, int, int]] = []
    if catalog.holder_of is None:
        folder = os.path.join(os.fspath(catalog.base or catalog.path), "")
        found = [_stamp(folder + file.path) for file in files]
    else:
        holders = [catalog.holder(file.path) for file in files]
        known = {holder: _stamp(holder) for holder in set(holders)}
        found = [known[holder] for holder in holders]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


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
        # Unless it is the very file that was written then, all of it is read once more.
        if _identity(place) != facts["file"] and _checksum(pixels) != facts["pixels"]:
            return None
        os.utime(index)  # used now
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Kept(shape, [*map(os.fsdecode, names)], numbers[0], numbers[1], pixels)  # type: ignore[arg-type]


def keep(
    catalog: Catalog,
    how: How,
    shape: Shape,
    decoded: Sequence[tuple[Sequence[File], Stamps, Sequence[Seen], Any]],
) -> int:
    """Keep what was decoded: of each split its files, their stamps and headers and their pixels. Gives the bytes kept.

    Where the cache cannot be written, or has too little room, nothing is kept.
    """
    stamped = [stamps[:, 0] >= 0 for _, stamps, _, _ in decoded]
    known = [file.path for of_split, _, _, _ in decoded for file in of_split]
    everyone = np.concatenate(stamped)
    paths = [path for path, is_known in zip(known, everyone.tolist(), strict=True) if is_known]
    size = len(paths) * int(np.prod(shape))
    index = _place(catalog, how)
    seen = [(one.width, one.height, one.is_grey) for _, _, headers, _ in decoded for one in headers]
    stamps = np.concatenate([of_split for _, of_split, _, _ in decoded])
    numbers = np.stack([stamps, np.array(seen, dtype=np.int64).reshape(-1, 3)])[:, everyone]
    body = numbers.tobytes() + b"\0".join(map(os.fsencode, paths))
    try:
        if not paths or size > MOST or 2 * size > files.free_space(index.parent):
            return 0
        files.make_folder(index.parent)
        _make_room(index.parent, size)
        files.remove(index)  # first, so that no index ever stands beside pixels of another
        checksum = 0
        with files.replacing(index.with_suffix(_PIXELS), lasting=False) as file:
            for (_, _, _, pixels), is_known in zip(decoded, stamped, strict=True):
                some = pixels if is_known.all() else pixels[is_known]
                checksum = zlib.crc32(some, checksum)
                file.write(some.data)
        facts = {
            "version": VERSION,
            "count": len(paths),
            "shape": list(shape),
            "checksum": zlib.crc32(body),
            "pixels": checksum,
            "file": _identity(index.with_suffix(_PIXELS)),
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


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1, -1, -1
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _identity(place: Path) -> list[int]:
    """What tells this very file from another, and from itself after a change."""
    status = os.stat(place)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


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
