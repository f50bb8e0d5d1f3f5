"""The only place that writes a file: whole or not at all.

A file is replaced by write, flush, fsync, rename, fsync of the folder, so that a reader sees the old bytes or the
new ones and a power cut loses nothing that was acknowledged.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import FileError, SevenstepsError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing; it takes the place of `path` when the block ends without an error.

    Raises:
        FileError: the folder cannot be written, the disk is full, or the name belongs to a folder.
    """
    with said_in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        sync_folder(path.parent)


def write(path: Path, content: bytes | str) -> None:
    """Replace the file at `path` by `content` (text as UTF-8), atomically.

    Raises:
        FileError: see `replacing`.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def make_folder(path: Path) -> None:
    """Make the folder and its parents, and find out now, not after training, that it cannot be written.

    Raises:
        FileError: it cannot be made, or nothing can be written into it.
    """
    with said_in_words(path):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass


def remove(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        FileError: it is there and cannot be removed.
    """
    with said_in_words(path):
        path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make a rename inside `path` last through a power cut; Windows has no such call and needs none."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
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
    errno.EISDIR: ("a folder stands where the file should be", "Choose another name."),
    errno.EIO: ("the disk reported an error", "Check the disk; what was there before is untouched."),
}


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
