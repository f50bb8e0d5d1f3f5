"""Temperature, calibration error and reliability: against SciPy and plain loops, and as a run has them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from tables import table as table_of
from typed import idx

import sevensteps as ss
from sevensteps.errors import UsageError
from sevensteps.records.events import Epoch, Opening
from sevensteps.runs import checkpoint
from sevensteps.ship.predict import load_model
from sevensteps.trust.calibration import expected_calibration_error, fit_temperature, reliability
from sevensteps.trust.intervals import wilson


def made_up(n: int, classes: int, seed: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels that are drawn from their softmax."""
    random = np.random.default_rng(seed)
    columns = 1 if classes == 2 else classes
    logits = random.normal(0, spread, (n, columns))
    shares = softmax(both(logits), axis=1).cumsum(1)
    return logits, np.minimum((random.random((n, 1)) > shares).sum(1), classes - 1)


def both(logits: np.ndarray) -> np.ndarray:
    return np.concatenate([0 * logits, logits], axis=1) if logits.shape[1] == 1 else logits


def objective(logits: np.ndarray, labels: np.ndarray, prior: float) -> Any:
    """What the temperature makes small, from SciPy's log-softmax, as a function of the slope."""
    scores = both(logits)

    def value(slope: float) -> float:
        likelihood = log_softmax(scores * slope, axis=1)[np.arange(len(labels)), labels].sum()
        return float(-likelihood + prior * (slope - math.log(slope)))

    return value


# A temperature


@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 10**6), st.floats(0.1, 8), st.sampled_from([0.0, 1.0]))
@settings(max_examples=150, deadline=None)
def test_the_temperature_is_where_scipy_finds_it(n: int, classes: int, seed: int, spread: float, prior: float) -> None:
    logits, labels = made_up(n, classes, seed, spread)
    logits *= 10 ** np.random.default_rng(seed).uniform(-1, 1)
    value = objective(logits, labels, prior)
    found = minimize_scalar(value, bounds=(1 / 20, 1 / 0.05), method="bounded", options={"xatol": 1e-12})
    slope = 1 / fit_temperature(logits, labels, prior)
    assert 0.05 <= 1 / slope <= 20
    assert value(slope) <= value(found.x) + 1e-9 * max(1, abs(value(found.x)))
    assert value(slope) <= min(value(slope * 1.001), value(slope * 0.999)) or slope in (1 / 20, 1 / 0.05)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("truth", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_found_again(classes: int, truth: float) -> None:
    logits, labels = made_up(20_000, classes, 3)
    assert fit_temperature(truth * logits, labels) == pytest.approx(truth, rel=0.05)


def test_labels_that_scores_tell_apart_or_never_do_give_an_answer() -> None:
    right = np.array([[3.0], [2.0], [-3.0], [-1.0]])
    labels = np.array([1, 1, 0, 0])
    assert fit_temperature(right, labels, prior=0.0) == 0.05
    assert 0.3 < fit_temperature(right, labels) < 1, "four pictures do not make a model sure without end"
    assert fit_temperature(np.tile(right, (5000, 1)), np.tile(labels, 5000)) < 0.15, "twenty thousand say more"
    assert fit_temperature(-right, labels, prior=0.0) == 20
    assert 1 < fit_temperature(-right[:1], labels[:1]) < 5, "nor does one picture make it doubt everything"
    for prior in (0.0, 1.0):
        assert fit_temperature(np.zeros((3, 1)), np.array([0, 1, 1]), prior) == pytest.approx(1)
        assert fit_temperature(np.full((3, 4), 7.0), np.array([0, 3, 1]), prior) == pytest.approx(1)
    assert 0.05 <= fit_temperature(np.array([[1e30], [-1e30], [1e-30]]), np.array([1, 0, 0])) <= 20


def test_one_column_is_two_of_which_the_first_is_zero() -> None:
    logits, labels = made_up(50, 2, 1)
    assert fit_temperature(logits, labels) == fit_temperature(both(logits), labels)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((0, 2)), np.zeros(0, dtype=np.int64)),
        (np.zeros((2, 2)), np.zeros(3, dtype=np.int64)),
        (np.zeros((2, 2)), np.array([0, 2])),
        (np.zeros((2, 2)), np.array([0, -1])),
        (np.array([[0.0, np.nan]]), np.array([0])),
        (np.array([[0.0, np.inf]]), np.array([0])),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_what_is_no_table_of_scores_is_refused(logits: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(UsageError):
        fit_temperature(logits, labels)
    with pytest.raises(UsageError):
        expected_calibration_error(logits, labels)
    with pytest.raises(UsageError):
        reliability(logits, labels)


def test_what_are_no_probabilities_is_refused() -> None:
    with pytest.raises(UsageError, match="probabilities"):
        expected_calibration_error(np.array([[2.0, -1.0]]), np.array([0]))
    with pytest.raises(UsageError, match="0 bins"):
        reliability(np.array([[0.5, 0.5]]), np.array([0]), bins=0)


# The error and its diagram


def slow_error(shares: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """The expected calibration error as it is defined, picture by picture."""
    sums: dict[int, list[tuple[float, int]]] = {}
    for row, label in zip(shares.tolist(), labels.tolist(), strict=True):
        best = max(row)
        sums.setdefault(max(math.ceil(best * bins), 1), []).append((best, row.index(best) == label))
    gaps = ((len(b), sum(c for c, _ in b) / len(b) - sum(r for _, r in b) / len(b)) for b in sums.values())
    return sum(n / len(labels) * abs(gap) for n, gap in gaps)


@given(st.integers(1, 80), st.integers(2, 5), st.integers(0, 10**6), st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_the_error_is_that_of_its_definition(n: int, classes: int, seed: int, bins: int) -> None:
    logits, labels = made_up(n, classes, seed)
    shares = softmax(2 * both(logits), axis=1)
    found = expected_calibration_error(shares, labels, bins, resamples=100)
    assert found.value == pytest.approx(slow_error(shares, labels, bins), abs=1e-12)
    assert found.n == n
    if n > 1:
        assert found.interval is not None
        assert 0 <= found.interval.low <= found.value <= found.interval.high <= 1
    drawn = reliability(shares, labels, bins)
    assert sum(one.n for one in drawn) == n
    assert sum(one.n * abs(one.accuracy - one.confidence) for one in drawn) / n == pytest.approx(found.value, abs=1e-12)
    for one in drawn:
        assert one.low - 1e-12 <= one.confidence <= one.high + 1e-12
        assert one.high - one.low == pytest.approx(1 / bins)
        assert one.interval == wilson(one.correct, one.n)
        assert one.accuracy in one.interval
    assert [one.low for one in drawn] == sorted(one.low for one in drawn)


@pytest.mark.parametrize("off", [0.0, 0.01, 0.03])
def test_the_interval_of_the_error_includes_the_truth(off: float) -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(60):
        confidence = random.uniform(0.55, 0.95, 500)
        right = random.random(500) < confidence - off
        shares = np.stack([1 - confidence, confidence], axis=1)
        found = expected_calibration_error(shares, right.astype(np.int64), resamples=300).interval
        assert found is not None
        covered += off in found
    assert covered >= 53  # the bootstrap's own interval, whose value is too high, has 0, 1 and 43


def test_certain_and_right_has_no_error_and_certain_and_wrong_all() -> None:
    certain, labels = np.tile([[1.0, 0.0]], (50, 1)), np.zeros(50, dtype=np.int64)
    for answers, error in ((labels, 0.0), (labels + 1, 1.0)):
        found = expected_calibration_error(certain, answers)
        assert found.value == error
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == (error, error)
    assert expected_calibration_error(certain[:1], labels[:1]).interval is None, "one picture shows no spread"


def test_the_interval_is_the_same_each_time_and_narrower_for_more_pictures() -> None:
    logits, labels = made_up(4000, 3, 7)
    shares = softmax(2 * logits, axis=1)
    few, many = (expected_calibration_error(shares[:n], labels[:n]) for n in (200, 4000))
    assert few.interval is not None
    assert many.interval is not None
    assert many.interval.high - many.interval.low < (few.interval.high - few.interval.low) / 2
    assert expected_calibration_error(shares, labels) == many


# In a run


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that pixels tell apart now and then: a model that learns them by heart is too sure of others."""
    folder = tmp_path_factory.mktemp("three")
    random = np.random.default_rng(0)
    patterns = random.integers(0, 256, (3, 12, 12))
    for split, count in (("train", 600), ("t10k", 60)):
        labels = np.arange(count) % 3
        pixels = 0.12 * patterns[labels] + 0.88 * random.integers(0, 256, (count, 12, 12))
        (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def test_training_fits_it_on_the_validation_pictures_and_changes_no_answer(three: Path, tmp_path: Path) -> None:
    run = ss.train(three, lr=0.5, epochs=8, hold_out=0.3, out=tmp_path / "run")
    learn, valid = run.learn, run.tables["valid"]
    assert learn.temperature == fit_temperature(valid.logits, valid.labels) > 1.1
    for table in run.tables.values():
        np.testing.assert_allclose(table.probabilities, softmax(table.logits / learn.temperature, axis=1), atol=1e-6)
        assert (table.probabilities.argmax(1) == table.logits.argmax(1)).all()
    saved = checkpoint.read(tmp_path / "run/checkpoint.safetensors")
    assert saved.about["temperature"] == learn.temperature
    loaded = ss.load_learner(tmp_path / "run")
    assert loaded.temperature == learn.temperature
    pixels = np.random.default_rng(0).integers(0, 256, (9, 1, 12, 12), dtype=np.uint8)
    expected = learn.probabilities(learn.model(torch.from_numpy(pixels).float() / 255)).detach().numpy()
    np.testing.assert_allclose(load_model(tmp_path / "run").probabilities(pixels), expected, atol=1e-6)


def test_the_test_pictures_have_no_say_in_it(three: Path) -> None:
    run = ss.train(three, epochs=2)
    assert run.learn.temperature == ss.train(three, epochs=2, test=False).learn.temperature != 1


@pytest.mark.parametrize("how", [{"hold_out": 0.0}, {"validate_on": "test"}, {"loss": "mse_loss", "lr": 0.01}])
def test_without_validation_pictures_or_logits_it_stays_one(three: Path, how: dict[str, Any]) -> None:
    run = ss.train(three, epochs=1, **how)
    assert run.learn.temperature == 1
    assert run.judgement()["calibration"]["temperature"] == 1


def test_where_a_recipe_validates_on_the_test_pictures_others_that_are_there_have_no_say(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sevensteps.runs import pictures as opening

    whole = ss.load(three).hold_out(0.2)
    monkeypatch.setattr(opening, "open_source", lambda recipe, observe, fix: whole)
    assert ss.train(three, epochs=2, lr=0.5).learn.temperature != pytest.approx(1, rel=0.1)
    run = ss.train(three, epochs=2, lr=0.5, validate_on="test")
    assert (run.learn.temperature, run.learn.abstention) == (1, None)


def test_an_interrupted_run_has_none_yet(three: Path, tmp_path: Path) -> None:
    import signal

    def interrupt(event: object) -> None:
        if isinstance(event, Epoch):
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "run"
    run = ss.train(three, epochs=2, out=out, observe=interrupt)
    assert (run.interrupted, run.learn.temperature, run.learn.abstention) == (signal.SIGINT, 1, None)
    assert ss.load_learner(out).temperature == 1
    assert ss.resume(out).learn.temperature != 1


def test_it_is_of_the_epoch_that_is_kept_and_training_goes_on_from_the_last(three: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {"lr": 3.0, "epochs": 6, "keep": "best", "schedule": "constant"}
    out = tmp_path / "run"
    run = ss.train(three, out=out, **how)
    assert run.kept_epoch < run.epochs, "these settings are to have an earlier best"
    kept = run.tables["valid"]
    assert run.learn.temperature == fit_temperature(kept.logits, kept.labels)
    assert run.learn.temperature != pytest.approx(ss.train(three, **{**how, "keep": "last"}).learn.temperature, rel=0.1)
    saved = checkpoint.read(out / "checkpoint.safetensors")
    last = ss.train(three, **{**how, "keep": "last"}).learn.model.state_dict()
    for name, tensor in last.items():
        assert (saved.arrays[f"model.{name}"] == tensor.numpy()).all()


def test_going_on_with_a_finished_run_restores_it(three: Path, tmp_path: Path) -> None:
    run = ss.train(three, epochs=2, out=tmp_path / "run")
    again = ss.resume(tmp_path / "run").learn
    assert again.temperature == run.learn.temperature != 1
    assert again.abstention is not None
    assert run.learn.abstention is not None
    assert again.abstention.facts() == run.learn.abstention.facts()


def test_a_run_that_is_to_be_longer_has_none_until_its_end(three: Path, tmp_path: Path) -> None:
    ss.train(three, epochs=1, schedule="constant", out=tmp_path / "run")

    def leave(event: object) -> None:
        if isinstance(event, Opening):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ss.resume(tmp_path / "run", epochs=1, observe=leave)
    about = checkpoint.read(tmp_path / "run/checkpoint.safetensors").about
    assert (about["temperature"], about["abstain"]) == (1, None)


def test_training_on_forgets_what_was_fitted_to_other_parameters(three: Path, tmp_path: Path) -> None:
    learn = ss.train(three, epochs=2).learn
    learn.save(tmp_path / "learner")
    learn.load(tmp_path / "learner")
    assert (learn.temperature, learn.abstention) == (1, None)
    learn = ss.train(three, epochs=2).learn
    learn.fit(1, show=False)
    assert (learn.temperature, learn.abstention) == (1, None)


def test_the_judgement_says_how_well_probabilities_hold(three: Path, tmp_path: Path) -> None:
    run = ss.train(three, epochs=2, out=tmp_path / "run")
    said = json.loads((tmp_path / "run/judgement.json").read_text())["calibration"]
    table = run.tables["test"]
    error = expected_calibration_error(table.probabilities, table.labels)
    assert (said["split"], said["n"], said["temperature"]) == ("test", 60, run.learn.temperature)
    assert error.interval is not None
    assert (said["error"], said["low"], said["high"]) == (error.value, error.interval.low, error.interval.high)
    assert sum(one["n"] for one in said["bins"]) == 60
    assert sum(one["correct"] for one in said["bins"]) == run.test.correct  # type: ignore[union-attr]


def test_the_error_of_many_pictures_has_the_interval_that_resampling_gives() -> None:
    one = table_of(100_001, 3, skill=1.0)
    found = expected_calibration_error(one.probabilities, one.labels).interval
    resampled = expected_calibration_error(one.probabilities[:-1], one.labels[:-1], resamples=500).interval
    assert found is not None
    assert resampled is not None
    width = resampled.high - resampled.low
    assert found.low == pytest.approx(resampled.low, abs=0.2 * width)
    assert found.high == pytest.approx(resampled.high, abs=0.2 * width)
