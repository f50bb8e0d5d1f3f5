"""A large file that is written over time and kept when the work is interrupted, and files read as memory."""

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
    """A file that is written in pieces, at any place, by one call or by several after each other; see `under_way`."""

    def __init__(self, path: Path, part: Path, descriptor: int) -> None:
        self.path = path
        self._part, self._descriptor, self._open = part, descriptor, True
        self._reader = io.FileIO(descriptor, closefd=False)

    @property
    def number(self) -> int:
        """What tells this file from another that took its place."""
        return os.fstat(self._descriptor).st_ino

    def clear(self) -> None:
        """Empty the file."""
        os.ftruncate(self._descriptor, 0)

    def write(self, offset: int, content: Any) -> None:
        """Put these bytes at this place; the file grows as it must."""
        view = memoryview(content).cast("B")
        while len(view):
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            count = os.write(self._descriptor, view)
            view, offset = view[count:], offset + count

    def read_into(self, offset: int, buffer: Any) -> None:
        """Fill the buffer with what is at this place.

        Raises:
            FileError: there is less.
        """
        if not read_at(self._reader, offset, buffer):
            raise FileError(f"{self._part} is shorter than it was.", hint="Remove it and begin again.")

    def sync(self) -> None:
        """Make what was written last through a power cut."""
        os.fsync(self._descriptor)

    def finish(self, size: int) -> None:
        """Cut the file to its size and give it its name: it is there whole from now on."""
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        self.close()
        os.replace(self._part, self.path)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Let go of the file, as far as it is written."""
        if self._open:
            self._open = False
            os.close(self._descriptor)


@contextlib.contextmanager
def under_way(path: Path) -> Iterator[UnderWay]:
    """Open the beginnings of `path`, as an earlier call left them or empty, for this process alone.

    They are in `.NAME.part` beside it, and stay there however the block ends, until `finish` is called inside.

    Raises:
        FileError: the folder cannot be written, the disk is full, or another process is at it.
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
            found = UnderWay(path, part, os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666))
            try:
                yield found
            finally:
                found.close()
        finally:
            with contextlib.suppress(OSError):
                os.unlink(lock.lock_file)
            lock.release()


def size_under_way(path: Path) -> int:
    """Bytes of the disk that the beginnings of `path` take up; a file with holes takes less than it is long."""
    try:
        status = os.stat(path.with_name(f".{path.name}.part"))
    except OSError:
        return 0
    return 512 * status.st_blocks if hasattr(status, "st_blocks") else status.st_size


def read_at(file: io.FileIO, offset: int, buffer: Any) -> bool:
    """Fill the buffer with what is at this place of an open file; no if the file ends before it is full."""
    view = memoryview(buffer).cast("B")
    file.seek(offset)
    while len(view):
        count = file.readinto(view)
        if not count:
            return False
        view = view[count:]
    return True


def will_need(file: io.FileIO, offset: int, size: int) -> None:
    """Tell the system that this part of a file is read next; where it takes no advice, nothing happens."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)


def mapped(file: io.FileIO) -> mmap.mmap:
    """An open file as memory that is read when it is touched; what is written to it reaches the file never.

    The system reserves nothing for what might be written, so that the file may be larger than the memory.
    """
    if os.name != "posix":
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
    return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | no_reserve, prot=mmap.PROT_READ | mmap.PROT_WRITE)
