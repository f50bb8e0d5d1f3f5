"""Opening: read the header of a store, check its tables, and remember which files were checked on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...base import files
from ...base.user_folders import cache_folder
from ...errors import DataError, SevenstepsError
from ...records.events import Check
from .layout import LARGEST_HEADER, MAGIC, Header, parsed

HINT = "Copy the file again, or prepare it again from its pictures: sevensteps prepare PICTURES"

_AT_ONCE = 1 << 24  # bytes read at once to check tables


def header_of(path: Path) -> tuple[Header, os.stat_result]:
    """Return the header of a store, checked against its checksum and the size of the file.

    Args:
        path: The file.

    Raises:
        DataError: The file is not a store, is damaged, or is cut off.
    """
    try:
        with files.regular(path, 1 << 60) as (file, size):
            status = os.fstat(file.fileno())
            beginning = file.read(len(MAGIC) + 8)
            length = int.from_bytes(beginning[len(MAGIC) :], "little")
            text = file.read(length) if length <= min(LARGEST_HEADER, size) else b""
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}).", hint="Check the path and its permissions."
        ) from error
    return checked_header(str(path), beginning, text, size), status


def checked_header(where: str, beginning: bytes, text: bytes, size: int) -> Header:
    """Return the header of a store, checked against its checksum and the size of the file.

    Args:
        where: The file or its address, for messages.
        beginning: The first 16 bytes.
        text: The bytes after them, as many as they say.
        size: The size of the file, in bytes.

    Raises:
        DataError: The file is not a store, is damaged, or is cut off.
    """
    if beginning[: len(MAGIC)] != MAGIC:
        raise DataError(f"{where}: this is not a store, or its beginning is damaged.", hint=HINT)
    header = parsed(text)
    if header is None:
        raise DataError(f"{where}: its header is damaged, or from another version of sevensteps.", hint=HINT)
    expected = header.places().size
    if size != expected:
        what = "cut off" if size < expected else "too long"
        raise DataError(f"{where}: it is {what}: {size:,} bytes, but {expected:,} were written.", hint=HINT)
    return header


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file without a buffer.

    Args:
        path: The file.

    Yields:
        The open file.

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


def checked_tables(file: Any, header: Header) -> list[Check]:
    """Check the tables (labels, rows, counts, checksums) of each split, and all names.

    Args:
        file: The open file.
        header: Its header.

    Returns:
        What was checked, and whether it is intact.
    """
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


def remember_checked(path: Path) -> None:
    """Record that this file is intact, so that opening it need not read all of it.

    If the record cannot be written, the file is checked again next time.

    Args:
        path: The store.
    """
    header, status = header_of(path)
    with contextlib.suppress(SevenstepsError):
        files.write(_note(path), json.dumps(_identity(header, status)))


def was_checked(path: Path, header: Header, status: os.stat_result) -> bool:
    """Return whether exactly this file was checked on this machine before.

    Args:
        path: The store.
        header: Its header.
        status: Its size, time of change and inode.
    """
    try:
        return bool(json.loads(_note(path).read_text("utf-8")) == _identity(header, status))
    except (OSError, ValueError, RecursionError):
        return False


def _identity(header: Header, status: os.stat_result) -> dict[str, Any]:
    """Return what tells this file from any other, and from itself after a change."""
    digest = hashlib.sha256(header.to_bytes()).hexdigest()
    return {"header": digest, "size": status.st_size, "changed": status.st_mtime_ns, "file": status.st_ino}


def _note(path: Path) -> Path:
    """Return where it is recorded that a store was checked."""
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    return cache_folder() / "stores" / "checked" / f"{name}.json"
