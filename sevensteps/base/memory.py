"""Memory: how much this process may still use, and what happens to memory that it frees."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path

UNKNOWN = 1 << 62  # bytes: if the system does not tell, nothing is too large


_GROUPS = Path("/sys/fs/cgroup")


def available() -> int:
    """Return how many bytes this process may still use: on the machine, and in its container if that has a limit."""
    return max(min(_of_the_machine(), _of_the_group()), 0)


@functools.cache
def keep_freed() -> None:
    """Tell glibc, if it is the C library, to keep the memory that a batch frees for the next batch.

    By default glibc returns the memory of large tensors to the system, which then fills the pages of the next ones with
    zeros: docs/decisions/0014-where-the-time-goes.md.
    """
    _tell_malloc("mallopt", _MMAP_THRESHOLD, 32 << 20)  # the most that it takes
    _tell_malloc("mallopt", _TRIM_THRESHOLD, 512 << 20)


def give_back() -> None:
    """Return freed memory to the system: otherwise glibc keeps it, in pieces that the next task may not fit into."""
    _tell_malloc("malloc_trim", 0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h


def _tell_malloc(name: str, *numbers: int) -> None:
    """Call a function of glibc, if it is the C library."""
    if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {}):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            getattr(ctypes.CDLL(None), name)(*numbers)


def _of_the_machine() -> int:
    """Return the bytes that the machine has free, or all its memory where only that is known."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    if sys.platform == "win32":
        return _of_windows()
    try:  # macOS does not say how much of its memory is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return UNKNOWN


def _of_windows() -> int:
    """Return the free bytes of a Windows machine.

    GlobalMemoryStatusEx fills 64 bytes: two numbers of 32 bits, then numbers of 64 bits: all memory, free memory, ...
    """
    import ctypes

    status = (ctypes.c_uint64 * 8)(64)
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  # only Windows has it, also for the type checker
    return int(status[2]) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else UNKNOWN


def _of_the_group() -> int:
    """Return the bytes that the limits of this control group and its parents leave; cached files do not count."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return UNKNOWN
    least = UNKNOWN
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "":  # version 2
            root, limit, usage, cached = _GROUPS, "memory.max", "memory.current", "file"
        elif "memory" in controllers.split(","):
            root, limit, usage = _GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cached = "total_cache"
        else:
            continue
        folder = root / place.strip("/")
        for group in (folder, *folder.parents):
            least = min(least, _left(group, limit, usage, cached))
            if group == root:
                break
    return least


def _left(group: Path, limit: str, usage: str, cached: str) -> int:
    """Return the bytes that the limit of one control group leaves."""
    try:
        most, used = int((group / limit).read_text("ascii")), int((group / usage).read_text("ascii"))
        pairs = (line.split() for line in (group / "memory.stat").read_text("ascii").splitlines())
        files = next((int(value) for name, value in pairs if name == cached), 0)
    except (OSError, ValueError):  # no such group in this container's view, or no limit ("max")
        return UNKNOWN
    return most - max(used - files, 0)
