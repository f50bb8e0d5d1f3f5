"""The only place that writes: a file is there whole or not at all, and a folder belongs to one process at a time.

A file is replaced by write, flush, fsync, rename, fsync of the folder, so that a reader sees the old bytes or the
new ones and a power cut loses nothing that was acknowledged. Every call that changes the disk is one of `os`, so that
`reliability/` can break off at each.
"""

from __future__ import annotations

import contextlib
import errno
import io
import mmap
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import FileError, RunError, SevenstepsError

LOCK = ".lock"
_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")


@contextlib.contextmanager
def replacing(path: Path, keep: Path | None = None, *, lasting: bool = True) -> Iterator[IO[bytes]]:
    """Open a file beside `path` for writing; it takes the place of `path` when the block ends without an error.

    What was at `path` goes to `keep` where that is given: between the two renames `keep` is all there is, and at every
    moment one of them is whole. What can be made again and carries a checksum need not be `lasting`: after a power cut
    it may be gone, or damaged.

    Raises:
        FileError: the folder cannot be written, the disk is full, or the name belongs to a folder.
    """
    with said_in_words(path):
        _make_folder(path.parent)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            try:
                with io.BufferedWriter(_Raw(descriptor), 1 << 20) as file:
                    yield file
                if lasting:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if keep is not None and path.exists():
                os.replace(path, keep)
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        if lasting:
            sync_folder(path.parent)


class _Raw(io.RawIOBase):
    """An open file as what `io.BufferedWriter` writes to; it is closed by whoever opened it, after the fsync."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return os.write(self._descriptor, content)


def write(path: Path, content: bytes | str, keep: Path | None = None) -> None:
    """Replace the file at `path` by `content` (text as UTF-8), atomically; see `replacing` for `keep`.

    Raises:
        FileError: see `replacing`.
    """
    with replacing(path, keep) as file:
        file.write(content.encode() if isinstance(content, str) else content)


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


def free_space(folder: Path) -> int:
    """Bytes that are free where this folder is, or is to be."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


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


def rename(path: Path, name: str) -> None:
    """Give the file at `path` another name in its folder, replacing what has it.

    Raises:
        FileError: it cannot be renamed.
    """
    with said_in_words(path):
        os.replace(path, path.with_name(name))
        sync_folder(path.parent)


def make_folder(path: Path) -> bool:
    """Make the folder and its parents where they are missing, so that they last through a power cut.

    Says whether this call made it: of several processes that try, one hears yes.

    Raises:
        FileError: it cannot be made.
    """
    with said_in_words(path):
        return _make_folder(path)


def _make_folder(path: Path) -> bool:
    made, missing = False, []
    while not path.exists():
        missing.append(path)
        path = path.parent
    if not path.is_dir():  # below a file nothing can be made; or a file stands where the folder should
        raise OSError(errno.ENOTDIR if missing else errno.EEXIST, "a file is in the way")
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
            made = folder is missing[0]
        except FileExistsError:  # another process was faster
            if not folder.is_dir():
                raise
        sync_folder(folder.parent)
    return made


def remove(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        FileError: it is there and cannot be removed.
    """
    with said_in_words(path), contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_parts(folder: Path) -> None:
    """Remove what writing left behind where it was cut off. The folder must be locked: a part may be another's work.

    Raises:
        FileError: one cannot be removed.
    """
    for path in sorted(folder.iterdir()):
        if _PART.fullmatch(path.name):
            remove(path)


def remove_parts_of(path: Path) -> None:
    """Remove what writing this one file left behind; nobody else may be writing it.

    Raises:
        FileError: it cannot be removed.
    """
    for other in path.parent.iterdir():
        if other.name.startswith(f".{path.name}.") and _PART.fullmatch(other.name):
            remove(other)


def is_ours(name: str) -> bool:
    """Whether a name in a folder is the lock, or what writing left behind: such a folder is as good as empty."""
    return name == LOCK or _PART.fullmatch(name) is not None


@contextlib.contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Inside, no other process has this folder; the system frees it when the process ends, however it ends.

    One that is in use is waited for, for so many seconds.

    Raises:
        RunError: another process has it.
        FileError: the folder cannot be written.
    """
    import filelock

    lock = filelock.FileLock(folder / LOCK, timeout=wait)
    with said_in_words(folder / LOCK):
        try:
            lock.acquire(poll_interval=0.02)
        except filelock.Timeout as error:
            raise RunError(
                f"{folder} is in use: another process trains or repairs this run.",
                hint="Wait until it is done, or stop it.",
            ) from error
    try:
        yield
    finally:
        lock.release()


def sync_folder(path: Path) -> None:
    """Make a rename inside `path` last through a power cut; Windows has no such call and needs none."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot, such as a network share
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def said_in_words(path: Path) -> Iterator[None]:
    """Turn an operating system's error about `path` into a FileError that says what to do.

    Raises:
        FileError: in the place of any OSError raised inside.
    """
    try:
        yield
    except SevenstepsError:  # some of ours are OSErrors too, and say better what happened
        raise
    except OSError as error:
        message, hint = _WORDS.get(error.errno or 0, (error.strerror or str(error), "Check the path and try again."))
        raise FileError(f"Cannot write {path}: {message}.", hint=hint) from error


_WORDS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or write elsewhere with --out; what was there is untouched."),
    errno.EDQUOT: ("your disk quota is used up", "Free some space, or write elsewhere with --out."),
    errno.EFBIG: ("the file is larger than this system allows", "Raise the limit (ulimit -f), or write elsewhere."),
    errno.EACCES: ("permission denied", "Choose a folder you may write to with --out."),
    errno.EPERM: ("permission denied", "Choose a folder you may write to with --out."),
    errno.EROFS: ("the file system is read-only", "Choose a folder you may write to with --out."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another folder with --out."),
    errno.EEXIST: ("a file stands where the folder should be", "Choose another folder with --out."),
    errno.EISDIR: ("a folder stands where the file should be", "Move it away, or choose another name."),
    errno.ELOOP: ("a link that leads nowhere stands in its place", "Remove that link."),
    errno.EIO: ("the disk reported an error", "Check the disk; what was there before is untouched."),
}
