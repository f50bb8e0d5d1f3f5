"""The only place that writes files: each is complete or absent, and a folder belongs to one process at a time.

A file is replaced by write, flush, fsync, rename, and fsync of the folder. So a reader sees either the old or the new
bytes, and a power cut loses nothing that was acknowledged. Every call that changes the disk is a function of `os`, so
that `reliability/` can interrupt each of them.
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
import tempfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, BinaryIO

from ..errors import FileError, RunError, SevenstepsError, TakenError

LOCK = ".lock"


_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")


@contextlib.contextmanager
def replacing(
    path: Path, keep: Path | None = None, *, lasting: bool = True, is_new: bool = False
) -> Iterator[IO[bytes]]:
    """Open a temporary file for writing, which replaces `path` if the context ends without an error.

    Args:
        path: The file to write; missing folders are created.
        keep: Where the old file goes, if given. Between the two renames only `keep` exists; at every moment one of
            the two is complete.
        lasting: Whether the file must survive a power cut. A file that can be rebuilt and has a checksum need not.
        is_new: Whether no file of this name may be replaced, not even one that appears in the meantime.

    Yields:
        The open file.

    Raises:
        TakenError: There is such a file, and none may be replaced.
        FileError: The folder cannot be written, the disk is full, or a folder has this name.
    """
    with said_in_words(path):
        if not path.name:  # "." or "/"
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
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
            (_rename_to_new if is_new else os.replace)(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        if lasting:
            sync_folder(path.parent)


def _rename_to_new(part: Path, path: Path) -> None:
    """Rename a file unless another one has this name, also if two processes try at once."""
    try:
        try:
            os.link(part, path)
            os.unlink(part)
        except FileExistsError:
            raise
        except OSError:  # some disks have no links; an empty file keeps the name until the rename
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            os.replace(part, path)
    except FileExistsError as error:
        raise TakenError(f"{path} exists already.", hint="Choose another name.") from error


class _Raw(io.RawIOBase):
    """An open file for `io.BufferedWriter`; the code that opened it closes it, after the fsync."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def sync(self) -> None:
        """Wait until what was written is on the disk. A `fileno` would let NumPy write past this class, and fail."""
        os.fsync(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return os.write(self._descriptor, content)


def write(path: Path, content: bytes | str, keep: Path | None = None) -> None:
    """Write a file atomically.

    Args:
        path: The file; missing folders are created.
        content: Bytes, or text that is written as UTF-8.
        keep: Where the old file goes, if given; see `replacing`.

    Raises:
        FileError: The folder cannot be written, the disk is full, or a folder has this name.
    """
    with replacing(path, keep) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_together(contents: Mapping[Path, bytes | str]) -> None:
    """Write several files that belong together: none gets its name before all are complete on the disk.

    Args:
        contents: Bytes or text of each file, in the order in which they get their names; see `write`.

    Raises:
        FileError: One cannot be written; then none was replaced, unless a name could not be given.
    """
    with contextlib.ExitStack() as stack:  # which ends with the file that it began with
        for path, content in reversed([*contents.items()]):
            file: Any = stack.enter_context(replacing(path))
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            file.raw.sync()


def free_space(folder: Path) -> int:
    """Return the number of free bytes on the disk of a folder.

    Args:
        folder: A folder, which need not exist yet.
    """
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(existing).free


def rename(path: Path, name: str) -> None:
    """Rename a file in its folder.

    Args:
        path: The file.
        name: The new name; a file with this name is replaced.

    Raises:
        FileError: It cannot be renamed.
    """
    with said_in_words(path):
        os.replace(path, path.with_name(name))
        sync_folder(path.parent)


def make_folder(path: Path) -> bool:
    """Create a folder and its missing parents, so that they survive a power cut.

    Args:
        path: The folder.

    Returns:
        Whether this call created it: if several processes try, only one gets True.

    Raises:
        FileError: It cannot be created.
    """
    with said_in_words(path):
        return _make_folder(path)


def _make_folder(path: Path) -> bool:
    """Do what `make_folder` does, and raise OSError."""
    created, missing = False, []
    while not path.exists():
        missing.append(path)
        path = path.parent
    if not path.is_dir():  # a file is at this path or above it
        raise OSError(errno.ENOTDIR if missing else errno.EEXIST, "a file is in the way")
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
            created = folder is missing[0]
        except FileExistsError:  # another process was faster
            if not folder.is_dir():
                raise
        sync_folder(folder.parent)
    return created


def remove(path: Path) -> None:
    """Remove a file if it exists.

    Args:
        path: The file.

    Raises:
        FileError: It cannot be removed.
    """
    with said_in_words(path), contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_parts(folder: Path) -> None:
    """Remove the temporary files of interrupted writes.

    Args:
        folder: A folder that is locked: otherwise another process may be writing one of them.

    Raises:
        FileError: One cannot be removed.
    """
    for path in sorted(folder.iterdir()):
        if _PART.fullmatch(path.name):
            remove(path)


def remove_parts_of(path: Path) -> None:
    """Remove the temporary files of interrupted writes of one file.

    Args:
        path: The file, which no other process may be writing.

    Raises:
        FileError: One cannot be removed.
    """
    for other in path.parent.iterdir():
        if other.name.startswith(f".{path.name}.") and _PART.fullmatch(other.name):
            remove(other)


def is_ours(name: str) -> bool:
    """Return whether a name is the lock or a temporary file; a folder with nothing else counts as empty.

    Args:
        name: The name of a file.
    """
    return name == LOCK or _PART.fullmatch(name) is not None


@contextlib.contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Lock a folder against other processes; the system releases it however this process ends.

    Args:
        folder: The folder.
        wait: How many seconds to wait while another process has it.

    Yields:
        Nothing.

    Raises:
        RunError: Another process has it.
        FileError: The folder cannot be written.
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
    """Make a rename inside a folder survive a power cut; Windows has no such call and needs none.

    Args:
        path: The folder.

    Raises:
        OSError: The disk reports an error.
    """
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported, on a network share for example
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def said_in_words(path: Path) -> Iterator[None]:
    """Turn an OSError raised inside the context into a FileError that says what to do.

    Args:
        path: The file or folder to name.

    Yields:
        Nothing.

    Raises:
        FileError: In place of any OSError.
    """
    try:
        yield
    except SevenstepsError:  # some of our errors are OSErrors too, and explain better what happened
        raise
    except OSError as error:
        message, hint = _WORDS.get(error.errno or 0, (error.strerror or str(error), "Check the path and try again."))
        raise FileError(f"Cannot write {path}: {message}.", hint=hint) from error


_WORDS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or write elsewhere; what was there is untouched."),
    errno.EDQUOT: ("your disk quota is used up", "Free some space, or write elsewhere."),
    errno.EFBIG: ("the file is larger than this system allows", "Raise the limit (ulimit -f), or write elsewhere."),
    errno.EACCES: ("permission denied", "Choose a folder that you may write to."),
    errno.EPERM: ("permission denied", "Choose a folder that you may write to."),
    errno.EROFS: ("the file system is read-only", "Choose a folder that you may write to."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another folder."),
    errno.EEXIST: ("a file stands where the folder should be", "Choose another folder."),
    errno.EISDIR: ("a folder stands where the file should be", "Move it away, or choose another name."),
    errno.ELOOP: ("a link that leads nowhere stands in its place", "Remove that link."),
    errno.EIO: ("the disk reported an error", "Check the disk; what was there before is untouched."),
}


def content(path: str | Path, largest: int) -> bytes:
    """Read a regular file, as `regular` opens it, in half of the time for a small one.

    Args:
        path: The file.
        largest: The largest size that is read, in bytes.

    Raises:
        OSError: As `regular`.
    """
    _check(_status(path), path, largest)
    with io.FileIO(path) as file:
        status = os.fstat(file.fileno())
        _check(status, path, largest)
        parts, missing = [], status.st_size
        while missing and (part := file.read(missing)):  # a read may end early
            parts.append(part)
            missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _status(path: str | Path) -> os.stat_result:
    """Return the status of a file; a name that contains a null byte raises OSError, too."""
    try:
        return os.stat(path)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(path)) from error


@contextlib.contextmanager
def regular(path: Path, largest: int) -> Iterator[tuple[BufferedReader, int]]:
    """Open a regular file for reading.

    Opening a pipe waits for a writer, and some devices never end. So the kind of file is checked before it is opened,
    and again afterward.

    Args:
        path: The file.
        largest: The largest size that is read, in bytes.

    Yields:
        The open file and its size in bytes.

    Raises:
        OSError: It cannot be opened, is not a regular file, or is too large; `strerror` has the reason.
    """
    _check(_status(path), path, largest)
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        _check(status, path, largest)
        yield file, status.st_size


def _check(status: os.stat_result, path: str | Path, largest: int) -> None:
    """Raise OSError unless the status is that of a regular file of at most `largest` bytes."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    if status.st_size > largest:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, and at most {largest:,} are read", str(path))


def scratch() -> BinaryIO:
    """Return an open file without a name, for what need not be in memory; it is gone when it is closed.

    Raises:
        OSError: No folder for temporary files can be written.
    """
    return tempfile.TemporaryFile()
