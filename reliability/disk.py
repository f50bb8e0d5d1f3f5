"""A disk that fails on purpose: each call that changes files can be counted, recorded, refused, or end the process.

`sevensteps.base.files` makes every such call through the `os` module, so replacing its functions is enough;
`tests/test_reliability.py` compares that with what strace sees.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir")
FAULTS: dict[str, int | None] = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES, "short write": None}


@dataclass
class Call:
    """One call that changes the disk: its name, its paths, and the bytes of a write that were accepted."""

    name: str
    paths: tuple[str, ...]
    content: bytes = b""


@dataclass
class Disk:
    """What happened below `root`, in order."""

    root: str
    calls: list[Call] = field(default_factory=list)
    open_files: dict[int, str] = field(default_factory=dict)

    def is_here(self, path: Any) -> bool:
        """Return whether a path is the root folder or inside it."""
        absolute = os.path.abspath(os.fsdecode(path))
        return absolute == self.root or absolute.startswith(self.root + os.sep)


@contextlib.contextmanager
def watched(
    root: Path, before: Callable[[int, Call], int | None], after: Callable[[int, Call], None]
) -> Iterator[Disk]:
    """Call `before` and `after` around each call below `root`, with its number, counted from 0.

    Args:
        root: The folder to watch.
        before: May raise an error, or return how many bytes a write accepts.
        after: Is called even if the call was refused.

    Yields:
        The disk, which records the calls.
    """
    disk = Disk(str(root.resolve()))
    real: dict[str, Any] = {name: getattr(os, name) for name in (*CALLS, "close")}

    def call(name: str, paths: tuple[str, ...], do: Callable[[int | None], Any], content: bytes = b"") -> Any:
        number, this = len(disk.calls), Call(name, paths, content)
        disk.calls.append(this)
        limit = before(number, this)
        if limit is not None:
            this.content = content[:limit]
        try:
            return do(limit)
        finally:  # even after a refused call, such as removing a missing file
            after(number, this)

    def open_(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not (disk.is_here(path) and (writes or os.path.isdir(path))):
            return int(real["open"](path, flags, *rest, **named))
        if not writes:  # a folder, opened to be synced: opening it changes nothing
            descriptor = int(real["open"](path, flags, *rest, **named))
        else:
            name = os.path.abspath(os.fsdecode(path))
            descriptor = call("open", (name,), lambda limit: real["open"](path, flags, *rest, **named))
        disk.open_files[descriptor] = os.path.abspath(os.fsdecode(path))
        return descriptor

    def write(descriptor: int, content: Any) -> int:
        if descriptor not in disk.open_files:
            return int(real["write"](descriptor, content))
        data = bytes(content)
        paths = (disk.open_files[descriptor],)
        return int(call("write", paths, lambda limit: real["write"](descriptor, data[:limit]), data))

    def fsync(descriptor: int) -> None:
        if descriptor not in disk.open_files:
            real["fsync"](descriptor)
            return
        call("fsync", (disk.open_files[descriptor],), lambda limit: real["fsync"](descriptor))

    def close(descriptor: int) -> None:
        disk.open_files.pop(descriptor, None)
        real["close"](descriptor)

    def by_paths(name: str) -> Callable[..., Any]:
        def function(*arguments: Any, **named: Any) -> Any:
            paths = tuple(os.path.abspath(os.fsdecode(path)) for path in arguments[: 2 if name == "replace" else 1])
            if not all(map(disk.is_here, paths)):
                return real[name](*arguments, **named)
            return call(name, paths, lambda limit: real[name](*arguments, **named))

        return function

    patched: dict[str, Any] = {"open": open_, "write": write, "fsync": fsync, "close": close}
    patched |= {name: by_paths(name) for name in ("replace", "unlink", "mkdir")}
    try:
        for name, function in patched.items():
            setattr(os, name, function)
        yield disk
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def counting(root: Path) -> contextlib.AbstractContextManager[Disk]:
    """Count and record calls, and do nothing else."""
    return watched(root, lambda number, call: None, lambda number, call: None)


def dying(root: Path, at: int, when: str) -> contextlib.AbstractContextManager[Disk]:
    """Kill the process "before" or "after" call number `at`."""

    def die(this: str) -> Callable[[int, Call], None]:
        def perhaps(number: int, call: Call) -> None:
            if number == at and when == this:
                os.kill(os.getpid(), signal.SIGKILL)

        return perhaps

    return watched(root, die("before"), die("after"))


def failing(root: Path, at: int, fault: str) -> contextlib.AbstractContextManager[Disk]:
    """Let call number `at` fail with one of `FAULTS`; a short write accepts one byte."""

    def fail(number: int, call: Call) -> int | None:
        if number != at:
            return None
        if fault == "short write":
            return 1 if call.name == "write" else None
        number_of_error = FAULTS[fault] or 0
        raise OSError(number_of_error, os.strerror(number_of_error), call.paths[0])

    return watched(root, fail, lambda number, call: None)
