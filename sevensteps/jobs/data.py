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
    source: str | Path,
    classes: Sequence[str] = (),
    observe: Observe = lambda event: None,
    *,
    fix: str = "",
    fresh: bool = False,
    **settings: Any,
) -> tuple[Splits, AuditResult]:
    """Return the pictures of a source, and everything that an audit finds in them: see `audit.audited`.

    Bad files are skipped and counted, unless `bad_files` is given.

    Args:
        source: As for `load`.
        classes: Only these classes.
        observe: Takes a note about what is slow, and about a folder.
        fix: A corrections file.
        fresh: Decode every file again.
        settings: How to read picture files: the fields of `How`.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from ..data.files.how import How
    from ..data.sources.load import load_as, with_bad_skipped
    from ..trust.audit.audit import audited

    how = How(**with_bad_skipped(source, settings))
    splits = load_as(source, classes or None, how, fix=fix, fresh=fresh, say=lambda line: observe(Note(line)))
    return splits, audited(splits)
