"""Calibration: whether a model that says 80 % is right in 80 % of cases, and the one number that helps. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from ..errors import UsageError
from ..records.scores import Bootstrap, Calibration, Interval, ReliabilityBin
from .intervals import SHARES, distinct, edge, resampled_weights

COLDEST, WARMEST = 0.05, 20.0  # the temperatures that are looked among


BINS = 15  # as in Guo et al. 2017 and most papers since


RESAMPLES = 2_000  # of the error, each of which weighs every picture anew


LEVEL = 0.95


def fit_temperature(
    logits: Float[np.ndarray, "n scores"],
    labels: Int[np.ndarray, " n"],
    prior: float = 1.0,
    weights: Float[np.ndarray, " n"] | None = None,
) -> float:
    """The temperature under which `softmax(logits / temperature)` makes these labels most likely.

    One column of logits is that of the second of two classes. The class with the highest probability stays the same.
    Guo et al., "On calibration of modern neural networks" (2017). What is looked for is the slope `1 / temperature`,
    in which minus the log likelihood is convex, by halving the range: within 0.05 to 20.

    Few pictures, or many that are all answered right, would say that the model can be surer without end. `prior` is
    the weight, in pictures, of what holds it at 1: `prior * (slope - log(slope))` is added, which is convex, too, and
    moves nothing that some hundred pictures say. With `prior=0` it is the likelihood alone. `weights` say how much each
    picture counts, which is 1 on average.

    >>> round(fit_temperature(np.array([[4.0], [4.0], [4.0], [-4.0]]), np.array([1, 1, 0, 0]), prior=0.0), 3)
    3.641

    Raises:
        UsageError: no pictures, labels without a score, or scores that are not finite.
    """
    scores = _of_each_class(logits)
    _check(scores, labels)
    rows = np.arange(len(scores))
    scores = scores - scores[rows, labels][:, None]  # so that the score of the right class is 0
    top = scores.max(1, keepdims=True)
    counts = np.ones(len(scores)) if weights is None else weights

    def rise(slope: float) -> float:
        """How the sum to be made small grows with the slope."""
        powers = np.exp((scores - top) * slope)
        expected = counts * ((powers * scores).sum(1) / powers.sum(1))
        return float(expected.sum()) + prior * (1 - 1 / slope)

    low, high = 1 / WARMEST, 1 / COLDEST
    if rise(low) == rise(high) == 0:  # no score tells classes apart: every temperature says the same
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
    """How far confidence and accuracy are apart, on average over bins of equal width, with an interval of 95 %.

    0 is the best. The value is a little above 0 for a perfect model, too, the more so the fewer pictures there are: in
    each bin the accuracy of some pictures is off by chance (Naeini, Cooper and Hauskrecht, "Obtaining well calibrated
    probabilities using Bayesian binning", 2015). The interval, which is of the error without that, knows of it; so the
    value lies in its upper part, or is its upper end.

    It is all errors that a test would not reject. Supposed is that bins are off as was seen, but all of them so many
    times as much; what chance adds to that is what resampling the pictures adds. Carpenter, "Test inversion bootstrap
    confidence intervals" (1999). It is approximate: in simulations it covers 90 to 99 %, where the usual bootstrap
    covers 0 to 84 % (docs/decisions/0007-statistics.md).

    Raises:
        UsageError: no pictures, no bins, labels without a column, or numbers that are no probabilities.
    """
    confidence, correct, places = _binned(probabilities, labels, bins)
    n = len(labels)
    counts, (gaps, places) = distinct((confidence - correct, places))
    sums = _sums(gaps, places)
    seen: np.ndarray = sums(counts[None])[0] / n
    value = min(float(np.abs(seen).sum()), 1.0)
    if n == 1:
        return Bootstrap(value, None, n, 0, 0, "one picture does not show how much others would differ")
    drawn = [sums(weights) / n for weights in resampled_weights(counts, n, resamples, seed)]
    return Bootstrap(value, _interval(value, seen, np.concatenate(drawn) - seen), n, resamples, 0)


def _sums(gaps: Float[np.ndarray, " rows"], places: Int64[np.ndarray, " rows"]) -> Callable[[Any], Any]:
    """A function from how often each row is there to the sum of the gaps between confidence and correctness by bin."""
    order = np.argsort(places, kind="stable")
    gaps, starts = gaps[order], np.unique(places[order], return_index=True)[1]
    # Not by BLAS, whose last digits depend on the machine and its threads.
    return lambda weights: np.add.reduceat(weights[:, order] * gaps, starts, 1)


def _interval(value: float, seen: Float[np.ndarray, " bins"], chance: Float[np.ndarray, "resamples bins"]) -> Interval:
    """The errors from which one of `value` may come by chance; `seen` is how far each bin was off."""
    tail, rounding = (1 - LEVEL) / 2, 1e-12 * value

    def errors(times: float) -> Float[np.ndarray, " resamples"]:
        found: np.ndarray = np.abs(times * seen + chance).sum(1)
        return found

    if value == 0:
        return Interval(0.0, float(np.quantile(errors(0.0), 1 - tail)))

    def is_not_too_low(times: float) -> bool:
        return bool((errors(times) >= value - rounding).mean() >= tail)

    def is_not_too_high(times: float) -> bool:
        return bool((errors(times) <= value + rounding).mean() >= tail)

    most = 2 + 2 * float(errors(0.0).max()) / value  # at which every error is larger
    low = edge(is_not_too_low, 1.0, 0.0)
    high = edge(is_not_too_high, 1.0, most) if is_not_too_high(1.0) else 1.0  # the value itself is always in it
    low, high = (round(times, 9) * value for times in (low, high))
    return Interval(min(low, value), min(high, 1.0))


def reliability(
    probabilities: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    bins: int = BINS,
    shares: str = "wilson",
) -> tuple[ReliabilityBin, ...]:
    """The bins of a reliability diagram in which there are pictures, the least confident first.

    `shares` names the interval of their accuracies.

    Raises:
        UsageError: as `expected_calibration_error`.
    """
    confidence, correct, places = _binned(probabilities, labels, bins)
    found = []
    for place in np.unique(places).tolist():
        here = places == place
        n, right = int(here.sum()), int(correct[here].sum())
        mean = float(confidence[here].mean())
        found.append(ReliabilityBin(place / bins, (place + 1) / bins, n, right, mean, SHARES[shares](right, n)))
    return tuple(found)


def calibration(
    split: str,
    temperature: float,
    probabilities: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    shares: str = "wilson",
) -> Calibration:
    """How well the probabilities of a split's pictures hold: the error, and the bins that it is from.

    Raises:
        UsageError: as `expected_calibration_error`.
    """
    error = expected_calibration_error(probabilities, labels)
    return Calibration(split, len(labels), temperature, error, reliability(probabilities, labels, shares=shares))


def _of_each_class(logits: Float[np.ndarray, "n scores"]) -> Float[np.ndarray, "n classes"]:
    """A score for each class, in double precision: one column is the second class's, against 0."""
    scores = np.asarray(logits, dtype=np.float64)
    return np.concatenate([np.zeros_like(scores), scores], axis=1) if scores.shape[1] == 1 else scores


def _binned(
    probabilities: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], bins: int
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """The probability of each answer, whether it is right, and the bin of that probability, whose upper end is in it.

    Raises:
        UsageError: as `expected_calibration_error`.
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    _check(shares, labels)
    if bins < 1 or shares.min() < 0 or shares.max() > 1:
        raise UsageError(
            f"{bins} bins for numbers from {shares.min():g} to {shares.max():g} make no diagram.",
            hint="Give one bin or more, and probabilities between 0 and 1.",
        )
    confidence: np.ndarray = shares.max(1)
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return confidence, shares.argmax(1) == labels, places


def _check(columns: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]) -> None:
    """Hold pictures, classes and labels against each other.

    Raises:
        UsageError: they do not go together.
    """
    if columns.ndim != 2 or not len(columns) or len(columns) != len(labels):
        raise UsageError(
            f"There are {len(columns):,} rows of scores and {len(labels):,} labels.", hint="Give one each a picture."
        )
    if labels.min() < 0 or labels.max() >= columns.shape[1]:
        raise UsageError(
            f"The labels go from {labels.min()} to {labels.max()}, and there are {columns.shape[1]} classes.",
            hint="Number the classes from 0.",
        )
    if not np.isfinite(columns).all():
        raise UsageError("There are scores that are not finite.", hint="Train with a lower learning rate.")
