"""Write a large file over time and keep it if the work is interrupted; read files as memory."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import FileError
from .files import _make_folder, said_in_words, sync_folder


class UnderWay:
    """A file that is written in pieces, at any offset, by one process or by several in turn; see `under_way`.

    Args:
        path: The name that the finished file gets.
        part: The name until then.
        descriptor: The open file.
    """

    def __init__(self, path: Path, part: Path, descriptor: int) -> None:
        self.path = path
        self._part, self._descriptor, self._open = part, descriptor, True
        self._reader = io.FileIO(descriptor, closefd=False)

    @property
    def number(self) -> int:
        """The inode, which tells this file from another that replaced it."""
        return os.fstat(self._descriptor).st_ino

    def clear(self) -> None:
        """Empty the file."""
        os.ftruncate(self._descriptor, 0)

    def write(self, offset: int, content: Any) -> None:
        """Write bytes at an offset; the file grows as needed.

        Args:
            offset: Where to write, in bytes.
            content: Anything with a buffer of bytes.
        """
        view = memoryview(content).cast("B")
        while len(view):
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            count = os.write(self._descriptor, view)
            view, offset = view[count:], offset + count

    def read_into(self, offset: int, buffer: Any) -> None:
        """Fill a buffer from an offset.

        Args:
            offset: Where to read, in bytes.
            buffer: Anything with a writable buffer.

        Raises:
            FileError: The file ends before the buffer is full.
        """
        if not read_at(self._reader, offset, buffer):
            raise FileError(f"{self._part} is shorter than it was.", hint="Remove it and start again.")

    def sync(self) -> None:
        """Make what was written so far survive a power cut."""
        os.fsync(self._descriptor)

    def finish(self, size: int) -> None:
        """Cut the file to its size and give it its final name.

        Args:
            size: The size in bytes.
        """
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        self.close()
        os.replace(self._part, self.path)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Close the file, as far as it is written."""
        if self._open:
            self._open = False
            os.close(self._descriptor)


@contextlib.contextmanager
def under_way(path: Path) -> Iterator[UnderWay]:
    """Open an unfinished file for this process alone, as an earlier call left it, or empty.

    Its name is `.NAME.part`, in the same folder. It stays there however the context ends, until `finish` is called.

    Args:
        path: The name that the finished file gets.

    Yields:
        The unfinished file.

    Raises:
        FileError: The folder cannot be written, the disk is full, or another process is writing the file.
    """
    import filelock

    part, lock = path.with_name(f".{path.name}.part"), filelock.FileLock(path.with_name(f".{path.name}.lock"))
    with said_in_words(path):
        _make_folder(path.parent)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise FileError(
                f"{path} is being written by another process.", hint="Wait until it is done, or stop it."
            ) from error
        try:
            file = UnderWay(path, part, os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666))
            try:
                yield file
            finally:
                file.close()
        finally:
            with contextlib.suppress(OSError):
                os.unlink(lock.lock_file)
            lock.release()


def size_under_way(path: Path) -> int:
    """Return the bytes that an unfinished file takes up on the disk; with holes, they are fewer than its length.

    Args:
        path: The name that the finished file gets.

    Returns:
        The bytes; 0 if nothing was written yet.
    """
    try:
        status = os.stat(path.with_name(f".{path.name}.part"))
    except OSError:
        return 0
    return 512 * status.st_blocks if hasattr(status, "st_blocks") else status.st_size


def read_at(file: io.FileIO, offset: int, buffer: Any) -> bool:
    """Fill a buffer from an offset of an open file.

    Args:
        file: The file.
        offset: Where to read, in bytes.
        buffer: Anything with a writable buffer.

    Returns:
        Whether the buffer is full; False if the file ended first.
    """
    view = memoryview(buffer).cast("B")
    file.seek(offset)
    while len(view):
        count = file.readinto(view)
        if not count:
            return False
        view = view[count:]
    return True


def will_need(file: io.FileIO, offset: int, size: int) -> None:
    """Tell the system that a part of a file is read next; a system that takes no advice does nothing.

    Args:
        file: The file.
        offset: Where the part begins, in bytes.
        size: Its length in bytes.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)


def mapped(file: io.FileIO) -> mmap.mmap:
    """Map an open file into memory: it is read when it is touched, and writing never changes the file.

    The system reserves nothing for what might be written, so that the file may be larger than the memory.

    Args:
        file: The file, which must not be empty.

    Returns:
        The mapping.
    """
    if os.name != "posix":
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
    return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | no_reserve, prot=mmap.PROT_READ | mmap.PROT_WRITE)
