"""Print the result of an audit, for `data`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console

from ..base.words import counted
from ..records.audit import AuditResult, Corrected
from .sentences import imbalance_in_words, reach_in_words, told_apart_in_words
from .terminal import print_table, printable

SHOWN = 5  # how many groups, pictures of a group, suspicious labels and outliers to print


SHOWN_CHANGES = 50  # of a corrections file


Named = Callable[[Sequence[str]], Sequence[str]]


def print_audit(out: Console, source: str, found: AuditResult, with_splits: Named, suggest: str) -> None:
    """Print an audit, with the names of the first few pictures of each kind.

    Args:
        out: The console.
        source: The source.
        found: Its audit.
        with_splits: Returns pictures' names with their splits, for duplicates in two splits.
        suggest: The command that lists all near-duplicates and suspicious labels in a file.
    """
    channels, height, width = found.shape
    out.print(printable(f"{source}: pictures of {width}x{height}, {counted(channels, 'channel')}"))
    rows = [[name, *(f"{counts[name]:,}" for counts in found.counts.values())] for name in found.classes]
    total = ["all", *(f"{sum(counts.values()):,}" for counts in found.counts.values())]
    print_table(out, ("class", *found.counts), [*rows, total])
    for line in _lines(found, with_splits, suggest):
        out.print(printable(line))


def print_changes(out: Console, corrected: Corrected) -> None:
    """Print what a corrections file changes, a line for each picture.

    Args:
        out: The console.
        corrected: What it changed.
    """
    if corrected.changes:
        out.print("corrections:")
    for change in corrected.changes[:SHOWN_CHANGES]:
        out.print(printable(f"  {change.in_words}"))
    if (more := len(corrected.changes) - SHOWN_CHANGES) > 0:
        out.print(printable(f"  and {more:,} more"))


def _lines(found: AuditResult, with_splits: Named, suggest: str) -> list[str]:
    """Return a line for each kind of problem, and one for each of the first pictures."""
    lines = []
    if found.imbalance is not None:
        lines.append(imbalance_in_words(found.imbalance))
    for name, alone in found.alone.items():
        lines.append(f"classes only in {name}: {', '.join(alone[:SHOWN])}{_more(len(alone))}")
    for what, groups, named in (
        ("exact duplicates within a split", found.duplicates, list),
        ("exact duplicates in two splits", found.leaks, with_splits),
        ("exact duplicates with different labels", found.conflicts, list),
    ):
        first = f", the first: {_first(groups[0], named)}" if groups else ""
        lines.append(f"{what}: {len(groups):,}{first}")
    for what, alike, named in (
        ("near-duplicates within a split", found.near_duplicates, list),
        ("near-duplicates in two splits", found.near_leaks, with_splits),
    ):
        if why := found.not_looked_for.get("near-duplicates"):
            lines.append(f"{what}: not looked for; {why}")
            continue
        lines.append(
            f"{what}: {counted(len(alike), 'group')}{', the most similar first (similarity, pictures):' * bool(alike)}"
        )
        lines += [f"  {score:.2f}  {_first(ids, named)}" for ids, score in alike[:SHOWN]]
        lines += _rest(len(alike), suggest)
    if found.near_reach is not None:
        lines.append(f"near-duplicates: {reach_in_words(found.near_reach)}")
    if why := found.not_looked_for.get("suspects"):
        lines.append(f"suspicious labels: not looked for; {why}")
    else:
        first = ", the most suspicious first (score, picture):" * bool(found.suspects)
        lines.append(f"suspicious labels, found by a rough model (it may be wrong): {len(found.suspects):,}{first}")
        for one in found.suspects[:SHOWN]:
            lines.append(f"  {one.score:.2f}  {one.id}: labeled {one.label}, looks like {one.likely}")
        lines += _rest(len(found.suspects), suggest)
    if why := found.not_looked_for.get("outliers"):
        lines.append(f"outliers: not looked for; {why}")
    else:
        first = ", the farthest first (distance, picture):" * bool(found.outliers)
        lines.append(f"outliers: {len(found.outliers):,}{first}")
        for far in found.outliers[:SHOWN]:
            how = "one color" if far.score is None else f"{far.score:.1f}"
            lines.append(f"  {how}  {far.id}: labeled {far.label}")
        lines += _rest(len(found.outliers), "")
    if why := found.not_looked_for.get("train_against_test"):
        lines.append(f"train and test: not compared; {why}")
    elif found.told_apart is not None:
        lines.append(f"train and test: {told_apart_in_words(found.told_apart)}")
    return lines


def _first(ids: Sequence[str], named: Named) -> str:
    """Name the first pictures, and count the rest."""
    return f"{', '.join(named(ids[:SHOWN]))}{_more(len(ids))}"


def _rest(count: int, suggest: str) -> list[str]:
    """Say how many of a kind are shown, and how to see all."""
    if count <= SHOWN:
        return []
    return [f"  Showing {SHOWN} of {count:,}.{f' All: {suggest}' * bool(suggest)}"]


def _more(count: int) -> str:
    """Say how many pictures are not named."""
    return f" and {count - SHOWN:,} more" if count > SHOWN else ""
