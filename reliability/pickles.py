"""Check that no pickle is read or written: watch what Python loads, and recognize files that are or contain one.

Nothing that sevensteps writes or reads can run code. `watch` sees a pickle while it is read, by whatever library;
`scan` sees one in a file, whatever its name: by its first bytes, in archives as PyTorch and NumPy write them, and
compressed as joblib does. A test of the reliability suite runs both over whole runs.
"""

from __future__ import annotations

import bz2
import io
import lzma
import pickletools
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

MOST = 256 << 20  # bytes of decompressed data that are examined
DEEPEST = 4  # levels of archives inside archives


@dataclass(frozen=True)
class Offender:
    """A file that is code to the program that loads it, or contains such code."""

    path: Path
    why: str


def watch() -> list[str]:
    """Record from now on every class that a pickle requests, and all bytecode that is not loaded by import.

    Python cannot remove such a hook, so use a process of its own.

    Returns:
        The records, a list that keeps growing.
    """
    seen: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class":
            seen.append(f"pickle.find_class {'.'.join(map(str, arguments))} ({_caller()})")
        elif event in ("marshal.load", "marshal.loads") and not _caller().startswith("<frozen "):
            seen.append(f"{event} ({_caller()})")

    sys.addaudithook(hook)
    return seen


def _caller() -> str:
    """Return the file and line that caused an event; those of the import system are called `<frozen …>`."""
    frame: FrameType | None = sys._getframe(2)
    while frame and Path(frame.f_code.co_filename).name in ("pickle.py", "pickles.py"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "Python"


def scan(folder: Path) -> list[Offender]:
    """Return the files below a folder that are, or contain, pickles or bytecode."""
    return [
        Offender(path, why)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and (why := looks_like_code(path.read_bytes()))
    ]


def looks_like_code(content: bytes, depth: int = DEEPEST) -> str:
    """Say what in a file's bytes would be executed when loaded; return "" if nothing would."""
    if content.startswith(MAGIC_NUMBER):
        return "Python's bytecode"
    if why := _is_pickle(content) or _has_objects(content):
        return why
    if depth:
        for label, inner in (*_members(content), *_unpacked(content)):
            if why := looks_like_code(inner, depth - 1):
                return f"{label}: {why}"
    return ""


def _is_pickle(content: bytes) -> str:
    """Return whether the bytes are a pickle: recognized by the first two from protocol 2 on, before that by all.

    A file of another kind may begin with such bytes too, a safetensors with a header of 640 bytes for one; so what
    follows must make sense to the end of the pickle.
    """
    headed = content[:1] == b"\x80" and content[1:2] in (b"\2", b"\3", b"\4", b"\5")
    file = io.BytesIO(content)
    try:
        pickletools.dis(file, out=io.StringIO())
    except Exception:  # whatever makes no sense as a pickle
        return ""
    if headed:
        return f"a pickle of protocol {content[1]}"
    return "a pickle of protocol 0 or 1" if not content[file.tell() :].strip() else ""


def _has_objects(content: bytes) -> str:
    """Return whether the bytes are a NumPy array of pickled objects."""
    if not content.startswith(b"\x93NUMPY"):
        return ""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read: Callable[..., Any] = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        dtype = read(file)[2]
    except (ValueError, AttributeError):
        return ""
    return "an array of pickled objects" if dtype.hasobject else ""


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the members of a zip archive, as torch.save and np.savez write it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if member.file_size <= MOST:
                    yield member.filename, archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error, ValueError):
        return


def _unpacked(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield decompressed data, up to a few hundred megabytes."""
    kinds: dict[bytes, tuple[str, Callable[[], Any]]] = {
        b"\x1f\x8b": ("gzip", lambda: zlib.decompressobj(31)),
        b"\x78": ("zlib", zlib.decompressobj),
        b"BZh": ("bzip2", bz2.BZ2Decompressor),
        b"\xfd7zXZ": ("xz", lzma.LZMADecompressor),
        b"]\0\0": ("lzma", lzma.LZMADecompressor),
    }
    for start, (label, make) in kinds.items():
        if content.startswith(start):
            try:
                yield label, make().decompress(content, MOST)
            except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError):
                continue
