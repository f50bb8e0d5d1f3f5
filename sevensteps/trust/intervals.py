"""Confidence intervals: by formula for proportions, by the bootstrap for everything else. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from ..errors import UsageError
from ..records.scores import Bootstrap, Interval, Score
from .jackknife import MANY, counted_kinds, is_costly, jackknife

RESAMPLES = 10_000


AT_ONCE = 1 << 18  # numbers drawn together: 2 MB, which stay in the processor's cache


FEWEST = 100  # resamples in which a statistic needs a value before an interval is computed from them


Weights = Float[np.ndarray, "resamples rows"]  # how often each row was drawn


Statistic = Callable[..., Callable[[Any], Any]]  # columns of rows -> (weights -> values, one for each resample)


def wilson(correct: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval for a proportion; it is also defined at 0 of n and n of n.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927). Its coverage is close to the
    nominal one even for small n (Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001).

    Args:
        correct: The number of successes.
        n: The number of trials.
        confidence: The nominal coverage, between 0 and 1.

    >>> interval = wilson(8, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.49, 0.943)

    Raises:
        UsageError: If there are no trials, the count is not in 0 to n, or the confidence is not between 0 and 1.
    """
    _check_proportion(correct, n, confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(0.0 if correct == 0 else max(center - half, 0.0), 1.0 if correct == n else min(center + half, 1.0))


def clopper_pearson(correct: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the exact interval for a proportion; it never covers the truth too rarely, and is wider for that.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial" (1934).

    >>> interval = clopper_pearson(8, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.444, 0.975)

    Args:
        correct: The number of successes.
        n: The number of trials.
        confidence: The nominal coverage, between 0 and 1.

    Raises:
        UsageError: As `wilson`.
    """
    from scipy.special import betaincinv

    _check_proportion(correct, n, confidence)
    tail = (1 - confidence) / 2
    low = float(betaincinv(correct, n - correct + 1, tail)) if correct else 0.0
    high = float(betaincinv(correct + 1, n - correct, 1 - tail)) if correct < n else 1.0
    return Interval(low, high)


SHARES: dict[str, Callable[[int, int], Interval]] = {"wilson": wilson, "clopper-pearson": clopper_pearson}


def _check_proportion(correct: int, n: int, confidence: float) -> None:
    """Raise a UsageError unless the numbers make a proportion and a confidence."""
    if not 0 <= correct <= n or n == 0:
        raise UsageError(
            f"{correct} of {n} is not a proportion.", hint="Give a count from 0 to n, and an n of 1 or more."
        )
    _check_confidence(confidence)


def _check_confidence(confidence: float) -> None:
    """Raise a UsageError unless the confidence is between 0 and 1."""
    if not 0 < confidence < 1:
        raise UsageError(f"A confidence of {confidence} is not between 0 and 1.", hint="0.95 is usual.")


def score(split: str, correct: int, n: int) -> Score:
    """Return the accuracy of a split with its 95 % interval.

    Args:
        split: The name of the split.
        correct: The number of right answers.
        n: The number of pictures.

    Raises:
        UsageError: As `wilson`.
    """
    return Score(split=split, correct=correct, n=n, interval=wilson(correct, n))


def bootstrap(
    statistic: Statistic,
    *columns: Shaped[np.ndarray, "n ..."],
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
    within: tuple[float, float] = (-math.inf, math.inf),
    leave_one_out: Callable[..., Any] | None = None,
) -> Bootstrap:
    """Compute a statistic of rows with its BCa interval from seeded resamples.

    The same rows and seed give the same interval. It always includes the value itself. Resamples without a value are
    left out and counted. There is no interval, and `reason` says why, if there is one row, if the statistic has no
    value, or if fewer than 100 resamples have one. More than 100,000 rows are not resampled; see `jackknife`.

    Efron, "Better bootstrap confidence intervals" (1987); DiCiccio and Efron, "Bootstrap confidence intervals" (1996).

    >>> losses = np.array([0.1, 0.2, 0.1, 0.9, 0.3])
    >>> found = bootstrap(mean, losses, within=(0.0, math.inf))
    >>> round(found.value, 3), found.interval.low < found.value < found.interval.high
    (0.32, True)

    Args:
        statistic: `statistic(*columns)` returns a function from weights (resamples, rows), which say how often each row
            was drawn, to one value for each resample, NaN if it has none (as when a class was not drawn). It must not
            depend on the order of rows: equal rows are passed as one, so that a proportion has two rows instead of n.
        *columns: Numbers, (n,) or (n, k).
        resamples: How many resamples to draw.
        seed: The seed of the draws.
        confidence: The nominal coverage, between 0 and 1.
        within: The range of the statistic, to which the interval is clipped.
        leave_one_out: `leave_one_out(*columns)` returns a function from how often each row occurs, (rows,), to the
            values with one of each row taken out. Without it they are calculated, which costs as much as one resample
            for each distinct row.

    Raises:
        UsageError: If there are no columns or rows, lengths differ, there are fewer than 100 resamples, or the
            confidence is not between 0 and 1.
    """
    _check_confidence(confidence)
    if not columns or any(len(column) != len(columns[0]) for column in columns) or not len(columns[0]):
        lengths = ", ".join(f"{len(column):,}" for column in columns) or "none"
        raise UsageError(
            f"There are no rows to resample: the columns have {lengths} rows.", hint="Give columns of the same length."
        )
    if resamples < FEWEST:
        raise UsageError(f"{resamples} resamples are too few for an interval.", hint=f"Use {FEWEST} or more.")
    n = len(columns[0])
    if leave_one_out is not None and is_costly(columns):
        return jackknife(leave_one_out(*columns), n, confidence, within)
    counts, columns = distinct(columns)
    from_weights = statistic(*columns)
    value = float(_calculated(from_weights, counts[None])[0])
    has_value = not math.isnan(value)
    if not has_value or n == 1:
        why = "one row does not show how much others would differ" if has_value else "it has no value for these rows"
        return Bootstrap(value=value if has_value else None, interval=None, n=n, resamples=0, excluded=0, reason=why)
    drawn = np.concatenate(
        [_calculated(from_weights, weights) for weights in resampled_weights(counts, n, resamples, seed)]
    )
    found = drawn[~np.isnan(drawn)]
    excluded = resamples - len(found)
    if len(found) < FEWEST:
        return Bootstrap(
            value=value,
            interval=None,
            n=n,
            resamples=len(found),
            excluded=excluded,
            reason=f"only {len(found)} of {resamples:,} resamples have a value",
        )
    if leave_one_out is None:
        without = _without_one(from_weights, counts)
    else:
        without = _calculated(leave_one_out(*columns), counts)
    low, high = bca(value, found, without, counts, confidence)
    low, high = min(low, value), max(high, value)
    clipped = Interval(min(max(low, within[0]), within[1]), min(max(high, within[0]), within[1]))
    return Bootstrap(value=value, interval=clipped, n=n, resamples=len(found), excluded=excluded)


def bca(
    value: float,
    resampled: Float[np.ndarray, " resamples"],
    without_one: Float[np.ndarray, " rows"],
    counts: Float[np.ndarray, " rows"],
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the two ends of the bias-corrected and accelerated (BCa) interval.

    If every resample lies on one side of the value, half a resample is counted on the other side. If the acceleration
    is so large that the formula changes sign, the end is the last resample.

    Args:
        value: The statistic of all rows.
        resampled: The statistic of each resample.
        without_one: The statistic with one of each row taken out; NaN if it has no value then.
        counts: How often each row occurs.
        confidence: The nominal coverage, between 0 and 1.
    """
    if resampled.min() == resampled.max():
        return float(resampled[0]), float(resampled[0])
    rounding = 1e-12 * max(abs(value), 1e-300)  # equal sums in another order differ by rounding; equal ones count half
    below = ((resampled < value - rounding).mean() + (resampled <= value + rounding).mean()) / 2
    normal = NormalDist()  # not SciPy's, whose import takes longer than all resamples
    bias = normal.inv_cdf(min(max(float(below), 0.5 / len(resampled)), 1 - 0.5 / len(resampled)))
    there = ~np.isnan(without_one)
    weights, left = counts[there], without_one[there]
    influence = (weights @ left) / weights.sum() - left if len(left) else np.zeros(1)
    spread = float(weights @ influence**2) if len(left) else 0.0
    acceleration = float(weights @ influence**3) / (6 * spread**1.5) if spread > 0 else 0.0
    shares = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        distance = bias + normal.inv_cdf(tail)
        room = 1 - acceleration * distance
        shares.append(normal.cdf(bias + distance / room) if room > 0 else float(distance > 0))
    low, high = np.quantile(resampled, shares)
    return float(low), float(high)


def mean(values: Float[np.ndarray, " rows"]) -> Callable[[Weights], Any]:
    """Return the mean of a column, as a statistic for `bootstrap`.

    Args:
        values: The column.

    >>> mean(np.array([1.0, 2.0]))(np.array([[1.0, 1.0], [0.0, 2.0]]))
    array([1.5, 2. ])
    """
    # Not with BLAS, whose last digits depend on the machine and its threads.
    return lambda weights: np.einsum("ij,j->i", weights, values) / weights.sum(1)


def means_without_one(values: Float[np.ndarray, " rows"]) -> Callable[[Float[np.ndarray, " rows"]], Any]:
    """Return the means with one of each row taken out: `leave_one_out` for `mean`.

    Args:
        values: The column.
    """
    return lambda weights: (weights @ values - values) / (weights.sum() - 1)


def distinct(
    columns: tuple[Shaped[np.ndarray, "n ..."], ...],
) -> tuple[Float[np.ndarray, " rows"], tuple[np.ndarray, ...]]:
    """Merge equal rows.

    Args:
        columns: Numbers, (n,) or (n, k).

    Returns:
        How often each distinct row occurs, and the columns of the distinct rows.
    """
    if len(columns[0]) > MANY and (few := counted_kinds(columns)) is not None:
        return few
    table = np.column_stack([column.reshape(len(column), -1).astype(np.float64) for column in columns])
    _, first, counts = np.unique(table, axis=0, return_index=True, return_counts=True)
    return counts.astype(np.float64), tuple(column[first] for column in columns)


def _calculated(from_weights: Callable[[Any], Any], weights: np.ndarray) -> np.ndarray:
    """Return the values of a statistic; a division by zero gives NaN without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(from_weights(weights), dtype=np.float64)


def resampled_weights(counts: Float[np.ndarray, " rows"], n: int, resamples: int, seed: int) -> Any:
    """Yield how often each row is drawn in each resample, one block of resamples at a time.

    If there are few distinct rows, their counts are drawn from the multinomial distribution, which is equivalent to
    drawing n rows: a count takes about 60 ns, a row 3 ns. The block size affects only the memory.

    Args:
        counts: How often each distinct row occurs.
        n: The number of rows, which is the sum of the counts.
        resamples: How many resamples to draw.
        seed: The seed of the draws.

    Yields:
        Weights (block, rows); the array is reused for the next block.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    kinds = len(counts)
    as_counts = kinds * 20 < n
    kind_of = None if kinds == n else np.repeat(np.arange(kinds), counts.astype(np.int64))
    size = max(1, AT_ONCE // (kinds if as_counts else n))
    weights = np.empty((min(size, resamples), kinds))  # reused for all blocks: allocating costs more than filling
    for start in range(0, resamples, size):
        block = weights[: resamples - start]
        if as_counts:
            block[:] = random.multinomial(n, counts / n, len(block))
        else:
            for row in block:
                places = random.integers(0, n, n)
                row[:] = np.bincount(places if kind_of is None else kind_of[places], minlength=kinds)
        yield block


def _without_one(from_weights: Callable[[Any], Any], counts: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Return the statistic with one of each row taken out."""
    kinds = len(counts)
    size = max(1, AT_ONCE // kinds)
    blocks = []
    for start in range(0, kinds, size):
        places = np.arange(start, min(start + size, kinds))
        weights = np.tile(counts, (len(places), 1))
        weights[np.arange(len(places)), places] -= 1
        blocks.append(_calculated(from_weights, weights))
    return np.concatenate(blocks)


def linear_combination(
    shares: Float[np.ndarray, " groups"],
    lows: Float[np.ndarray, " groups"],
    highs: Float[np.ndarray, " groups"],
    weights: Float[np.ndarray, " groups"],
) -> Interval:
    """Return the interval of a weighted sum of independent proportions, from the interval of each.

    The distances to the ends are squared and added. This also works if every proportion is 0 or 1, where the bootstrap
    sees no spread. Newcombe, "Interval estimation
    for the difference between independent proportions" (1998), for any sum: Zou and Donner, "Construction of
    confidence limits about effect measures: a general approach" (2008).

    Args:
        shares: The proportions.
        lows: The lower ends of their intervals.
        highs: The upper ends of their intervals.
        weights: The weight of each proportion in the sum.
    """
    value = float(weights @ shares)
    down = math.sqrt(float((weights**2) @ (shares - lows) ** 2))
    up = math.sqrt(float((weights**2) @ (highs - shares) ** 2))
    return Interval(value - down, value + up)


def newcombe_area(area: float, positives: int, negatives: int, confidence: float = 0.95) -> Interval:
    """Return a score interval for the area under the ROC curve, also defined if the classes do not overlap.

    Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2: asymptotic
    methods and evaluation" (2006), method 5.

    Args:
        area: The area, from 0 to 1.
        positives: The number of pictures of the class.
        negatives: The number of other pictures.
        confidence: The nominal coverage, between 0 and 1.

    Raises:
        UsageError: If a class has no pictures, the area is outside 0 to 1, or the confidence is not between 0 and 1.
    """
    _check_confidence(confidence)
    if positives < 1 or negatives < 1 or not 0 <= area <= 1:
        raise UsageError(
            f"An area of {area} under the ROC curve of {positives} and {negatives} pictures is not possible.",
            hint="Give an area from 0 to 1, and pictures of both classes.",
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    more = (positives + negatives) / 2 - 1

    def is_inside(truth: float) -> bool:
        spread = truth * (1 - truth) * (1 + more * ((1 - truth) / (2 - truth) + truth / (1 + truth)))
        return (area - truth) ** 2 <= z * z * spread / (positives * negatives)

    return Interval(edge(is_inside, area, 0.0), edge(is_inside, area, 1.0))


def edge(is_inside: Callable[[float], bool], inside: float, outside: float) -> float:
    """Find by bisection where a condition ends.

    Args:
        is_inside: The condition.
        inside: A number for which it holds.
        outside: A number in the direction to search.

    Returns:
        The last number for which the condition holds; `outside` if it holds there.
    """
    if is_inside(outside):
        return outside
    while (middle := (inside + outside) / 2) not in (inside, outside):
        inside, outside = (middle, outside) if is_inside(middle) else (inside, middle)
    return inside
