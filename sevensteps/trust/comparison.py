"""Compare models on the same pictures, or the seeds of one model. Needs only tables of predictions."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float64, Int

from ..base.words import pictures, split_in_words
from ..errors import DataError, UsageError
from ..records.comparison import Comparison, Spread
from ..records.scores import Interval
from .intervals import bootstrap, edge, mean, means_without_one, wilson
from .predictions import Predictions, said

LEVEL = 0.05  # of significance


POWER = 0.8  # the chance that the number of pictures asked for shows a difference of the observed size


def compare(a: Predictions, b: Predictions, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Compare two models on the same pictures: which is better, by how much, and how sure that is.

    The test is McNemar's mid-p test, and the interval is Tango's score interval of B's accuracy minus A's. Both use
    only pictures that exactly one of the two gets right (docs/decisions/0007-statistics.md gives the reasons). A model
    is called better if p < 0.05; the interval then excludes 0. Pictures are matched by id and labels by class name, so
    the order of rows and of classes does not matter.

    Args:
        a: The predictions of model A.
        b: The predictions of model B.
        names: The names of A and B.

    Raises:
        DataError: If the tables are not of the same pictures (the message says what differs), or cannot be scored.
    """
    second = names[1] if names[0] != names[1] else f"{names[1]} again"
    return compare_all({names[0]: a, second: b})[0]


def compare_all(tables: Mapping[str, Predictions]) -> tuple[Comparison, ...]:
    """Compare every pair of several models on the same pictures.

    P-values are corrected for the number of pairs (Holm, "A simple sequentially rejective multiple test procedure",
    1979). Intervals are not corrected.

    Args:
        tables: The predictions of each model, by its name.

    Returns:
        One comparison for each pair.

    Raises:
        UsageError: If there are fewer than two tables.
        DataError: As `compare`.
    """
    if len(tables) < 2:
        raise UsageError("A comparison needs two models.", hint="Name two runs or more.")
    right = dict(zip(tables, _right(tables), strict=True))
    split = next(iter(tables.values())).split
    pairs = [(names, *_alone(right[names[0]], right[names[1]])) for names in combinations(tables, 2)]
    p_values = [mid_p(only_a, only_b) for _, only_a, only_b in pairs]
    comparisons = []
    for (names, only_a, only_b), p, adjusted in zip(pairs, p_values, holm(p_values), strict=True):
        n, correct = len(right[names[0]]), (int(right[names[0]].sum()), int(right[names[1]].sum()))
        needed = None if adjusted < LEVEL else pictures_needed(only_a, only_b, n, LEVEL / len(pairs))
        pair = Comparison(
            names=names,
            split=split,
            n=n,
            correct=correct,
            only_a=only_a,
            only_b=only_b,
            difference=(only_b - only_a) / n,
            interval=tango(only_a, only_b, n),
            p_value=p,
            adjusted_p_value=adjusted,
            comparisons=len(pairs),
            more_pictures=None if needed is None else max(needed - n, 1),
            verdict="",
        )
        comparisons.append(dataclasses.replace(pair, verdict=_verdict(pair)))
    return tuple(comparisons)


def over_seeds(tables: Sequence[Predictions], *, resamples: int = 10_000, seed: int = 0) -> Spread:
    """Summarize the accuracy of runs that differ only in their seed, with two different spreads.

    The standard deviation over seeds shows how much another seed changes the result on these pictures. The interval
    over pictures shows how much other pictures change the mean of these runs (the value of a picture is the share of
    runs that get it right). Neither includes the other. If each seed held out its own pictures, the two cannot be
    separated: only the deviation is given, and the text says so.

    Args:
        tables: The predictions of each run.
        resamples: The number of bootstrap resamples.
        seed: The seed of the resamples.

    Raises:
        UsageError: If there are no tables, or fewer than 100 resamples.
        DataError: As `compare`.
    """
    if not tables:
        raise UsageError("There are no runs to average.", hint="Train with --seeds 5 or more.")
    split = tables[0].split
    if any(set(table.ids) != set(tables[0].ids) for table in tables):
        return _over_seeds_and_pictures(tables)
    right = _right({str(number): table for number, table in enumerate(tables, 1)})
    n = right.shape[1]
    accuracies = [int(correct) / n for correct in right.sum(1)]
    average = statistics.mean(accuracies)
    found = bootstrap(
        mean,
        right.mean(0),
        resamples=resamples,
        seed=seed,
        within=(0.0, 1.0),
        leave_one_out=means_without_one,
    )
    interval, method = found.interval, found.method
    if len(tables) == 1 or interval is None or interval.low == interval.high:
        # A mean of 0 or 1, or one picture. A proportion with the same mean varies more, so its interval is wide enough.
        interval, method = wilson(round(float(right.mean()) * n), n), "wilson"
    deviation = statistics.stdev(accuracies) if len(tables) > 1 else None  # exact: 0 for equal accuracies
    over = (
        f"{deviation * 100:.2f} points over {len(tables)} seeds" if deviation is not None else "not known from one run"
    )
    return Spread(
        split=split,
        n=n,
        accuracies=tuple(accuracies),
        mean=average,
        deviation=deviation,
        pictures=interval,
        method=method,
        line=f"Mean accuracy {average:.2%} on {pictures(n, split)}. Another seed: standard deviation {over}. "
        f"Other pictures: 95 % interval {interval.low:.2%} to {interval.high:.2%}.",
    )


def _over_seeds_and_pictures(tables: Sequence[Predictions]) -> Spread:
    """Summarize runs that were each judged on their own held-out pictures."""
    for table in tables:
        table.check()
    accuracies = [table.score.accuracy for table in tables]
    average, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
    split, n = tables[0].split, len(tables[0])
    return Spread(
        split=split,
        n=n,
        accuracies=tuple(accuracies),
        mean=average,
        deviation=deviation,
        pictures=None,
        method="",
        line=f"Mean accuracy {average:.2%} over {len(tables)} seeds, each judged on other held-out pictures ({n:,} of "
        f"{split}): standard deviation {deviation * 100:.2f} points, which seeds and pictures make together.",
    )


def mid_p(only_a: int, only_b: int) -> float:
    """Return the two-sided mid-p value of McNemar's test of equal accuracy.

    The exact test counts the full probability of what was observed and so rejects too rarely. This one counts half of
    it, which is the better choice for any number of pictures (Fagerland, Lydersen and Laake, "The McNemar test for
    binary matched-pairs data: mid-p and asymptotic are better than exact conditional", 2013). Equal counts give 1.

    >>> round(mid_p(1, 7), 4)
    0.0391

    Args:
        only_a: The number of pictures that only A gets right.
        only_b: The number of pictures that only B gets right.

    Raises:
        UsageError: If a count is negative.
    """
    if min(only_a, only_b) < 0:
        raise UsageError(f"{min(only_a, only_b)} is not a valid count.", hint="Give counts of 0 or more.")
    return float(mid_ps(np.array([only_a]), np.array([only_b]))[0])


def mid_ps(only_a: Int[np.ndarray, " pairs"], only_b: Int[np.ndarray, " pairs"]) -> Float64[np.ndarray, " pairs"]:
    """Return `mid_p` for many pairs of counts.

    Args:
        only_a: Counts of 0 or more.
        only_b: Counts of 0 or more.
    """
    from scipy.special import bdtr

    fewer, n = np.minimum(only_a, only_b).astype(np.float64), (only_a + only_b).astype(np.int64)
    # Twice the tail, minus half of the observed count's probability on either side, is the sum of two tails.
    beyond = np.where(fewer > 0, bdtr(np.maximum(fewer - 1, 0), n, 0.5), 0.0)
    return np.asarray(np.minimum(bdtr(fewer, n, 0.5) + beyond, 1.0))


def tango(only_a: int, only_b: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the score interval of the difference of two accuracies on the same n pictures, B's minus A's.

    It contains the differences that a score test would not reject. If the two models never differ, it shows how large a
    difference may have gone unnoticed. Tango, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design" (1998).

    >>> interval = tango(7, 1, 21)
    >>> round(interval.low, 3), round(interval.high, 3)
    (-0.517, -0.026)

    Args:
        only_a: The number of pictures that only A gets right.
        only_b: The number of pictures that only B gets right.
        n: The number of all pictures.
        confidence: The nominal coverage, between 0 and 1.

    Raises:
        UsageError: If there are no pictures, a count is not in 0 to n, or the confidence is not between 0 and 1.
    """
    if min(only_a, only_b) < 0 or only_a + only_b > n or n < 1:
        raise UsageError(
            f"{only_a} and {only_b} are not valid counts for {n} pictures.",
            hint="Give counts that add up to n at most.",
        )
    if not 0 < confidence < 1:
        raise UsageError(f"A confidence of {confidence} is not between 0 and 1.", hint="0.95 is usual.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def is_inside(difference: float) -> bool:
        """Return whether the score test does not reject a difference; `alone` is the likeliest share of only A."""
        linear = -only_a - only_b + (2 * n - only_b + only_a) * difference
        last = -only_a * difference * (1 - difference)
        alone = (math.sqrt(max(linear * linear - 8 * n * last, 0.0)) - linear) / (4 * n)
        variance = n * max(2 * alone + difference * (1 - difference), 0.0)
        distance = only_b - only_a - n * difference
        return distance * distance <= z * z * variance

    seen = (only_b - only_a) / n
    return Interval(edge(is_inside, seen, -1.0), edge(is_inside, seen, 1.0))


def pictures_needed(only_a: int, only_b: int, n: int, level: float = LEVEL) -> int | None:
    """Return how many pictures show a difference of the observed size with 80 % power.

    Connor, "Sample size for testing differences in proportions for the paired-sample design" (1987).

    >>> pictures_needed(20, 30, 1000)
    3923

    Args:
        only_a: The number of pictures that only A gets right.
        only_b: The number of pictures that only B gets right.
        n: The number of pictures on which they were observed.
        level: The significance level of the test.

    Returns:
        The number of pictures in all, or None if no difference was observed.
    """
    difference, discordant = (only_b - only_a) / n, (only_a + only_b) / n
    if only_a == only_b:
        return None
    to_reject, to_reach = NormalDist().inv_cdf(1 - level / 2), NormalDist().inv_cdf(POWER)
    root = to_reject * math.sqrt(discordant) + to_reach * math.sqrt(discordant - difference**2)
    return math.ceil((root / difference) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's method.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Args:
        p_values: The p-values.

    Returns:
        The corrected p-values, in the same order.
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min((len(p_values) - rank) * p_values[place], 1.0))
        corrected[place] = largest
    return corrected


def _alone(a: Bool[np.ndarray, " n"], b: Bool[np.ndarray, " n"]) -> tuple[int, int]:
    """Count the pictures that only A, and that only B, gets right."""
    return int((a & ~b).sum()), int((b & ~a).sum())


def _verdict(pair: Comparison) -> str:
    """Say which model is better, by how much and how sure, or how many more pictures would show it."""
    a, b = pair.names
    points = f"{abs(pair.difference) * 100:.2f} points"
    low, high = pair.interval.low, pair.interval.high
    p = _p(pair.p_value)
    if pair.comparisons > 1:
        p += f"; corrected for {pair.comparisons} comparisons (Holm): {_p(pair.adjusted_p_value)}"
    better, worse = (b, a) if pair.difference > 0 else (a, b)
    if pair.difference < 0:
        low, high = -high, -low
    shares = sorted(correct / pair.n for correct in pair.correct)
    sure = f"95 % interval {low * 100:.2f} to {high * 100:.2f}; {p}"
    same = f"the same {pictures(pair.n, pair.split)}"
    if pair.is_told:
        against = f"{shares[1]:.2%} against {shares[0]:.2%}"
        return f"{better} is better than {worse} by {points} ({sure}): {against} right of {same}."
    if pair.only_a == pair.only_b:
        how = (
            "get the same pictures right"
            if not pair.only_a
            else f"each get {pair.only_a:,} right that the other does not"
        )
        return f"No difference between {a} and {b}: they {how}, {shares[0]:.2%} of {same} ({sure})."
    return (
        f"{better} and {worse} cannot be told apart: {better} is {points} higher ({sure}) on {same}, which may be "
        f"chance. About {pictures(pair.more_pictures or 0, 'more')} would be needed to show a difference this small."
    )


def _p(value: float) -> str:
    """Return a p-value with the digits that matter."""
    return f"p = {value:.2g}" if value >= 1e-4 else "p < 0.0001"


def _right(tables: Mapping[str, Predictions]) -> np.ndarray:
    """Return whether each model (row) gets each picture (column) right, after checking that the pictures are the same.

    Raises:
        DataError: If they are not the same, or a table cannot be scored.
    """
    for table in tables.values():
        table.check()
    (name, first), *others = tables.items()
    place = {id_: row for row, id_ in enumerate(first.ids)}
    labels = np.array(first.classes)[first.labels]
    rows = [first.right]
    for other_name, other in others:
        if difference := _difference(name, first, other_name, other, place, labels):
            raise DataError(
                difference,
                hint="Judge both on the same pictures and labels: with the same corrections (--fix), or none.",
            )
        order = np.empty(len(place), dtype=np.int64)
        order[[place[id_] for id_ in other.ids]] = np.arange(len(place))
        rows.append(other.right[order])
    return np.stack(rows)


def _difference(
    name: str,
    first: Predictions,
    other_name: str,
    other: Predictions,
    place: Mapping[str, int],
    labels: np.ndarray,
) -> str:
    """Say how the pictures of two tables differ; return "" if they do not."""
    if first.split != other.split:
        one, another = map(split_in_words, (first.split, other.split))
        return f"{name} was judged on {one} pictures and {other_name} on {another} pictures."
    unknown = [id_ for id_ in other.ids if id_ not in place]
    missing = place.keys() - set(other.ids)
    if unknown or missing:
        only = f"only {other_name} has {said(unknown[0])}" if unknown else f"only {name} has {said(min(missing))}"
        return (
            f"{name} was judged on {len(first):,} pictures and {other_name} on {len(other):,}, and they differ: {only}."
        )
    other_labels = np.array(other.classes)[other.labels]
    first_labels = labels[[place[id_] for id_ in other.ids]]
    if len(rows := np.flatnonzero(other_labels != first_labels)):
        row = int(rows[0])
        label, other_label = said(str(first_labels[row])), said(str(other_labels[row]))
        return (
            f"The label of {said(other.ids[row])} is {label} for {name} and {other_label} for {other_name} "
            f"({len(rows):,} of {len(first):,} labels differ)."
        )
    return ""
