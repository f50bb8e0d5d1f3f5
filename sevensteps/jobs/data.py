"""`data`: load a source and audit its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.images import Splits
from ..records.audit import AuditResult
from ..records.events import Note

if TYPE_CHECKING:
    from ..records.events import Observe


def data(
    source: str | Path, classes: Sequence[str] = (), observe: Observe = lambda event: None, *, fix: str = "", **how: Any
) -> tuple[Splits, AuditResult]:
    """What a source holds, and everything that was found in it: see `auditing.audited`.

    `fix` is a corrections file, and `how` as for `load`.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from ..data.sources.load import SOURCES, holds_files, load
    from ..trust.audit.audit import audited

    if str(source) not in SOURCES and holds_files(Path(source)):
        how = {"bad_files": "skip", **how}
    splits = load(source, classes or None, fix=fix, say=lambda line: observe(Note(line)), **how)
    return splits, audited(splits)
