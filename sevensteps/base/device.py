"""Where to compute: the device, the number of cores, and the number of threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    import torch


def device_named(wanted: torch.device | str) -> torch.device:
    """Return the device with this name.

    Args:
        wanted: "auto", "cpu", "cuda", "cuda:1", "mps" or a device. "auto" is CUDA or MPS if available, otherwise the
            CPU.

    Returns:
        A device that is available.

    Raises:
        UsageError: No device has this name, or it is not available.
    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if available[name]))
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"{wanted!r} is not a device.", hint="Use 'auto', 'cpu', 'cuda' or 'mps'.") from error
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not available.get(device.type, True) or (device.index or 0) >= count:
        raise UsageError(f"Device {wanted} is not available on this machine.", hint="Use device='auto'.")
    return device


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_once() -> int:
    """Return how many parts of a batch are computed at the same time, each in one thread."""
    return _AT_ONCE[0] or cores()


_AT_ONCE = [0]  # 0: as many as there are cores


@contextlib.contextmanager
def computing_with(threads: int, parts: int = 0) -> Iterator[None]:
    """Let PyTorch compute with this many threads inside the context, and with as many as before afterward.

    Args:
        threads: The number of threads of one operation, 1 or more.
        parts: The number of parts of a batch that are computed at the same time. 0: one for each core.

    Yields:
        Nothing.
    """
    import torch

    before, parts_before = torch.get_num_threads(), _AT_ONCE[0]
    torch.set_num_threads(threads)
    _AT_ONCE[0] = parts
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _AT_ONCE[0] = parts_before
