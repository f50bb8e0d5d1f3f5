"""Runs that differ in their seed only, in words: how many starts learned, and how far these are apart."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ..base.words import pictures
from ..records.scores import OUT_OF_FOLD, Score
from .terminal import percent


def has_learned(score: Score, baselines: Mapping[str, Score]) -> bool:
    """Return whether a score is above that of always giving the most common answer, beyond what luck explains."""
    always = baselines.get("most frequent class")
    return always is None or score.interval.low > always.accuracy


def starts_in_words(scores: Sequence[Score], learned: Sequence[bool]) -> str:
    """Return how many starts learned and how well.

    Args:
        scores: The score of each run.
        learned: Whether each run learned, in the same order.

    Returns:
        A mean and a spread where all learned; else how many did and did not, each with the range of their scores.
    """
    right = [score.accuracy for score in scores]
    if all(learned):
        which = pictures(scores[0].n, "" if scores[0].split == OUT_OF_FOLD else scores[0].split)
        if len(set(right)) == 1:  # a linear model on features comes to the same answers from any start
            return f"All {len(right)} starts learned, with the same result: {percent(right[0])} of {which} right."
        spread = f"{100 * statistics.stdev(right):.1f}"
        return (
            f"All {len(right)} starts learned: on average {percent(statistics.mean(right))} of {which} right, "
            f"give or take {spread} points from start to start."
        )
    groups = {name: [share for share, did in zip(right, learned, strict=True) if did == name] for name in (True, False)}
    if not groups[True]:
        return f"None of the {len(right)} starts learned ({_range(right)})."
    return (
        f"{len(groups[True])} of {len(right)} starts learned ({_range(groups[True])}), "
        f"{len(groups[False])} did not ({_range(groups[False])})."
    )


def _range(shares: Sequence[float]) -> str:
    """Whole percents, from the lowest to the highest."""
    low, high = f"{100 * min(shares):.0f}", f"{100 * max(shares):.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"
