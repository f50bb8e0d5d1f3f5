"""Page cache: pages of stores elsewhere in files on this machine, up to a number of bytes.

The pages that were not used for the longest time are removed first. Several processes may share the folder: a page is
written under another name and then renamed, and whoever reads one checks it. A page that is lost is fetched again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from pathlib import Path

from ...base import files
from ...base.user_folders import cache_folder
from ...errors import SevenstepsError, UsageError

LIMIT = "SEVENSTEPS_PAGE_CACHE"

USUAL = 20 * 10**9  # bytes

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

_SHARE = 20  # the folder is measured again whenever one process has added a twentieth of the limit

_ABANDONED = 3600.0  # seconds after which a page that was never renamed belongs to a process that was killed


def limit_in(text: str) -> int:
    """Return the number of bytes in a text.

    Args:
        text: A number with a unit, such as "20 GB"; "" for the usual limit.

    Raises:
        UsageError: It is not one.

    >>> limit_in("1.5 GB"), limit_in("0")
    (1500000000, 0)
    """
    if not text.strip():
        return USUAL
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", text.strip().upper())
    if match is None or match[2] not in _UNITS:
        raise UsageError(f"{LIMIT} is {text!r}, but must be a number of bytes.", hint=f"{LIMIT}=20GB, or 0 for none.")
    return int(float(match[1]) * _UNITS[match[2]])


class PageCache:
    """The pages of one store.

    Args:
        name: What no other store has, such as a digest of its header.

    Raises:
        UsageError: The limit in the environment is not a number of bytes.
    """

    def __init__(self, name: str) -> None:
        self._root = cache_folder() / "stores" / "pages"
        self.folder = self._root / name
        self._limit = limit_in(os.environ.get(LIMIT, ""))
        self._room = 0  # bytes that may be added before the folder is measured again
        self._lock = threading.Lock()

    def get(self, page: str, size: int) -> bytes | None:
        """Return a page; None if it is not here.

        Args:
            page: Its name.
            size: Its size in bytes; no larger file is read.
        """
        path = self.folder / page
        try:
            content = files.content(path, size)
            os.utime(path)  # it was used last
        except OSError:
            return None
        return content

    def put(self, page: str, content: bytes) -> None:
        """Keep a page, and remove others if they take too much space; a page that cannot be written is not kept.

        Args:
            page: Its name.
            content: Its bytes.
        """
        if len(content) > self._limit:
            return
        with contextlib.suppress(SevenstepsError), files.replacing(self.folder / page, lasting=False) as file:
            file.write(content)
        self.added(len(content))

    def drop(self, page: str) -> None:
        """Remove a page that is damaged.

        Args:
            page: Its name.
        """
        with contextlib.suppress(SevenstepsError):
            files.remove(self.folder / page)

    def added(self, size: int) -> None:
        """Count what was written, and remove pages if they take too much space.

        Args:
            size: The bytes that were written.
        """
        with self._lock, contextlib.suppress(OSError, SevenstepsError):
            self._room -= size
            if self._room <= 0:
                total, limit = self._trim()
                self._room = min(limit - total, limit // _SHARE)

    def _trim(self) -> tuple[int, int]:
        """Remove the pages that were not used for the longest time; return the bytes that are left, and the limit."""
        pages, total, now = [], 0, time.time()
        for folder in self._root.iterdir():
            for entry in os.scandir(folder):
                with contextlib.suppress(OSError):  # another process may have removed it
                    status = entry.stat()
                    if not files.is_ours(entry.name):
                        pages.append((status.st_mtime_ns, status.st_size, entry.path))
                        total += status.st_size
                    elif now - status.st_mtime > _ABANDONED:
                        files.remove(Path(entry.path))
        limit = min(self._limit, (total + shutil.disk_usage(self._root).free) // 2)
        if total > limit - limit // _SHARE:  # leave room, so that the next page need not measure again
            for _, size, path in sorted(pages):
                if total <= limit - 2 * (limit // _SHARE):
                    break
                with contextlib.suppress(SevenstepsError):
                    files.remove(Path(path))
                    total -= size
        return total, limit
