"""Calibration: whether answers with 80 % confidence are right in 80 % of cases; and temperature scaling. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from ..errors import UsageError
from ..records.calibration import Calibration, ReliabilityBin
from ..records.scores import Bootstrap, Interval
from .intervals import SHARES, distinct, edge, resampled_weights
from .jackknife import MANY

COLDEST, WARMEST = 0.05, 20.0  # the range of temperatures


BINS = 15  # as in Guo et al. 2017 and most later papers


RESAMPLES = 2_000  # of the calibration error


LEVEL = 0.95


def fit_temperature(
    logits: Float[np.ndarray, "n scores"],
    labels: Int[np.ndarray, " n"],
    prior: float = 1.0,
    weights: Float[np.ndarray, " n"] | None = None,
) -> float:
    """Find the temperature for which `softmax(logits / temperature)` makes the labels most likely.

    The most probable class stays the same. Guo et al., "On calibration of modern neural networks" (2017). The negative
    log likelihood is convex in the slope `1 / temperature`, which is found by bisection.

    Few pictures, or many that are all answered right, would call for ever more confidence. So `prior * (slope -
    log(slope))` is added, which is convex, too, pulls the temperature toward 1, and hardly matters beyond a hundred
    pictures.

    Args:
        logits: The scores of the classes; one column is that of the second of two classes.
        labels: The class of each picture.
        prior: The weight of the pull toward 1, in pictures; 0 gives maximum likelihood.
        weights: How much each picture counts, 1 on average.

    Returns:
        The temperature, from 0.05 to 20.

    >>> round(fit_temperature(np.array([[4.0], [4.0], [4.0], [-4.0]]), np.array([1, 1, 0, 0]), prior=0.0), 3)
    3.641

    Raises:
        UsageError: If there are no pictures, a label has no score, or a score is not finite.
    """
    scores = _of_each_class(logits)
    _check(scores, labels)
    rows = np.arange(len(scores))
    scores = scores - scores[rows, labels][:, None]  # the score of the right class becomes 0
    top = scores.max(1, keepdims=True)
    counts = np.ones(len(scores)) if weights is None else weights

    def rise(slope: float) -> float:
        """Return the derivative of the objective by the slope."""
        powers = np.exp((scores - top) * slope)
        expected = counts * ((powers * scores).sum(1) / powers.sum(1))
        return float(expected.sum()) + prior * (1 - 1 / slope)

    low, high = 1 / WARMEST, 1 / COLDEST
    if rise(low) == rise(high) == 0:  # all scores are equal: every temperature gives the same probabilities
        return 1.0
    if rise(low) >= 0 or rise(high) <= 0:
        return WARMEST if rise(low) >= 0 else COLDEST
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if rise(middle) < 0 else (low, middle)
    return 1 / middle


def expected_calibration_error(
    probabilities: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    bins: int = BINS,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Bootstrap:
    """Return how far confidence and accuracy differ, on average over bins of equal width, with a 95 % interval.

    0 is best. Even a perfect model gets a value above 0, the more so the fewer pictures there are, because the accuracy
    in each bin varies by chance (Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
    binning", 2015). The interval is for the error without that bias, so the value lies in its upper part or at its
    upper end.

    The interval contains the errors that a test would not reject. The test assumes that the gaps of all bins are the
    observed ones times one factor, and that chance adds what resampling adds. Carpenter, "Test inversion bootstrap
    confidence intervals" (1999). It is approximate: in simulations it covers 90 to 99 %, where the usual bootstrap
    covers 0 to 84 % (docs/decisions/0007-statistics.md).

    Args:
        probabilities: The probability of each class.
        labels: The class of each picture.
        bins: The number of bins of confidence.
        resamples: The number of bootstrap resamples.
        seed: The seed of the resamples.

    Raises:
        UsageError: If there are no pictures or bins, a label has no column, or numbers are not probabilities.
    """
    confidence, correct, places = _binned(probabilities, labels, bins)
    n = len(labels)
    if n > MANY:
        return _of_many(confidence - correct, places, resamples, seed)
    counts, (gaps, places) = distinct((confidence - correct, places))
    sums = _sums(gaps, places)
    seen: np.ndarray = sums(counts[None])[0] / n
    value = min(float(np.abs(seen).sum()), 1.0)
    if n == 1:
        return Bootstrap(
            value=value,
            interval=None,
            n=n,
            resamples=0,
            excluded=0,
            reason="one picture does not show how much others would differ",
        )
    drawn = [sums(weights) / n for weights in resampled_weights(counts, n, resamples, seed)]
    return Bootstrap(
        value=value, interval=_interval(value, seen, np.concatenate(drawn) - seen), n=n, resamples=resamples, excluded=0
    )


def _of_many(gaps: Float[np.ndarray, " n"], places: Int64[np.ndarray, " n"], resamples: int, seed: int) -> Bootstrap:
    """Return the error of many pictures, with the sums of each bin drawn from the normal distribution.

    Resampling so many pictures gives the same sums: independent rows, with the covariance of the multinomial.
    """
    n = len(gaps)
    _, places = np.unique(places, return_inverse=True)
    seen, squares = (np.bincount(places, values) / n for values in (gaps, gaps**2))
    spread = (np.diag(squares) - np.outer(seen, seen)) / n
    random = np.random.Generator(np.random.PCG64(seed))
    chance = random.multivariate_normal(np.zeros(len(seen)), spread, resamples, method="eigh")
    value = min(float(np.abs(seen).sum()), 1.0)
    return Bootstrap(value=value, interval=_interval(value, seen, chance), n=n, resamples=resamples, excluded=0)


def _sums(gaps: Float[np.ndarray, " rows"], places: Int64[np.ndarray, " rows"]) -> Callable[[Any], Any]:
    """Return a function from row weights to the sum, in each bin, of the gaps between confidence and correctness."""
    order = np.argsort(places, kind="stable")
    gaps, starts = gaps[order], np.unique(places[order], return_index=True)[1]
    # Not with BLAS, whose last digits depend on the machine and its threads.
    return lambda weights: np.add.reduceat(weights[:, order] * gaps, starts, 1)


def _interval(value: float, seen: Float[np.ndarray, " bins"], chance: Float[np.ndarray, "resamples bins"]) -> Interval:
    """Return the range of true errors that could give `value` by chance; `seen` is the gap of each bin."""
    tail, rounding = (1 - LEVEL) / 2, 1e-12 * value

    def errors(times: float) -> Float[np.ndarray, " resamples"]:
        total: np.ndarray = np.abs(times * seen + chance).sum(1)
        return total

    if value == 0:
        return Interval(0.0, float(np.quantile(errors(0.0), 1 - tail)))

    def is_not_too_low(times: float) -> bool:
        return bool((errors(times) >= value - rounding).mean() >= tail)

    def is_not_too_high(times: float) -> bool:
        return bool((errors(times) <= value + rounding).mean() >= tail)

    most = 2 + 2 * float(errors(0.0).max()) / value  # a factor at which every error is larger
    low = edge(is_not_too_low, 1.0, 0.0)
    high = edge(is_not_too_high, 1.0, most) if is_not_too_high(1.0) else 1.0  # the value itself is always inside
    low, high = (round(times, 9) * value for times in (low, high))
    return Interval(min(low, value), min(high, 1.0))


def reliability(
    probabilities: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    bins: int = BINS,
    shares: str = "wilson",
) -> tuple[ReliabilityBin, ...]:
    """Return the bins of a reliability diagram that have pictures, the least confident first.

    Args:
        probabilities: The probability of each class.
        labels: The class of each picture.
        bins: The number of bins of confidence.
        shares: The interval of the accuracies: "wilson" or "clopper-pearson".

    Raises:
        UsageError: As `expected_calibration_error`.
    """
    confidence, correct, places = _binned(probabilities, labels, bins)
    found = []
    for place in np.unique(places).tolist():
        here = places == place
        n, right = int(here.sum()), int(correct[here].sum())
        mean = float(confidence[here].mean())
        found.append(
            ReliabilityBin(
                low=place / bins,
                high=(place + 1) / bins,
                n=n,
                correct=right,
                confidence=mean,
                interval=SHARES[shares](right, n),
            )
        )
    return tuple(found)


def calibration(
    split: str,
    temperature: float,
    probabilities: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    shares: str = "wilson",
) -> Calibration:
    """Return how well the probabilities of a split are calibrated: the error, and the bins behind it.

    Args:
        split: The name of the split.
        temperature: The temperature by which the logits were divided.
        probabilities: The probability of each class.
        labels: The class of each picture.
        shares: The interval of the accuracies: "wilson" or "clopper-pearson".

    Raises:
        UsageError: As `expected_calibration_error`.
    """
    error = expected_calibration_error(probabilities, labels)
    return Calibration(split, len(labels), temperature, error, reliability(probabilities, labels, shares=shares))


def _of_each_class(logits: Float[np.ndarray, "n scores"]) -> Float[np.ndarray, "n classes"]:
    """Return a score for each class in double precision; one column is the second class, against 0."""
    scores = np.asarray(logits, dtype=np.float64)
    return np.concatenate([np.zeros_like(scores), scores], axis=1) if scores.shape[1] == 1 else scores


def _binned(
    probabilities: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], bins: int
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return the confidence of each answer, whether it is right, and the confidence's bin, upper end included.

    Raises:
        UsageError: As `expected_calibration_error`.
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    _check(shares, labels)
    if bins < 1 or shares.min() < 0 or shares.max() > 1:
        raise UsageError(
            f"A diagram needs bins and probabilities: there are {bins} bins, and numbers from {shares.min():g} to "
            f"{shares.max():g}.",
            hint="Give one bin or more, and probabilities between 0 and 1.",
        )
    confidence: np.ndarray = shares.max(1)
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return confidence, shares.argmax(1) == labels, places


def _check(columns: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]) -> None:
    """Check that scores, labels and classes match.

    Raises:
        UsageError: If they do not match, or a score is not finite.
    """
    if columns.ndim != 2 or not len(columns) or len(columns) != len(labels):
        raise UsageError(
            f"There are {len(columns):,} rows of scores and {len(labels):,} labels.",
            hint="Give one of each for every picture.",
        )
    if labels.min() < 0 or labels.max() >= columns.shape[1]:
        raise UsageError(
            f"The labels go from {labels.min()} to {labels.max()}, but there are {columns.shape[1]} classes.",
            hint="Number the classes from 0.",
        )
    if not np.isfinite(columns).all():
        raise UsageError("Some scores are not finite.", hint="Train with a lower learning rate.")
