"""What an audit found, in words: the whole of it for `data`, and the line of it that stands beside a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from ..records import AuditResult, ToldApart
from ..words import counted, pictures
from .terminal import imbalance_in_words, print_table, printable

SHOWN = 5  # groups, and pictures of each; suspects; outliers


Named = Callable[[Sequence[str]], Sequence[str]]


def print_audit(out: Console, source: str, found: AuditResult, with_splits: Named) -> None:
    """Everything that was found, the first few of each kind by name.

    `with_splits` names pictures with the split that each is in, for those that are in two.
    """
    channels, height, width = found.shape
    out.print(printable(f"{source}: pictures of {width}x{height}, {counted(channels, 'channel')}"))
    rows = [[name, *(f"{counts[name]:,}" for counts in found.counts.values())] for name in found.classes]
    total = ["all", *(f"{sum(counts.values()):,}" for counts in found.counts.values())]
    print_table(out, ("class", *found.counts), [*rows, total])
    for line in _lines(found, with_splits):
        out.print(printable(line))


def _lines(found: AuditResult, with_splits: Named) -> list[str]:
    lines = []
    if found.imbalance is not None:
        lines.append(imbalance_in_words(found.imbalance))
    for name, alone in found.alone.items():
        lines.append(f"classes in {name} alone: {', '.join(alone[:SHOWN])}{_more(len(alone))}")
    for what, groups, named in (
        ("exact duplicates within a split", found.duplicates, list),
        ("pictures in two splits", found.leaks, with_splits),
        ("exact duplicates of which labels differ", found.conflicts, list),
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
        lines.append(f"{what}: {counted(len(alike), 'group')}{', the most alike first:' * bool(alike)}")
        lines += [f"  {score:.2f}  {_first(ids, named)}" for ids, score in alike[:SHOWN]]
    if why := found.not_looked_for.get("suspects"):
        lines.append(f"labels that look wrong: not looked for; {why}")
    else:
        first = ", the likeliest first:" * bool(found.suspects)
        lines.append(f"labels that look wrong to a quick model, right or not: {len(found.suspects):,}{first}")
        for one in found.suspects[:SHOWN]:
            lines.append(f"  {one.score:.2f}  {one.id}: labeled {one.label}, looks like {one.likely}")
    if why := found.not_looked_for.get("outliers"):
        lines.append(f"pictures unlike all others: not looked for; {why}")
    else:
        first = ", the most unlike first:" * bool(found.outliers)
        lines.append(f"pictures unlike all others: {len(found.outliers):,}{first}")
        for far in found.outliers[:SHOWN]:
            how = "one color" if far.score is None else f"{far.score:.1f}"
            lines.append(f"  {how}  {far.id}: labeled {far.label}")
    if why := found.not_looked_for.get("train_against_test"):
        lines.append(f"train against test: not compared; {why}")
    elif found.told_apart is not None:
        lines.append(f"train against test: {told_apart_in_words(found.told_apart)}")
    return lines


def told_apart_in_words(apart: ToldApart) -> str:
    """Whether train and test differ, and what that means."""
    low, high = apart.interval.low, apart.interval.high
    figure = f"AUC {apart.area:.3f} on {pictures(apart.n)} (95 % interval {low:.3f} to {high:.3f}; 0.5 is chance)"
    if not apart.is_told:
        return f"a quick model cannot tell them apart, {figure}"
    return f"a quick model tells them apart, {figure}: a result on the test pictures is one on another kind of pictures"


def audit_in_words(found: AuditResult, look: str) -> str:
    """What was found, in a line; `look` is the command that shows which, and looks for what was not looked for."""
    counts = [
        (len(found.leaks), "picture in two splits", "pictures in two splits"),
        (len(found.duplicates), "group of exact copies", "groups of exact copies"),
        (len(found.near_leaks), "group of near-copies in two splits", "groups of near-copies in two splits"),
        (len(found.near_duplicates), "group of near-copies", "groups of near-copies"),
        (len(found.suspects), "label that looks wrong", "labels that look wrong"),
        (len(found.outliers), "picture unlike all others", "pictures unlike all others"),
    ]
    said = [counted(n, one, several) for n, one, several in counts if n] or ["no exact copies"]
    if found.told_apart is not None and found.told_apart.is_told:
        said.append("test pictures of another kind than those to train on")
    words = {"near-duplicates": "near-copies", "suspects": "wrong labels", "outliers": "outliers"}
    missing = [word for what, word in words.items() if what in found.not_looked_for]
    more = f"; not looked for: {', '.join(missing)}" if missing else ""
    return f"{', '.join(said)}{more} ({look})"


def copies_in_words(counts: Mapping[str, Any], look: str) -> str:
    """The exact copies that a judgement counts, and the command that looks for more."""
    leaks, duplicates = counts.get("leaks"), counts.get("duplicates")
    return f"exact copies: {leaks} in two splits, {duplicates} within a split; what else may be amiss: {look}"


def _first(ids: Sequence[str], named: Named) -> str:
    return f"{', '.join(named(ids[:SHOWN]))}{_more(len(ids))}"


def _more(count: int) -> str:
    return f" and {count - SHOWN:,} more" if count > SHOWN else ""
