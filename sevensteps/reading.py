"""Open a file that may be anything: a pipe or a device is refused before it is waited for, and so is a giant."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path


@contextlib.contextmanager
def regular(path: Path, largest: int) -> Iterator[tuple[BufferedReader, int]]:
    """The open file and its size in bytes, which is `largest` at most.

    Opening a pipe waits for a writer, and some devices never end; so what it is comes before the opening, and once
    more after it.

    Raises:
        OSError: as `open`, with the reason in `strerror`; or it is no regular file, or too large.
    """
    try:
        status = os.stat(path)
    except ValueError as error:  # a name with a zero in it
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    _check(status, path, largest)
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        _check(status, path, largest)
        yield file, status.st_size


def _check(status: os.stat_result, path: Path, largest: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    if status.st_size > largest:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, and at most {largest:,} are read", str(path))
