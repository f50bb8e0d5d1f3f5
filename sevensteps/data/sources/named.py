"""The sources with a name, and which of them a source is.

A new one is one file in this folder and one line in `SOURCES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...base.addresses import without_secrets
from ..images import Splits


def _pullover_dress(say: Callable[[str], None]) -> Splits:
    from .embedded import load_embedded

    return load_embedded("pullover-dress")


def _fashion_mini(say: Callable[[str], None]) -> Splits:
    from .embedded import load_embedded

    return load_embedded("fashion-mini")


def _fashion(say: Callable[[str], None]) -> Splits:
    from .fashion import load_fashion

    return load_fashion(say)


SOURCES: dict[str, Callable[[Callable[[str], None]], Splits]] = {
    "pullover-dress": _pullover_dress,
    "fashion-mini": _fashion_mini,
    "fashion-mnist": _fashion,
}


def named(source: Any) -> str | None:
    """Return the name of a built-in source; None for every other source.

    Text such as "pullover-dress" is a name. A `Path` is a path, unless nothing is there.

    Args:
        source: As for `load`.
    """
    is_name = str(source) in SOURCES if isinstance(source, (str, Path)) else False
    return None if not is_name or (isinstance(source, Path) and source.exists()) else str(source)


def as_text(source: str | Path) -> str:
    """Return the text that leads to a source: its path begins with a dot if it would otherwise be a name.

    Passwords and signatures in an address are left out, since this text is saved.

    Args:
        source: A name or a path.
    """
    is_path = isinstance(source, Path) and named(source) is None and str(source) in SOURCES
    return os.path.join(os.curdir, source) if is_path else without_secrets(str(source))


def about_shadowed(source: Any) -> str:
    """Return a line about a file or folder here that has the name of the built-in source; "" without one.

    Args:
        source: As for `load`.
    """
    if named(source) is None or not Path(source).exists():
        return ""
    return f"{source} is the built-in source; for the {source} in this folder, type {os.path.join(os.curdir, source)}"
