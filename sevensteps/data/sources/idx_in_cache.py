"""IDX files that do not fit into memory: prepared once into a store in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ...base.user_folders import cache_folder
from ..store.prepare import prepare
from ..store.store import in_words
from .idx import of_idx


def prepared_in_cache(path: Path, classes: tuple[str, ...], size: int, free: int, say: Callable[[str], None]) -> Path:
    """Return the store of IDX files in the cache; write it, with 10 % held out for validation, if it does not exist.

    Args:
        path: The IDX files.
        classes: Only these classes; empty: all.
        size: The bytes of their pictures.
        free: The bytes of memory that are free.
        say: Takes a line about what is written, and the progress.

    Raises:
        DataError, FileError: As `prepare`.
    """
    streams = of_idx(path)
    key = hashlib.sha256(repr((streams.files, classes)).encode()).hexdigest()[:16]
    target = cache_folder() / "stores" / f"{path.name}-{key}.store"
    if target.exists():
        return target
    say(
        f"{path} has {in_words(size)} of pictures, but only {in_words(free)} of memory are free. They are written once "
        f"to {target}, with 10 % of the training pictures held out for validation."
    )
    tenths = 0

    def tell(done: int, total: int) -> None:
        nonlocal tenths
        if done * 10 // total > tenths:
            tenths = done * 10 // total
            say(f"  {10 * tenths} % done")

    prepare(streams, target, classes=classes, say=say, progress=tell)
    return target
