"""Describe the machine and versions of a measurement in a line. Imports little, to add no memory to children."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version


def describe() -> str:
    """Return the versions and the number of cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("sevensteps", "torch", "numpy"))
    return f"{packages}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores} cores"
