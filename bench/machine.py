"""What a measurement was made with, in a line. Imports nothing heavy, which would be counted as a child's memory."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version


def describe() -> str:
    """Versions and cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("sevensteps", "torch", "numpy"))
    return f"{packages}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores} cores"
