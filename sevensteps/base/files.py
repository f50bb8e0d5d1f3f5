"""The only place that writes: a file is there whole or not at all, and a folder belongs to one process at a time.

A file is replaced by write, flush, fsync, rename, fsync of the folder, so that a reader sees the old bytes or the
new ones and a power cut loses nothing that was acknowledged. Every call that changes the disk is one of `os`, so that
`reliability/` can break off at each.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from ..errors import FileError, RunError, SevenstepsError

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


def free_space(folder: Path) -> int:
    """Bytes that are free where this folder is, or is to be."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


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
