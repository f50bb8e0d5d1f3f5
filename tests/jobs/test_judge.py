"""Judging: intervals against SciPy, tables against PyTorch, and the doctor."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from small import images, learner, loaders
from torch.nn import functional as F

import sevensteps as ss
from sevensteps.errors import UsageError
from sevensteps.trust.intervals import score, wilson
from sevensteps.trust.predictions import predict_split


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_scipys(counts: tuple[int, int]) -> None:
    correct, n = counts
    interval = wilson(correct, n)
    expected = binomtest(correct, n).proportion_ci(0.95, "wilson")
    assert interval.low == pytest.approx(expected.low, abs=1e-12)
    assert interval.high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= interval.low <= correct / n <= interval.high <= 1
    assert correct / n in interval


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.99])
def test_wilsons_interval_is_scipys_at_other_levels(confidence: float) -> None:
    expected = binomtest(17, 40).proportion_ci(confidence, "wilson")
    interval = wilson(17, 40, confidence)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_wilsons_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(0).binomial(200, 0.96, 4000)
    covered = np.mean([0.96 in wilson(int(correct), 200) for correct in drawn])
    assert 0.93 < covered < 0.98


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (-1, 10), (11, 10), (0, -1)])
def test_what_is_no_proportion_is_refused(correct: int, n: int) -> None:
    with pytest.raises(UsageError, match="is not a proportion"):
        wilson(correct, n)


def test_a_score_says_its_split_count_and_interval() -> None:
    found = score("test", 1940, 2000)
    assert found.accuracy == 0.97
    assert found.as_json() == {
        "accuracy": 0.97,
        "low": wilson(1940, 2000).low,
        "high": wilson(1940, 2000).high,
        "n": 2000,
        "correct": 1940,
        "split": "test",
    }


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("model", ["linear", "cnn"])
def test_a_table_of_predictions_is_what_the_model_gives(classes: int, model: str) -> None:
    learn = learner(model, loaders(classes=classes))
    learn.fit(1, show=False)
    pictures = images(1500, classes=classes, seed=2)  # more than a batch
    table = predict_split(learn, pictures, "test")
    learn.model.eval()
    with torch.no_grad():
        logits = learn.model(torch.from_numpy(pictures.pixels).float() / 255)
    shares = F.softmax(logits if classes > 2 else torch.cat([torch.zeros_like(logits), logits], 1), dim=1)
    np.testing.assert_allclose(table.logits, logits.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table.probabilities, shares.numpy(), atol=1e-5)
    right = int((shares.argmax(1).numpy() == pictures.labels).sum())
    assert table.score == score("test", right, 1500)
    rows = [json.loads(line) for line in table.to_jsonl().splitlines()]
    assert [row["id"] for row in rows] == pictures.ids
    assert [row["label"] for row in rows] == [pictures.classes[label] for label in pictures.labels]
    assert np.array([row["logits"] for row in rows], dtype=np.float32).tolist() == table.logits.tolist()
    assert np.argmax([row["probabilities"] for row in rows], axis=1).tolist() == table.predicted.tolist()


def test_the_walk_throughs_stuck_seed_is_found_on_the_real_pictures() -> None:
    run = ss.train("pullover-dress", recipe="walkthrough-by-hand", seed=0, epochs=2)
    (finding,) = run.findings
    assert finding.code == "saturated"
    assert run.test is not None
    assert math.isclose(run.test.accuracy, 0.5, abs_tol=0.03)
    assert "96" not in finding.message.split("(")[0]
