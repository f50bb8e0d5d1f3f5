"""Sentences that are shown in more than one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base.words import counted, pictures
from ..records.audit import AuditResult, ToldApart
from ..records.scores import REFUSALS, Against, Coverage, Imbalance, Score


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


def in_words(score: Score) -> str:
    """A score with its interval, its count and its split."""
    low, high = score.interval.low, score.interval.high
    note = f", {score.note}" if score.note else ""
    return f"{score.accuracy:.2%} of {pictures(score.n, score.split)} (95 % interval {low:.2%} to {high:.2%}){note}"


def looks_in_words(looks: int) -> str:
    """How many models have been judged on the same test pictures."""
    return f"these test pictures have judged {looks:,} model{'s' * (looks != 1)} on this machine"


def imbalance_in_words(imbalance: Imbalance) -> str:
    """How many times as many training pictures the largest class has."""
    return (
        f"out of balance: {imbalance.most:,} to train on of {imbalance.largest}, {imbalance.fewest:,} of "
        f"{imbalance.smallest}, {imbalance.ratio:,.1f} to 1"
    )


def balanced_in_words(score: Score, imbalance: Imbalance, baselines: Mapping[str, Score]) -> str:
    """Balanced accuracy with its interval, beside what always answering the largest class has."""
    found = score.balanced
    if found is None or found.value is None:
        return "unknown"
    interval = "" if found.low is None else f" (95 % interval {found.low:.2%} to {found.high:.2%})"
    always = baselines.get("most frequent class")
    guess = f"; always answering {imbalance.largest} has an accuracy of {always.accuracy:.2%}" if always else ""
    return f"{found.value:.2%}, the mean of the classes' recalls{interval}{guess}"


def coverage_in_words(coverage: Coverage) -> str:
    """How many pictures a model answers that may abstain, and how often it is right then."""
    right = f", {coverage.score.accuracy:.2%} of these correctly" if coverage.score is not None else ""
    sure = f"95 % interval {coverage.interval.low:.1%} to {coverage.interval.high:.1%}"
    said = " or ".join(f'"{reason}"' for reason in REFUSALS if reason not in coverage.never_says)
    rest = [f"else it says {said}"] if said else []
    rest += [never_in_words(coverage)] if coverage.never_says else []
    return f"predict answers {coverage.share:.1%} of them ({sure}){right}; {'; '.join(rest)}"


def never_in_words(coverage: Coverage) -> str:
    """Say which refusals too few validation pictures have switched off, and how many pictures they need."""
    never = " or ".join(f'"{reason}"' for reason in coverage.never_says)
    return f"it never says {never}: fewer than {coverage.needed:,} validation pictures are too few to learn when to"


def foreign_in_words(coverage: Coverage) -> str:
    """What becomes of pictures that are none of the classes."""
    found = ", ".join(f"{of.share:.1%} of {of.pictures}" for of in coverage.foreign)
    each = pictures(coverage.foreign[0].n)
    return f"of made-up pictures of none of its classes it leaves out {found} ({each} each); of what looks alike, fewer"


def against_in_words(against: Against) -> str:
    """A result against the best baseline, and whether so many pictures can tell the two apart."""
    points, low, high = (100 * share for share in (against.difference, against.interval.low, against.interval.high))
    side = "above" if points >= 0 else "below"
    told = "" if 0.0 not in against.interval else f": no difference that {pictures(against.n)} can tell"
    interval = f"95 % interval {low:+.2f} to {high:+.2f}"
    return f"{abs(points):.2f} points {side} the best baseline, {against.baseline} ({interval}){told}"
