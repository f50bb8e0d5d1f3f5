"""Every figure of a split against scikit-learn and by brute force, and defined where classes or pictures lack."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from tables import answering, rows_of, table

from sevensteps.errors import DataError, UsageError
from sevensteps.records.scores import Metric, Scores
from sevensteps.trust.intervals import newcombe_area, wilson
from sevensteps.trust.predictions import Predictions
from sevensteps.trust.roc_area import area_under_curve, areas_without_one
from sevensteps.trust.scores import (
    SMALLEST,
    brier_scores,
    confusion_matrix,
    is_among_top,
    log_losses,
    mean_of_classes,
    score_table,
)

SEEDS = st.integers(0, 2**32 - 1)


def areas_of_sklearn(one: Predictions) -> list[float]:
    """The area of each class against the rest, of those for which there is one."""
    scores = one.logits if one.logits.shape[1] == 1 else one.probabilities
    columns = [(1, scores[:, -1])] if len(one.classes) == 2 else list(enumerate(scores.T))
    pairs = [(one.labels == label, column) for label, column in columns]
    return [metrics.roc_auc_score(of_it, column) for of_it, column in pairs if 0 < of_it.sum() < len(of_it)]


def assert_sklearns(one: Predictions) -> None:
    """Hold every figure of a table against scikit-learn's."""
    scores = score_table(one, resamples=100)
    every = list(range(len(one.classes)))
    labels, answers, shares = one.labels, one.predicted, one.probabilities.astype(np.float64)
    expected: dict[str, float | None] = {"accuracy": metrics.accuracy_score(labels, answers)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are not there
        expected["balanced_accuracy"] = metrics.balanced_accuracy_score(labels, answers)
        shown = np.clip(shares, SMALLEST, 1.0)
        expected["log_loss"] = metrics.log_loss(labels, shown, labels=every)
        expected["brier"] = metrics.brier_score_loss(
            labels, shares[:, 1] if len(every) == 2 else shares, labels=every, scale_by_half=len(every) == 2
        )
        tied = [len(np.unique(row)) < len(row) for row in shares]
        if not any(tied):
            for k in (2, 3, 5):
                if k < len(every):
                    expected[f"top_{k}"] = metrics.top_k_accuracy_score(labels, shares, k=k, labels=every)
        areas = areas_of_sklearn(one)
        expected["roc_auc"] = float(np.mean(areas)) if areas else None
        parts = metrics.precision_recall_fscore_support(labels, answers, labels=every, zero_division=np.nan)
    for name, value in expected.items():
        assert scores[name].value == (None if value is None else pytest.approx(value, abs=1e-9)), name
    for found, precision, recall, f1, n in zip(scores.per_class, *parts, strict=True):
        assert found.n == n
        for metric, value in ((found.precision, precision), (found.recall, recall), (found.f1, f1)):
            assert metric.value == (None if math.isnan(value) else pytest.approx(value, abs=1e-9)), metric
    assert np.array_equal(scores.confusion, metrics.confusion_matrix(labels, answers, labels=every))
    assert_defined(scores)


def assert_defined(scores: Scores) -> None:
    """Hold that nothing is NaN, that every value lies in its interval, and that what is missing has a reason."""
    json.dumps(scores.as_json(), allow_nan=False)
    of_classes = [metric for one in scores.per_class for metric in (one.recall, one.precision, one.f1)]
    for metric in [*scores.metrics.values(), *of_classes]:
        if metric.value is None or metric.low is None or metric.high is None:
            assert metric.low is None
            assert metric.high is None
            assert metric.note
            assert metric.method == ""
        else:
            assert metric.low <= metric.value <= metric.high, metric
            assert metric.method in ("wilson", "newcombe", "bootstrap")
            assert metric.low >= 0
            assert metric.name == "log_loss" or metric.high <= 2
        assert metric.split == scores.split


CASES = st.tuples(st.integers(1, 60), st.integers(2, 7), SEEDS, st.sampled_from([0.0, 1.0, 4.0]), st.booleans())


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_every_figure_is_scikit_learns(case: tuple[Any, ...]) -> None:
    n, classes, seed, skill, ties = case
    assert_sklearns(table(n, classes, seed, skill, digits=0 if ties else None))


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(CASES)
def test_every_figure_is_scikit_learns_thousands_of_times(case: tuple[Any, ...]) -> None:
    n, classes, seed, skill, ties = case
    assert_sklearns(table(n, classes, seed, skill, digits=0 if ties else None))


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(2, 40), st.integers(2, 4), st.integers(0, 2))
def test_the_area_of_a_resample_is_that_of_its_rows(seed: int, n: int, classes: int, digits: int) -> None:
    one = table(n, classes, seed, 1.0, digits=digits)
    scores = one.logits if classes == 2 else one.probabilities
    weights = np.random.default_rng(seed).multinomial(n, np.ones(n) / n, 5).astype(np.float64)
    there = np.unique(one.labels)
    with np.errstate(all="ignore"):
        found = area_under_curve(one.labels, scores)(weights)
    for area, counts in zip(found, weights.astype(int), strict=True):
        rows = np.repeat(np.arange(n), counts)
        drawn = rows_of(one, rows)
        if set(drawn.labels) == set(there) and len(there) > 1:
            assert area == pytest.approx(np.mean(areas_of_sklearn(drawn)), abs=1e-9)
        else:
            assert math.isnan(area)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(2, 30), st.integers(2, 4), st.integers(0, 2))
def test_areas_with_one_row_taken_out_are_those_of_the_rows_that_are_left(
    seed: int, n: int, classes: int, digits: int
) -> None:
    one = table(n, classes, seed, 1.0, digits=digits)
    scores = one.logits if classes == 2 else one.probabilities
    counts = np.random.default_rng(seed).integers(1, 3, n).astype(np.float64)
    found = areas_without_one(one.labels, scores)(counts)
    without = np.tile(counts, (n, 1)) - np.eye(n)
    with np.errstate(all="ignore"):
        expected = area_under_curve(one.labels, scores)(without)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(SEEDS, st.integers(1, 40), st.integers(2, 6), st.data())
def test_the_top_answers_are_those_that_sorting_puts_first(seed: int, n: int, classes: int, data: Any) -> None:
    shares = np.random.default_rng(seed).integers(0, 4, (n, classes)) / 10  # many are equal: the first class is ahead
    labels = np.random.default_rng(seed).integers(0, classes, n)
    k = data.draw(st.integers(1, classes))
    expected = [label in np.argsort(-row, kind="stable")[:k] for label, row in zip(labels, shares, strict=True)]
    assert is_among_top(labels, shares, k).tolist() == expected
    assert is_among_top(labels, shares, 1).tolist() == (shares.argmax(1) == labels).tolist()


@pytest.mark.parametrize("k", [0, 3])
def test_more_top_answers_than_classes_are_refused(k: int) -> None:
    with pytest.raises(UsageError, match=f"Top-{k} accuracy is not possible with 2"):
        is_among_top(np.zeros(1, dtype=np.int64), np.full((1, 2), 0.5), k)


def test_shares_have_wilsons_interval_and_their_n() -> None:
    one = table(400, 4)
    scores = score_table(one, resamples=100)
    right = int(one.right.sum())
    assert scores["accuracy"] == Metric(
        name="accuracy",
        value=right / 400,
        low=wilson(right, 400).low,
        high=wilson(right, 400).high,
        n=400,
        split="test",
        method="wilson",
    )
    for label, found in enumerate(scores.per_class):
        hit = scores.confusion[label][label]
        n, answers = sum(scores.confusion[label]), sum(row[label] for row in scores.confusion)
        assert (found.n, found.recall.n, found.answers, found.precision.n) == (n, n, answers, answers)
        assert (found.recall.low, found.recall.high) == dataclasses.astuple(wilson(hit, n))
        assert (found.precision.low, found.precision.high) == dataclasses.astuple(wilson(hit, answers))
        overlap = wilson(hit, n + answers - hit)
        assert found.f1.low == pytest.approx(2 * overlap.low / (1 + overlap.low))
        assert found.f1.high == pytest.approx(2 * overlap.high / (1 + overlap.high))


def test_a_class_without_pictures_is_said_left_out_and_keeps_its_place() -> None:
    one = table(300, 4)
    without = rows_of(one, np.flatnonzero(one.labels != 2))
    scores = score_table(without, resamples=200)
    assert scores.absent == ("class 2",)
    assert scores.classes == one.classes
    assert [found.name for found in scores.per_class] == list(one.classes)
    assert scores.confusion[2] == (0, 0, 0, 0)
    assert sum(row[2] for row in scores.confusion) > 0  # answers that name it are still counted
    gone = scores.per_class[2]
    assert gone.recall.value is None
    assert gone.recall.note == "no test picture is class 2"
    assert gone.precision.value == gone.f1.value == 0
    assert scores["balanced_accuracy"].value == pytest.approx(
        np.mean([scores.per_class[label].recall.value for label in (0, 1, 3)])
    )
    for name in ("balanced_accuracy", "roc_auc"):
        assert scores[name].note == "without class 2: no pictures in test"
    assert_sklearns(without)


def test_a_class_that_is_neither_there_nor_answered_has_no_figures() -> None:
    one = answering(np.array([0, 1, 0]), np.array([0, 1, 1]), classes=3)
    nothing = score_table(one, resamples=100).per_class[2]
    assert (nothing.recall.value, nothing.precision.value, nothing.f1.value) == (None, None, None)
    assert nothing.precision.note == "no test picture was answered class 2"
    assert nothing.f1.note == "no test picture is class 2, and none was answered so"


def test_pictures_of_one_class_have_no_curve_and_it_is_said() -> None:
    one = table(50)
    scores = score_table(rows_of(one, np.flatnonzero(one.labels == 1)), resamples=100)
    assert scores["roc_auc"].value is None
    assert scores["roc_auc"].note == "every test picture is class 1"
    assert_defined(scores)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_pictures_give_defined_figures(n: int, classes: int) -> None:
    for seed in range(40):
        scores = score_table(table(n, classes, seed), resamples=100)
        assert_defined(scores)
        if n == 1:
            for name in ("log_loss", "brier"):
                assert scores[name].value is not None
                assert scores[name].note.startswith("no interval: one row")


def test_classes_that_do_not_overlap_are_not_certain_to_be_told_apart() -> None:
    scores = score_table(table(40, 2, skill=50.0), resamples=200)
    area = scores["roc_auc"]
    of_one = int(sum(scores.confusion[1]))
    assert (area.value, area.high, area.method) == (1, 1, "newcombe")
    assert area.low == newcombe_area(1.0, of_one, 40 - of_one).low < 0.98
    many = score_table(table(60, 3, skill=50.0), resamples=200)
    assert 0.8 < many["roc_auc"].low < 0.98
    for one in (scores, many):
        assert one["balanced_accuracy"].high == 1 > one["balanced_accuracy"].low > 0.5


def test_the_two_classes_of_one_logit_are_ranked_by_it_where_probabilities_are_all_0_or_1() -> None:
    one = table(400, 2, skill=1.0)
    steep = dataclasses.replace(
        one,
        logits=one.logits * 1000,
        probabilities=np.stack([one.labels != one.labels, one.labels == one.labels], 1).astype(np.float32),
    )
    assert score_table(steep, resamples=100)["roc_auc"].value == pytest.approx(areas_of_sklearn(one)[0])


def test_a_probability_of_0_for_the_right_class_is_counted_and_said() -> None:
    shares = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    labels = np.array([1, 0, 1])
    one = Predictions(
        split="test",
        ids=["a", "b", "c"],
        classes=("x", "y"),
        labels=labels,
        logits=np.log(shares + 1e-9)[:, 1:],
        probabilities=shares,
    )
    np.testing.assert_allclose(log_losses(labels, shares), [-math.log(SMALLEST), math.log(2), 0])
    assert "(1 of 3)" in score_table(one, resamples=100)["log_loss"].note


def test_brier_scores_are_squared_distances() -> None:
    labels = np.array([1, 0])
    np.testing.assert_allclose(brier_scores(labels, np.array([[0.2, 0.8], [0.3, 0.7]])), [0.04, 0.49])
    np.testing.assert_allclose(brier_scores(labels, np.array([[0.2, 0.7, 0.1], [0.0, 0.0, 1.0]])), [0.14, 2.0])


def test_a_confusion_matrix_has_labels_in_rows() -> None:
    found = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1]), 3)
    assert found.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]


def test_the_intervals_of_means_and_areas_are_about_their_standard_errors() -> None:
    one = table(3000, 3, skill=1.0)
    scores = score_table(one)
    losses = log_losses(one.labels, one.probabilities)
    half = 1.96 * losses.std() / math.sqrt(3000)
    assert scores["log_loss"].high - scores["log_loss"].low == pytest.approx(2 * half, rel=0.1)
    two = table(3000, 2, skill=1.0)
    area = score_table(two)["roc_auc"]
    won = (two.logits[two.labels == 1] > two.logits[two.labels == 0].T).astype(float)  # DeLong's error, by its columns
    error = math.sqrt(won.mean(1).var(ddof=1) / len(won) + won.mean(0).var(ddof=1) / won.shape[1])
    assert area.high - area.low == pytest.approx(2 * 1.96 * error, rel=0.1)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_balanced_accuracy_of_a_resample_is_that_of_its_rows(classes: int) -> None:
    one = table(40, classes, skill=1.0)
    weights = np.random.default_rng(1).multinomial(40, np.ones(40) / 40, 50).astype(np.float64)
    with np.errstate(invalid="ignore"):
        found = mean_of_classes(one.labels, one.right.astype(np.float64))(weights)
    for value, counts in zip(found, weights.astype(int), strict=True):
        drawn = rows_of(one, np.repeat(np.arange(40), counts))
        if len(set(drawn.labels)) == classes:
            assert value == pytest.approx(metrics.balanced_accuracy_score(drawn.labels, drawn.predicted))
        else:
            assert math.isnan(value)


def test_the_interval_of_a_balanced_accuracy_is_about_its_standard_error() -> None:
    scores = score_table(table(5000, 3, skill=1.0))
    spread = math.sqrt(sum(c.recall.value * (1 - c.recall.value) / c.n for c in scores.per_class)) / 3
    found = scores["balanced_accuracy"]
    assert found.method == "bootstrap"
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_the_same_table_has_the_same_figures_whether_it_was_written_or_not() -> None:
    one = table(500, 3)
    again = dataclasses.replace(
        one, logits=one.logits.astype(np.float64), probabilities=one.probabilities.astype(np.float64)
    )
    assert score_table(one) == score_table(again)
    assert score_table(one, seed=1)["log_loss"] != score_table(one)["log_loss"]
    assert score_table(one, seed=1)["log_loss"].value == score_table(one)["log_loss"].value


@pytest.mark.usefixtures("without_shape_checks")
def test_a_damaged_table_has_no_figures() -> None:
    one = table(5)
    with pytest.raises(DataError, match="row 1"):
        score_table(dataclasses.replace(one, probabilities=one.probabilities * np.nan))


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.usefixtures("without_shape_checks")
def test_10000_pictures_are_scored_in_2_seconds(classes: int) -> None:
    one = table(10_000, classes)
    began = time.process_time()  # of this process: others on the machine do not count
    score_table(one)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("classes", [2, 4])
def test_the_area_of_many_pictures_is_scikit_learns(classes: int) -> None:
    one = table(100_001, classes, skill=1.0)
    area = score_table(one).metrics["roc_auc"]
    assert area.method == "jackknife"
    assert area.value == pytest.approx(np.mean(areas_of_sklearn(one)), abs=1e-9)
    fewer = score_table(one_of(one, 5_000)).metrics["roc_auc"]
    assert area.low is not None
    assert area.high is not None
    assert fewer.low is not None
    assert fewer.high is not None
    width = (fewer.high - fewer.low) / math.sqrt(100_001 / 5_000)  # that of a twentieth of the pictures, resampled
    assert area.high - area.low == pytest.approx(width, rel=0.15)


def one_of(whole: Predictions, n: int) -> Predictions:
    """The first rows of a table."""
    columns = {name: getattr(whole, name)[:n] for name in ("labels", "logits", "probabilities")}
    return dataclasses.replace(whole, ids=whole.ids[:n], **columns)
