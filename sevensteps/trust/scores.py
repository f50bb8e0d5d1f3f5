"""Compute every metric of a split, with its interval, from one table of predictions. Needs no pictures and no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from ..base.words import split_in_words
from ..errors import UsageError
from ..records.scores import OUT_OF_FOLD, Bootstrap, ClassScores, Interval, Metric, Score, Scores
from .intervals import SHARES, Weights, bootstrap, linear_combination, mean, means_without_one, newcombe_area, wilson
from .predictions import Predictions
from .roc_area import against_rest, area_under_curve, areas_without_one, one_area

RESAMPLES = 2_000  # the ends of an interval then lie within 0.06 standard errors of their limits


TOP = (2, 3, 5)  # k of top-k accuracy, if there are more classes than that


SMALLEST = float(np.finfo(np.float32).eps)  # a probability of 0 counts as this in the log loss, as in scikit-learn


def score_table(table: Predictions, *, resamples: int = RESAMPLES, seed: int = 0, shares: str = "wilson") -> Scores:
    """Compute accuracy, balanced and top-k accuracy, ROC area, log loss, Brier score, and the metrics of each class.

    Proportions have the interval that `shares` names, the other metrics a seeded bootstrap's. If resampling sees no
    spread, as when every answer is right, balanced accuracy and ROC area have Newcombe's interval. Each metric names
    its `method`. Classes without pictures in the split are listed in `absent` and left out of means over classes; they
    keep their place in `per_class` and `confusion`. A metric without a value is None, with a reason.

    Args:
        table: The predictions of a split.
        resamples: The number of bootstrap resamples, at least 100.
        seed: The seed of the resamples.
        shares: The interval of proportions: "wilson" or "clopper-pearson".

    Raises:
        DataError: If the table cannot be scored; see `Predictions.check`.
        UsageError: If there are fewer than 100 resamples.
    """
    table.check()
    confusion = confusion_matrix(table.labels, table.predicted, len(table.classes))
    absent = _absent(table)
    note = _without(table)
    metrics = [
        _share(table.split, "accuracy", int(np.trace(confusion)), len(table), shares),
        _balanced_accuracy(table, confusion, note, resamples, seed),
        *(_top(table, k, shares) for k in TOP if k < len(table.classes)),
        _area(table, note, resamples, seed),
        _log_loss(table, resamples, seed),
        _brier(table, resamples, seed),
    ]
    return Scores(
        split=table.split,
        n=len(table),
        classes=tuple(table.classes),
        absent=absent,
        metrics={metric.name: metric for metric in metrics},
        per_class=tuple(_of_class(table, confusion, label, shares) for label in range(len(table.classes))),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        resamples=resamples,
        seed=seed,
    )


def score_of(table: Predictions, folds: int = 1) -> Score:
    """Return accuracy and balanced accuracy of a split, each with its interval.

    Args:
        table: The predictions of the split.
        folds: The number of folds, which is noted if the predictions are out-of-fold.
    """
    note = f"{folds}-fold cross-validation" if table.split == OUT_OF_FOLD else ""
    confusion = confusion_matrix(table.labels, table.predicted, len(table.classes))
    balanced = _balanced_accuracy(table, confusion, _without(table), RESAMPLES, 0)
    return dataclasses.replace(table.score, note=note, balanced=balanced, absent=_absent(table))


def _absent(table: Predictions) -> tuple[str, ...]:
    """Return the classes of which the split has no picture."""
    present = np.bincount(table.labels, minlength=len(table.classes)) > 0
    return tuple(name for name, is_there in zip(table.classes, present, strict=True) if not is_there)


def _without(table: Predictions) -> str:
    """Say which classes a mean over classes leaves out; "" if it leaves none out."""
    absent = _absent(table)
    return f"without {', '.join(absent)}: no pictures in {table.split}" if absent else ""


def confusion_matrix(
    labels: Int64[np.ndarray, " n"], predicted: Int64[np.ndarray, " n"], classes: int
) -> Int64[np.ndarray, "classes classes"]:
    """Count how many pictures of each class (row) got each answer (column).

    Args:
        labels: The class of each picture.
        predicted: The answer to each picture.
        classes: The number of classes.
    """
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def log_losses(
    labels: Int64[np.ndarray, " n"], probabilities: Float[np.ndarray, "n classes"]
) -> Float64[np.ndarray, " n"]:
    """Return each picture's log loss in nats: minus the logarithm of the probability of its class.

    Args:
        labels: The class of each picture.
        probabilities: The probability of each class; one below 1.2e-7 counts as that.
    """
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: np.ndarray = -np.log(np.clip(own, SMALLEST, 1.0))
    return losses + 0.0  # a probability of 1 gives 0, not -0


def brier_scores(
    labels: Int64[np.ndarray, " n"], probabilities: Float[np.ndarray, "n classes"]
) -> Float64[np.ndarray, " n"]:
    """Return each picture's squared distance from the truth: 0 to 1 for two classes, 0 to 2 for more.

    Brier, "Verification of forecasts expressed in terms of probability" (1950). The sum over classes is halved for two
    classes, as is usual and as scikit-learn does.

    Args:
        labels: The class of each picture.
        probabilities: The probability of each class.
    """
    truth = np.eye(probabilities.shape[1])[labels]
    squares = (probabilities.astype(np.float64) - truth) ** 2
    total: np.ndarray = squares[:, 1] if probabilities.shape[1] == 2 else squares.sum(1)
    return total


def is_among_top(
    labels: Int64[np.ndarray, " n"], probabilities: Float[np.ndarray, "n classes"], k: int
) -> Bool[np.ndarray, " n"]:
    """Return whether each picture's class is among the k most probable; of equal probabilities the first class wins.

    Args:
        labels: The class of each picture.
        probabilities: The probability of each class.
        k: How many classes count, from 1 to the number of classes.

    Raises:
        UsageError: If k is out of range.
    """
    classes = probabilities.shape[1]
    if not 1 <= k <= classes:
        raise UsageError(f"Top-{k} accuracy is not possible with {classes} classes.", hint=f"Use 1 to {classes}.")
    own = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(classes) < labels[:, None]
    ahead = ((probabilities > own) | ((probabilities == own) & before)).sum(1)
    return np.asarray(ahead < k)


def _share(split: str, name: str, correct: int, n: int, method: str, nothing: str = "") -> Metric:
    """Return a proportion with its interval; without pictures it is None, with `nothing` as the reason."""
    if n == 0:
        return Metric(name=name, value=None, low=None, high=None, n=0, split=split, method="", note=nothing)
    interval = SHARES[method](correct, n)
    return Metric(name=name, value=correct / n, low=interval.low, high=interval.high, n=n, split=split, method=method)


def _of_class(table: Predictions, confusion: np.ndarray, label: int, method: str) -> ClassScores:
    """Return the recall of a class, the precision of its answers, and the F1 of both.

    F1 = 2J / (1 + J), where J is the share of right answers among all pictures that are of the class or got it as their
    answer. J is a proportion, and F1 rises with it, so J's interval gives that of F1.
    """
    split, name = table.split, table.classes[label]
    right, n, answers = (
        int(count) for count in (confusion[label, label], confusion[label].sum(), confusion[:, label].sum())
    )
    of = split_in_words(split)
    neither = f"no {of} picture is {name}, and none was answered so"
    overlap = _share(split, "f1", right, n + answers - right, method, neither)
    f1 = overlap
    if overlap.value is not None and overlap.low is not None and overlap.high is not None:
        value, low, high = (2 * share / (1 + share) for share in (overlap.value, overlap.low, overlap.high))
        f1 = Metric(name="f1", value=value, low=low, high=high, n=overlap.n, split=split, method=method)
    return ClassScores(
        name=name,
        n=n,
        answers=answers,
        recall=_share(split, "recall", right, n, method, f"no {of} picture is {name}"),
        precision=_share(split, "precision", right, answers, method, f"no {of} picture was answered {name}"),
        f1=f1,
    )


def _balanced_accuracy(table: Predictions, confusion: np.ndarray, note: str, resamples: int, seed: int) -> Metric:
    """Return the mean recall of the classes that have pictures."""
    found = bootstrap(
        mean_of_classes,
        table.labels,
        table.right.astype(np.float64),
        resamples=resamples,
        seed=seed,
        within=(0.0, 1.0),
    )
    if found.interval is not None and found.interval.low < found.interval.high:
        return _bootstrapped("balanced_accuracy", table.split, found, note)
    there = np.flatnonzero(confusion.sum(1))
    right, of = np.diag(confusion)[there], confusion.sum(1)[there]
    intervals = [wilson(int(correct), int(n)) for correct, n in zip(right, of, strict=True)]
    lows, highs = (np.array([getattr(one, end) for one in intervals]) for end in ("low", "high"))
    wide = linear_combination(right / of, lows, highs, np.full(len(there), 1 / len(there)))
    return _not_resampled("balanced_accuracy", table, float((right / of).mean()), wide, note)


def mean_of_classes(
    labels: Shaped[np.ndarray, " rows"], values: Float[np.ndarray, " rows"]
) -> Callable[[Weights], Any]:
    """Return the mean over classes of the mean in each class, as a statistic for `bootstrap`.

    Args:
        labels: The class of each row.
        values: The values to average.

    Returns:
        A function from weights (resamples, rows) to the means, NaN if a class was not drawn.
    """
    of_class = (labels[:, None] == np.unique(labels)).astype(np.float64)
    return lambda weights: ((weights @ (of_class * values[:, None])) / (weights @ of_class)).mean(1)


def _top(table: Predictions, k: int, method: str) -> Metric:
    """Return how often the right class is among the k most probable."""
    right = int(is_among_top(table.labels, table.probabilities, k).sum())
    return _share(table.split, f"top_{k}", right, len(table), method)


def _area(table: Predictions, note: str, resamples: int, seed: int) -> Metric:
    """Return the area under the ROC curve, from the logit of two classes, which does not saturate, or probabilities."""
    split, n = table.split, len(table)
    scores = (table.logits if table.logits.shape[1] == 1 else table.probabilities).astype(np.float64)
    if len(table.classes) == 2:
        scores = scores[:, -1:]
    ranked = against_rest(table.labels, scores)
    if not ranked:
        (name,) = {table.classes[label] for label in table.labels.tolist()}
        return Metric(
            name="roc_auc",
            value=None,
            low=None,
            high=None,
            n=n,
            split=split,
            method="",
            note=f"every {split_in_words(split)} picture is {name}",
        )
    found = bootstrap(
        area_under_curve,
        table.labels,
        scores,
        resamples=resamples,
        seed=seed,
        within=(0.0, 1.0),
        leave_one_out=areas_without_one,
    )
    if found.value is None or (found.interval is not None and found.interval.low < found.interval.high):
        return _bootstrapped("roc_auc", split, found, note)
    intervals = []
    for label, column in ranked:
        of_class = int((table.labels == label).sum())
        area = float(one_area(table.labels == label, column)(np.ones((1, n)))[0])
        intervals.append(newcombe_area(area, of_class, n - of_class))
    low, high = (float(np.mean([getattr(one, end) for one in intervals])) for end in ("low", "high"))
    return _not_resampled("roc_auc", table, found.value, Interval(low, high), note)


def _log_loss(table: Predictions, resamples: int, seed: int) -> Metric:
    """Return the mean log loss in nats."""
    losses = log_losses(table.labels, table.probabilities)
    none = int((table.probabilities[np.arange(len(table)), table.labels] < SMALLEST).sum())
    note = f"a probability below {SMALLEST:.2g} for the right class counts as {SMALLEST:.2g} ({none} of {len(table):,})"
    return _mean("log_loss", table.split, losses, (0.0, math.inf), note if none else "", resamples, seed)


def _brier(table: Predictions, resamples: int, seed: int) -> Metric:
    """Return the mean Brier score."""
    scores = brier_scores(table.labels, table.probabilities)
    return _mean("brier", table.split, scores, (0.0, 1.0 if len(table.classes) == 2 else 2.0), "", resamples, seed)


def _mean(
    name: str, split: str, values: Any, within: tuple[float, float], note: str, resamples: int, seed: int
) -> Metric:
    """Return the mean of one value for each picture."""
    found = bootstrap(mean, values, resamples=resamples, seed=seed, within=within, leave_one_out=means_without_one)
    return _bootstrapped(name, split, found, note)


def _not_resampled(name: str, table: Predictions, value: float, wide: Interval, note: str) -> Metric:
    """Return a metric that is the same in every resample, as when every answer is right, with an interval by formula.

    A sum of right answers may be 0.9999999999999999; the interval includes that, and stays within 0 to 1.
    """
    low, high = min(max(wide.low, 0.0), value), max(min(wide.high, 1.0), value)
    return Metric(
        name=name, value=value, low=low, high=high, n=len(table), split=table.split, method="newcombe", note=note
    )


def _bootstrapped(name: str, split: str, found: Bootstrap, note: str) -> Metric:
    """Return a metric with the interval of the bootstrap."""
    interval: Interval | None = found.interval
    notes = [note] if note else []
    if interval is None:
        notes.append(f"no interval: {found.reason}")
    elif found.excluded:
        notes.append(f"the interval leaves out {found.excluded:,} resamples in which a class has no pictures")
    return Metric(
        name=name,
        value=found.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        n=found.n,
        split=split,
        method=found.method,
        note="; ".join(notes),
    )
