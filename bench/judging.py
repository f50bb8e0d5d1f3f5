"""Measure the time and memory of judging, and how often its intervals contain the truth.

python bench/judging.py            seconds and memory: bootstrap, scores and comparison of 10,000 pictures
python bench/judging.py calibration   the same of the calibration error's interval alone
python bench/judging.py jackknife  how far its ends are from resampling's, with 100,000 pictures
python bench/judging.py coverage   how often intervals of 95 % include the truth, in simulations (minutes)
"""

from __future__ import annotations

import functools
import math
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from sevensteps.trust.calibration import BINS, expected_calibration_error
from sevensteps.trust.comparison import compare, tango
from sevensteps.trust.intervals import bootstrap, linear_combination, mean, means_without_one, wilson
from sevensteps.trust.jackknife import jackknife
from sevensteps.trust.predictions import Predictions, from_jsonl
from sevensteps.trust.roc_area import area_under_curve, areas_without_one
from sevensteps.trust.scores import log_losses, mean_of_classes, score_table

PICTURES, RESAMPLES, REPEATS = 10_000, 10_000, 3


def made_up(classes: int, seed: int = 0) -> Predictions:
    """Return predictions of a model that is right in about 90 % of cases."""
    random = np.random.default_rng(seed)
    labels = np.random.default_rng(0).integers(0, classes, PICTURES)
    logits = (random.normal(size=(PICTURES, classes)) + 3 * np.eye(classes)[labels]).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = [f"test/{row}" for row in range(PICTURES)]
    return Predictions(
        split="test",
        ids=ids,
        classes=tuple(f"class {label}" for label in range(classes)),
        labels=labels,
        logits=logits,
        probabilities=shares,
    )


def measured(title: str, work: Callable[[], Any]) -> None:
    """Print the median seconds of some repeats, their spread, and the peak memory of NumPy and Python."""
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    print(f"{title:<58} {statistics.median(seconds):6.2f} s ({spread}) {peak / 1e6:7.1f} MB", flush=True)


def costs() -> None:
    """Print time and memory of each part."""
    print(f"{PICTURES:,} pictures, median of {REPEATS}")
    two, ten = made_up(2), made_up(10)
    right = two.right.astype(np.float64)
    losses = log_losses(ten.labels, ten.probabilities)
    kept = {"resamples": RESAMPLES, "leave_one_out": means_without_one}
    measured(f"bootstrap, {RESAMPLES:,} resamples: a proportion", lambda: bootstrap(mean, right, **kept))
    measured(f"bootstrap, {RESAMPLES:,} resamples: a mean (log loss)", lambda: bootstrap(mean, losses, **kept))
    measured("  the same, leaving each row out without a formula", lambda: bootstrap(mean, losses))
    for table in (two, ten):
        scores = table.probabilities[:, 1:] if len(table.classes) == 2 else table.probabilities
        measured(
            f"bootstrap, {RESAMPLES:,} resamples: ROC AUC, {len(table.classes)} classes",
            functools.partial(
                bootstrap, area_under_curve, table.labels, scores.astype(np.float64), leave_one_out=areas_without_one
            ),
        )
    for table in (two, ten):
        measured(f"every figure, {len(table.classes)} classes", functools.partial(score_table, table))
    measured("a comparison", lambda: compare(ten, made_up(10, 1)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.jsonl"
        path.write_text(ten.to_jsonl())
        measured("reading predictions.jsonl, 10 classes", lambda: from_jsonl(path, ten.classes))


def jackknives() -> None:
    """Print how far the ends of resampling's intervals are from the jackknife's, in standard errors."""
    n = 100_000
    for number in range(3):
        random = np.random.default_rng(number)
        labels = random.integers(0, 2, n)
        logits = (random.normal(size=n) + 2 * labels - 1).astype(np.float32).astype(np.float64)
        losses = np.logaddexp(0, np.where(labels == 1, -logits, logits))
        kinds: dict[str, tuple[Any, tuple[np.ndarray, ...], Any]] = {
            "log loss": (mean, (losses,), means_without_one),
            "ROC AUC": (area_under_curve, (labels, logits[:, None]), areas_without_one),
        }
        for title, (statistic, columns, without) in kinds.items():
            found = jackknife(without(*columns), n)
            assert found.interval is not None
            assert found.value is not None
            error = (found.interval.high - found.value) / 1.959964
            for seed in range(2):
                drawn = bootstrap(statistic, *columns, resamples=2000, seed=seed, leave_one_out=without).interval
                assert drawn is not None
                ends = drawn.low - found.interval.low, drawn.high - found.interval.high
                off = " and ".join(f"{end / error:+.2f}" for end in ends)
                print(f"table {number}, {title}, resamples of seed {seed}: the ends are {off} standard errors off")


def covered(title: str, truth: float, intervals: list[tuple[float, float]]) -> None:
    """Print how often the intervals contain the truth, and their median width."""
    share = statistics.mean(low <= truth <= high for low, high in intervals)
    width = statistics.median(high - low for low, high in intervals)
    print(f"{title:<76} {share:6.1%}  width {width:.4f}", flush=True)


def coverage(simulations: int = 2000) -> None:
    """Print the coverage of the chosen intervals and of the alternatives."""
    random = np.random.default_rng(0)
    print(f"{simulations:,} simulations: one standard error is {math.sqrt(0.05 * 0.95 / simulations):.1%}")

    @functools.cache
    def resampled(only_a: int, only_b: int, n: int) -> tuple[float, float]:
        rows = np.repeat([-1.0, 1.0, 0.0], [only_a, only_b, n - only_a - only_b])
        found = bootstrap(mean, rows, resamples=2000, leave_one_out=means_without_one).interval
        return found.low, found.high

    for n, a, b in ((50, 0.1, 0.1), (200, 0.02, 0.02), (200, 0.04, 0.01), (2000, 0.002, 0.002), (2000, 0.01, 0.02)):
        alone = random.multinomial(n, [a, b, 1 - a - b], simulations).tolist()
        where = f"difference, {n:,} pictures, alone {a:g} and {b:g}"
        scored = [tango(one, other, n) for one, other, _ in alone]
        covered(f"{where}: Tango", b - a, [(found.low, found.high) for found in scored])
        covered(f"{where}: paired bootstrap (BCa)", b - a, [resampled(one, other, n) for one, other, _ in alone])

    for pictures, shares in ((20, [0.95] * 10), (100, [0.97] * 10), (100, [0.8, 0.99]), (1000, [0.97, 0.96])):
        k = len(shares)
        rights = random.binomial(pictures, shares, (simulations, k))
        squared, drawn = [], []
        for right in rights.tolist():
            ends = [wilson(correct, pictures) for correct in right]
            found = linear_combination(
                np.array(right) / pictures,
                np.array([one.low for one in ends]),
                np.array([one.high for one in ends]),
                np.full(k, 1 / k),
            )
            squared.append((found.low, found.high))
        for right in rights[: simulations // 4].tolist():
            label = np.repeat(np.arange(k), pictures)
            hit = np.concatenate([np.arange(pictures) < correct for correct in right]).astype(np.float64)

            interval = bootstrap(mean_of_classes, label, hit, resamples=1000).interval
            drawn.append((interval.low, interval.high))
        where = f"balanced accuracy, {k} classes of {pictures:,}"
        covered(f"{where}: Newcombe", statistics.mean(shares), squared)
        covered(f"{where}: bootstrap (BCa)", statistics.mean(shares), drawn)


def calibrations(simulations: int = 500) -> None:
    """Print the coverage of the calibration error's interval, for models with different errors."""
    random = np.random.default_rng(0)
    ways: dict[str, Callable[[Any, float], Any]] = {
        "surer than right": lambda sure, off: sure - off,
        "where unsure": lambda sure, off: sure - 8 * off * (1 - sure),
        "to and fro by bin": lambda sure, off: sure + np.where(np.floor(sure * BINS) % 2 == 0, off, -off),
    }

    def drawn(n: int) -> Any:
        return 1 - random.beta(0.35, 2.0, n) / 2  # mostly confident, as for a model that is right in 93 % of cases

    def bins(values: Any, sure: Any) -> Any:
        return np.abs(np.bincount(np.ceil(sure * BINS).astype(int), values)).sum() / len(sure)

    for n in (200, 2000):
        for way, off in (("surer than right", 0.0), *((way, off) for way in ways for off in (0.005, 0.01, 0.02, 0.05))):
            many = drawn(1_000_000)
            truth = float(bins(many - np.clip(ways[way](many, off), 0, 1), many))
            intervals = []
            for _ in range(simulations):
                sure = drawn(n)
                right = random.random(n) < np.clip(ways[way](sure, off), 0, 1)
                shares = np.stack([1 - sure, sure], axis=1)
                found = expected_calibration_error(shares, right.astype(np.int64), resamples=500).interval
                intervals.append((found.low, found.high))
            covered(f"calibration error {truth:.2%}, {n:,} pictures, {way}", truth, intervals)


def main() -> None:
    """Print costs, or coverage."""
    print(describe())
    {"coverage": coverage, "calibration": calibrations, "jackknife": jackknives}.get(" ".join(sys.argv[1:]), costs)()


if __name__ == "__main__":
    main()
