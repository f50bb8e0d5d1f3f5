"""Sentences that are shown in more than one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..base.words import counted, pictures, text_of
from ..records.audit import AuditResult, ToldApart
from ..records.scores import OUT_OF_FOLD, REFUSALS, Against, Coverage, Imbalance, Score

CLOSE = 0.02  # difference in accuracy below which two results that cannot be told apart are called as good

# Of a run that validates on the test pictures.
ON_TEST = "This recipe checks the test pictures after every epoch, so the accuracy may be too high."

# What "out-of-fold" means, for those who meet the word for the first time.
UNSEEN = "out-of-fold: each picture answered by a model that has not seen it"

# Pictures that belong to no class.
_FOREIGN = {"inverted": "inverted pictures", "shuffled pixels": "pictures with shuffled pixels"}

MOST_NAMED = 3  # classes in a sentence

# What each baseline does.
_BASELINES = {
    "most frequent class": "always giving the most common answer",
    "pixel similarity": "matching the average picture",
    "nearest neighbor": "matching the most similar picture",
    "logistic regression": "a logistic regression on the pixels",
}


def stop_in_words(reason: str) -> str:
    """Return why training stopped, as a sentence says it after "because".

    Args:
        reason: The reason as runs store it. They have stored planned ends in these words since before there were codes.

    >>> stop_in_words("8 epochs were asked for and done"), stop_in_words("1 epoch was asked for and done")
    ('all 8 epochs are done', 'its 1 epoch is done')
    """

    def done(planned: re.Match[str]) -> str:
        return f"its {planned[1]} is done" if planned[2] == "was" else f"all {planned[1]} are done"

    return re.sub(r"([\d,]+ \w+) (was|were) asked for and done", done, reason)


def in_plain_words(score: Score) -> str:
    """Return a score with its 95 % interval, as a beginner reads it."""
    low, high = 100 * score.interval.low, 100 * score.interval.high
    which = pictures(score.n, "" if score.split == OUT_OF_FOLD else score.split)
    return f"{100 * score.accuracy:.1f} % of {which} right (95 % interval {low:.1f} to {high:.1f})"


def out_of_100(score: Score) -> str:
    """Return a score as a title: of 100 pictures, or of all where there are fewer."""
    if score.n < 100:
        return f"{score.correct:,} of {score.n:,} right"
    right = round(100 * score.accuracy)
    if right == 100 and score.correct < score.n:
        return "More than 99 of 100 right"
    return f"{right} of 100 right"


def against_in_plain_words(against: Against, score: Score) -> str:
    """Return how a score compares with the best baseline: better, worse, as good, or not clearly better or worse."""
    compared = "better than" if against.difference > 0 else "worse than"
    if 0.0 in against.interval:
        compared = "as good as" if abs(against.difference) < CLOSE else f"not clearly {compared}"
    theirs = 100 * (score.accuracy - against.difference)
    sample = f", {_sample_in_words(against)}" if against.sample else ""
    return f"{compared} {_BASELINES.get(against.baseline, against.baseline)} ({theirs:.1f} %{sample})"


def _sample_in_words(against: Against) -> str:
    """Return what a baseline learned from, where that is a sample."""
    return f"from a sample of {pictures(against.sample, 'training')}"


def told_apart_in_words(apart: ToldApart) -> str:
    """Return whether train and test differ, and what that means."""
    low, high = apart.interval.low, apart.interval.high
    figure = f"AUC {apart.area:.3f} on {pictures(apart.n)} (95 % interval {low:.3f} to {high:.3f}; 0.5 is chance)"
    if not apart.is_told:
        return f"a quick model cannot tell them apart, {figure}"
    return f"a quick model tells them apart, {figure}: the test pictures are of another kind than the training pictures"


def reach_in_words(reach: float) -> str:
    """Return what a search for near-duplicates that did not compare all with all may have missed."""
    return f"only similar pictures were compared; this finds {100 * reach:.1f} % of the copies that a full search finds"


def found_in_words(audit: AuditResult) -> list[str]:
    """Return each kind of problem that an audit found, with how many there are."""
    counts = [
        (len(audit.leaks), "exact duplicate in two splits", "exact duplicates in two splits"),
        (len(audit.duplicates), "group of exact duplicates", "groups of exact duplicates"),
        (len(audit.near_leaks), "group of near-duplicates in two splits", "groups of near-duplicates in two splits"),
        (len(audit.near_duplicates), "group of near-duplicates", "groups of near-duplicates"),
        (len(audit.suspects), "suspicious label", "suspicious labels"),
        (len(audit.outliers), "outlier", "outliers"),
    ]
    problems = [counted(n, one, several) for n, one, several in counts if n]
    if audit.told_apart is not None and audit.told_apart.is_told:
        problems.append("test pictures of another kind than the training pictures")
    return problems


def audit_in_words(audit: AuditResult, look: str) -> str:
    """Return what an audit found, in a line; the command `look` shows which pictures, and checks the rest."""
    words = {"near-duplicates": "near-duplicates", "suspects": "suspicious labels", "outliers": "outliers"}
    missing = [word for what, word in words.items() if what in audit.not_looked_for]
    more = f"; not checked yet: {', '.join(missing)}" if missing else ", by the full audit of these pictures"
    return f"{', '.join(found_in_words(audit) or ['no exact duplicates'])}{more} ({look})"


def copies_in_words(counts: Mapping[str, Any], look: str) -> str:
    """Return the exact duplicates that a judgement counts, and the command that looks for more."""
    leaks, duplicates = counts.get("leaks"), counts.get("duplicates")
    if not leaks and not duplicates:
        return f"no exact duplicates, in one split or in two; for a full audit: {look}"
    return f"exact duplicates: {leaks} in two splits, {duplicates} within a split; for a full audit: {look}"


def in_words(score: Score) -> str:
    """Return a score with its interval, its count and its split."""
    low, high = score.interval.low, score.interval.high
    note = f", {score.note}" if score.note else ""
    return f"{score.accuracy:.2%} of {pictures(score.n, score.split)} (95 % interval {low:.2%} to {high:.2%}){note}"


def looks_in_words(looks: int) -> str:
    """Return how many models have been tested on the same pictures."""
    return f"{counted(looks, 'model has', 'models have')} been tested on these pictures on this machine"


def edited_in_words(count: int) -> str:
    """Return that pictures which the result is measured on were corrected, which every report says."""
    were = counted(count, "picture that it was tested on was", "pictures that it was tested on were")
    return f"{were} corrected, so the result is of the new labels: do not compare it with one of the old labels."


def imbalance_in_words(imbalance: Imbalance) -> str:
    """Return how many times as many training pictures the largest class has."""
    return (
        f"classes of very different size: {imbalance.most:,} training pictures of {imbalance.largest}, "
        f"{imbalance.fewest:,} of {imbalance.smallest} ({imbalance.ratio:,.1f} to 1)"
    )


def balanced_in_words(score: Score, imbalance: Imbalance, baselines: Mapping[str, Score]) -> str:
    """Return balanced accuracy with its interval, beside the accuracy of always answering the largest class."""
    balanced = score.balanced
    if balanced is None or balanced.value is None:
        return "unknown"
    interval = "" if balanced.low is None else f" (95 % interval {balanced.low:.2%} to {balanced.high:.2%})"
    always = baselines.get("most frequent class")
    guess = f"; always answering {imbalance.largest} has an accuracy of {always.accuracy:.2%}" if always else ""
    if score.absent:
        return f"{balanced.value:.2%}, the mean of the other classes' recalls{interval}: {untested_in_words(score)}"
    return f"{balanced.value:.2%}, the mean of the classes' recalls{interval}{guess}"


def untested_in_words(score: Score) -> str:
    """Name the classes that a split has no picture of."""
    names = ", ".join(map(text_of, score.absent[:MOST_NAMED]))
    more = f" and {len(score.absent) - MOST_NAMED:,} more" if len(score.absent) > MOST_NAMED else ""
    return f"no {score.split} pictures of {names}{more}"


def coverage_in_words(coverage: Coverage) -> str:
    """Return how many pictures a model answers that may abstain, and how often it is right on them."""
    right = f"; {coverage.score.accuracy:.2%} of its answers are right" if coverage.score is not None else ""
    sure = f"95 % interval {coverage.interval.low:.1%} to {coverage.interval.high:.1%}"
    said = " or ".join(f'"{reason}"' for reason in REFUSALS if reason not in coverage.never_says)
    answers = f"answers {coverage.share:.1%} of these pictures ({sure})" if said else "answers every picture"
    rest = f" For the others it says {said}." if said else ""
    rest += f" {never_in_words(coverage)}." if coverage.never_says else ""
    return f"`predict` {answers}{right}.{rest}"


def never_in_words(coverage: Coverage) -> str:
    """Say which refusals too few validation pictures have switched off, and how many pictures they need."""
    never = " or ".join(f'"{reason}"' for reason in coverage.never_says)
    return f"It never says {never}: that takes at least {pictures(coverage.needed, 'validation')}"


def foreign_in_words(coverage: Coverage) -> str:
    """Return what becomes of pictures that belong to none of the classes."""
    *others, last = [f"{kind.share:.1%} of {_FOREIGN.get(kind.pictures, kind.pictures)}" for kind in coverage.foreign]
    shares = f"{', '.join(others)} and {last}" if others else last
    return f"It rejects {shares} ({coverage.foreign[0].n:,} each). It rejects fewer pictures of similar objects."


def baseline_in_words(name: str, of_features: bool) -> str:
    """Return a baseline's name; beside a model of features, it says that a logistic regression is one of pixels."""
    return f"{name} on the pixels" if of_features and name == "logistic regression" else name


def against_in_words(against: Against, of_features: bool = False) -> str:
    """Return a result beside the best baseline, and whether this number of pictures can tell the two apart."""
    points, low, high = (100 * share for share in (against.difference, against.interval.low, against.interval.high))
    side = "above" if points >= 0 else "below"
    told = "" if 0.0 not in against.interval else f": {pictures(against.n)} are too few to tell the two apart"
    interval = f"95 % interval {low:+.2f} to {high:+.2f}"
    named = baseline_in_words(against.baseline, of_features)
    named += f" {_sample_in_words(against)}" if against.sample else ""
    return f"{abs(points):.2f} points {side} the best baseline, {named} ({interval}){told}"
