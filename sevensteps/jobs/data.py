"""`data`: load a source and audit its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.words import pictures, text_of
from ..data.images import Splits
from ..errors import UsageError
from ..records.audit import AuditResult
from ..records.events import Note

if TYPE_CHECKING:
    from ..data.corrections import Correction
    from ..records.events import Observe


SHOWN = 12  # classes in a repr


@dataclass(frozen=True, repr=False)
class Audited:
    """The pictures of a source, and everything that an audit found in them."""

    splits: Splits
    result: AuditResult
    suggested: tuple[Correction, ...] | None = None  # None where no corrections were asked for

    def as_json(self) -> dict[str, Any]:
        """Return what `data --json` prints."""
        channels, height, width = self.result.shape
        count = sum(sum(counts.values()) for counts in self.result.counts.values())
        return {
            "source": self.splits.source,
            "classes": self.result.classes,
            "counts": self.result.counts,
            "sizes": {f"{width}x{height}x{channels}": count},
            "corrections": self.splits.corrected.as_json() if self.splits.corrected else None,
            "suggested": None if self.suggested is None else len(self.suggested),
            "bad_files": [{"picture": name, "reason": reason} for name, reason in self.splits.bad_files],
            **self.result.as_json(),
        }

    def __repr__(self) -> str:
        result = self.result
        lines = [f"{self.splits.source}: {', '.join(text_of(name) for name in result.classes[:SHOWN])}"]
        for split, counts in result.counts.items():
            lines.append(f"  {split}: {pictures(sum(counts.values()))}")
        lines.append(
            f"  in two splits: {len(result.leaks):,}; exact duplicates within a split: {len(result.duplicates):,}"
        )
        lines.append(f"  suspicious labels: {len(result.suspects):,}; bad files: {len(self.splits.bad_files):,}")
        return "\n".join(lines)


def audit(
    source: str | Path,
    classes: Sequence[str] = (),
    *,
    fix: str = "",
    suggest: str | Path | None = None,
    yes: bool = False,
    fresh: bool = False,
    observe: Observe = lambda event: None,
    **settings: Any,
) -> Audited:
    """Audit the pictures of a source: counts, bad files, duplicates, suspicious labels.

    Args:
        source: As for `load`.
        classes: Only these classes.
        fix: A corrections file, which is applied first.
        suggest: A file for the corrections that the audit proposes; it is not written if there are none.
        yes: Whether to apply a `fix` that changes more than a fifth of the labels.
        fresh: Whether to decode every file again.
        observe: Receives a note about what is slow, and about a folder.
        settings: How to read picture files: the fields of `How`.

    Returns:
        The pictures and what was found.

    Raises:
        UsageError: `fix` and `suggest` are both given; or `fix` changes more than a fifth of the labels.
        DataError: There is no such source, or its pictures cannot be used.
        FileError: The file of corrections is in the way, or cannot be written.
    """
    from ..data import corrections
    from ..data.sources.named import as_text
    from ..trust.audit.suggest import suggested

    if suggest is None:
        return Audited(*data(source, classes, observe, fix=fix, yes=yes, fresh=fresh, **settings))
    if fix:
        raise UsageError("--fix and --suggest cannot be combined.", hint="Run the command once with each of them.")
    corrections.refuse_if_in_the_way(Path(suggest), as_text(source))
    splits, result = data(source, classes, observe, fresh=fresh, **settings)
    rows = tuple(suggested(splits, result))
    if rows:
        corrections.save(rows, Path(suggest), as_text(source))
    return Audited(splits, result, rows)


def data(
    source: str | Path,
    classes: Sequence[str] = (),
    observe: Observe = lambda event: None,
    *,
    fix: str = "",
    yes: bool = False,
    fresh: bool = False,
    **settings: Any,
) -> tuple[Splits, AuditResult]:
    """Return the pictures of a source, and everything that an audit finds in them: see `audit.audited`.

    Labels and outliers of photographs are judged by features of a pretrained network, if it is installed. Bad files are
    skipped and counted, unless `bad_files` is given.

    Args:
        source: As for `load`.
        classes: Only these classes.
        observe: Takes a note about what is slow, and about a folder.
        fix: A corrections file.
        yes: Apply it also if it changes more than a fifth of the labels.
        fresh: Decode every file again.
        settings: How to read picture files: the fields of `How`.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from ..data.corrections import refuse_many
    from ..data.files.how import How
    from ..data.sources.find import with_bad_skipped
    from ..data.sources.load import load_as
    from ..recipes.choose import may_use_features
    from ..ship.backbone.names import NAME
    from ..ship.backbone.weights import INSTALL, broken_package, is_installed
    from ..trust.audit.audit import audited

    def say(line: str) -> None:
        observe(Note(line))

    how = How(**with_bad_skipped(source, settings))
    splits = load_as(source, classes or None, how, fix=fix, fresh=fresh, say=say)
    if fix and not yes:
        refuse_many(splits, fix)
    if may_use_features(source, {**settings, "classes": tuple(classes)}) and is_installed():
        if name := broken_package():
            say(f"! {name} cannot be imported, so labels are judged by pixels: {INSTALL} --force-reinstall")
            return splits, audited(splits)
        from ..learner.features import with_features

        splits = with_features(splits, source, how, NAME, say)
    return splits, audited(splits)
