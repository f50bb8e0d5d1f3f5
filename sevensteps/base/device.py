"""Where to compute: a device by its name, if it is there, on how many cores, and with how many threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    import torch


def device_named(wanted: torch.device | str) -> torch.device:
    """The device of this name; "auto" is CUDA or MPS where it is there, else the CPU.

    Raises:
        UsageError: no device has this name, or it is not there.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"{wanted!r} is no device.", hint="Use 'auto', 'cpu', 'cuda' or 'mps'.") from error
    many = torch.cuda.device_count() if device.type == "cuda" else 1
    if not there.get(device.type, True) or (device.index or 0) >= many:
        raise UsageError(f"There is no device {wanted} here.", hint="Use device='auto'.")
    return device


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Inside, PyTorch computes with so many threads, and afterwards with as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
