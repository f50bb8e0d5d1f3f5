"""Stores elsewhere: open, check and write a store at an address, such as `s3://bucket/digits.store`.

What stands before the pixels (header, tables and names) is fetched once into the page cache and read there, with the
same checks as in a file. Pages of pixels are fetched when they are needed; see `far_blocks`. The name of a store in the
cache is a digest of its header, which holds the SHA-256 of everything in it: a store that is replaced has another.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

from ...base import files
from ...base.addresses import name_in
from ...errors import DataError, FileError, UsageError
from ...records.events import Check
from ..images import Splits
from .blocks import Blocks
from .far_blocks import TOGETHER, FarBlocks
from .layout import LARGEST_HEADER, MAGIC, Header
from .link import Link
from .opening import HINT, checked_header, checked_tables, opened
from .page_cache import PageCache
from .store import Progress, counts_in, in_words, named_splits, splits_in

_FIRST = 1 << 16  # bytes of the first request, which hold the header of most stores

_PIECE = 1 << 22  # bytes of tables and names that are fetched at once

_HEAD = "head"  # the file in the cache that holds all before the pixels


def open_store_at(address: str, say: Callable[[str], None] = lambda line: None) -> Splits:
    """Open a store at an address without fetching its pictures.

    Args:
        address: The address, without secrets.
        say: Called with a line about what is fetched first.

    Returns:
        The splits.

    Raises:
        UsageError: The address is not valid, or a package for it is missing.
        DataError: There is no store, or it is damaged.
        DownloadError: It cannot be read.
    """
    link, header, cache = _found(address)
    for _ in range(2):
        with opened(_head(link, header, cache, say)) as file:
            damage = [check for check in checked_tables(file, header) if not check.passed]
            if not damage:
                splits = splits_in(cache.folder / _HEAD, file, header, functools.partial(_far, link, cache))
                # Counted when it is mapped: it may be removed at once if the limit is smaller.
                cache.added(_size_of_head(header))
                return splits
        cache.drop(_HEAD)  # damaged in the cache, or on its way here
    raise DataError(f"{address}: {damage[0].name} {damage[0].line}.", hint=HINT)


def shape_at(address: str) -> tuple[int, int, int]:
    """Return channels, height and width of the pictures of a store at an address, from its header alone.

    Args:
        address: The address, without secrets.

    Raises:
        UsageError, DataError, DownloadError: As `open_store_at`.
    """
    return _found(address)[1].shape


def verify_store_at(address: str, progress: Progress = lambda done, total: None) -> list[Check]:
    """Check a whole store at an address against its checksums; every page is fetched.

    Args:
        address: The address, without secrets.
        progress: Called with the bytes that are done, and the bytes in all.

    Returns:
        What was checked, and whether it is intact.

    Raises:
        UsageError, DownloadError: As `open_store_at`.
    """
    try:
        link, header, _ = _found(address)
        splits = open_store_at(address)
    except DataError as error:
        return [Check(name_in(address), False, error.message.removeprefix(f"{address}: "))]
    size = header.places().size
    checks = [Check("header and size", True, f"{in_words(size)}, {', '.join(counts_in(header))}")]
    checks.append(Check("labels and names", True, "intact"))
    done = 0
    for name, images in named_splits(splits):
        assert isinstance(images.blocks, FarBlocks)
        digest = hashlib.sha256(repr((images.pixels.shape, images.classes)).encode())
        digest.update(images.labels.data)
        try:
            for first in range(0, len(images.blocks.checksums), TOGETHER):
                last = min(first + TOGETHER, len(images.blocks.checksums))
                for page in images.blocks.fetched(range(first, last), keep=False):
                    digest.update(page)
                    done += len(page)
                progress(done, size)
        except DataError as error:
            checks.append(Check(f"pixels of {name}", False, error.message.removeprefix(f"{link.address}: ")))
            continue
        same = digest.hexdigest() == images.fingerprint
        checks.append(Check(f"pixels of {name}", True, "intact"))
        checks.append(Check(f"fingerprint of {name}", same, "the same" if same else "differs"))
    return checks


def writable(address: str) -> Link:
    """Return the link to an address where a store may be written.

    Args:
        address: The address, without secrets.

    Raises:
        UsageError: It has no name, or is on the web, which takes no files.
        FileError: There is a file already.
    """
    link = Link(address)
    if link.protocol in ("http", "https"):
        raise UsageError(
            f"{address}: web addresses cannot be written to.", hint="Write to s3://bucket/name.store, or to a file."
        )
    if not name_in(address):
        raise UsageError(f"{address} does not name a file.", hint="s3://bucket/name.store")
    link.refuse_existing()
    return link


def upload(path: Path, link: Link) -> None:
    """Copy a finished store to an address, and remove it here.

    Args:
        path: The store.
        link: Where it goes.

    Raises:
        FileError: It cannot be written; the store stays here.
    """
    size = path.stat().st_size
    try:
        link.upload(path, size)
    except FileError as error:
        error.hint = f"The finished store is kept: run the same command again, or copy {path} yourself."
        raise
    files.remove(path)


def _found(address: str) -> tuple[Link, Header, PageCache]:
    """Return the link to a store, its header and its cache."""
    link = Link(address)
    content, size = link.beginning(_FIRST)
    beginning = content[: len(MAGIC) + 8]
    length = int.from_bytes(beginning[len(MAGIC) :], "little")
    if beginning[: len(MAGIC)] == MAGIC and len(beginning) + length > len(content) and length <= LARGEST_HEADER:
        content, size = link.beginning(len(beginning) + length)
    header = checked_header(address, beginning, content[len(beginning) : len(beginning) + length], size)
    return link, header, PageCache(hashlib.sha256(header.to_bytes()).hexdigest()[:32])


def _size_of_head(header: Header) -> int:
    """Return the bytes before the first pixel."""
    return min(header.places().pixels.values())


def _head(link: Link, header: Header, cache: PageCache, say: Callable[[str], None]) -> Path:
    """Return the file with all that stands before the pixels; fetch it if it is not in the cache."""
    path, size = cache.folder / _HEAD, _size_of_head(header)
    with contextlib.suppress(OSError):
        if path.stat().st_size == size:
            return path
    say(f"Fetching {in_words(size)} of {link.address}: labels and names")
    try:
        with files.replacing(path, lasting=False) as file:
            for first in range(0, size, _PIECE):
                piece = (first, min(first + _PIECE, size))
                file.write(link.ranges([piece], ["labels and names"], lambda place, content: True)[0])
    except FileError as error:
        error.hint = "Set SEVENSTEPS_CACHE to a folder with space where you may write."
        raise
    return path


def _far(link: Link, cache: PageCache, split: str, blocks: Blocks) -> FarBlocks:
    """Return the blocks of a split whose pixels are at the address."""
    return FarBlocks(
        blocks.path,
        blocks.offset,
        blocks.shape,
        blocks.labels,
        blocks.rows,
        blocks.checksums,
        link=link,
        cache=cache,
        split=split,
    )
