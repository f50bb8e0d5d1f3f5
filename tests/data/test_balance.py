"""Classes that are not equally frequent are reported, and both ways to balance them do what they say."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, log_loss, recall_score
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from small import learner, unchecked
from torch import nn
from typed import Done, here, idx

from sevensteps.data.balance import balanced_rows, class_weights, imbalance_of
from sevensteps.data.batches import Batches, DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.errors import ShapeError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.learner.load import load_learner
from sevensteps.steps.gradient import autograd, formula
from sevensteps.steps.loss import LOSSES, cross_entropy, mse_loss
from sevensteps.trust.predictions import Predictions
from sevensteps.trust.scores import score_of


def some(images: Images, counts: tuple[int, ...]) -> Images:
    """Return pictures with this many of each class."""
    rows = [np.flatnonzero(images.labels == label)[:count] for label, count in enumerate(counts)]
    return images.take(np.sort(np.concatenate(rows)))


@pytest.fixture(scope="module")
def lopsided(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write IDX files with 20 times as many pictures of class 0 as of class 1."""
    folder = tmp_path_factory.mktemp("lopsided")
    assert splits.test is not None
    for name, images in (("train", some(splits.train, (1000, 50))), ("t10k", some(splits.test, (400, 20)))):
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(images.pixels[:, 0]))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(images.labels))
    return folder


def trained(lopsided: Path, folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """Run a short training from the command line."""
    arguments = arguments if "--epochs" in arguments else ("--epochs", "3", *arguments)
    done = here(
        "train",
        str(lopsided),
        *(() if "--out" in arguments else ("--out", "run")),
        *arguments,
        "--numbers",
        cwd=folder,
        capsys=capsys,
    )
    assert done.code == 0, done
    return done


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_imbalance_is_the_largest_against_the_smallest_class_that_has_pictures(counts: list[int]) -> None:
    found = imbalance_of({f"class {label}": count for label, count in enumerate(counts)})
    there = [count for count in counts if count]
    if not there or max(there) <= 2 * min(there):
        assert found is None
    else:
        assert found is not None
        assert (found.most, found.fewest) == (max(there), min(there))
        assert counts[int(found.largest.split()[1])] == found.most
        assert counts[int(found.smallest.split()[1])] == found.fewest


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_balanced_accuracy_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, answers = (np.array(of, dtype=np.int64) for of in zip(*pairs, strict=True))
    shares = np.eye(4)[answers]
    names = [str(row) for row in range(len(pairs))]
    score = score_of(
        Predictions(
            split="test", ids=names, classes=("a", "b", "c", "d"), labels=labels, logits=shares, probabilities=shares
        )
    )
    assert score.balanced is not None
    present = np.unique(labels)  # scikit-learn would warn of answers that no picture is
    wanted = recall_score(labels, answers, labels=present, average="macro", zero_division=0)
    assert score.balanced.value == pytest.approx(wanted)
    if set(answers) <= set(present) and len(present) > 1:
        assert score.balanced.value == pytest.approx(balanced_accuracy_score(labels, answers))
    assert score.accuracy == pytest.approx((labels == answers).mean())
    if score.balanced.low is not None:
        assert score.balanced.high is not None
        assert score.balanced.low <= score.balanced.value <= score.balanced.high


def test_a_lopsided_set_is_said_to_be_so_with_what_its_accuracy_is_worth(
    lopsided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = trained(lopsided, tmp_path, capsys)
    assert "classes of very different size: 900 training pictures of 0, 45 of 1 (20.0 to 1)" in done.out
    (line,) = (line for line in done.out.splitlines() if line.startswith("balanced "))
    assert "the mean of the classes' recalls (95 % interval" in line
    assert line.endswith("always answering 0 has an accuracy of 95.24%")

    judged = json.loads(here("judge", "run", "--json", cwd=tmp_path, capsys=capsys).out)
    rows = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    test = [row for row in rows if row["split"] == "test"]
    wanted = balanced_accuracy_score(
        [int(row["label"]) for row in test], [int(np.argmax(row["probabilities"])) for row in test]
    )
    found = judged["test"]["balanced_accuracy"]
    assert found["value"] == pytest.approx(wanted)
    assert f"{wanted:.2%}" in line
    assert found["low"] < found["value"] < found["high"]
    assert judged["valid"]["balanced_accuracy"]["split"] == "valid"
    assert judged["imbalance"] == {"largest": "0", "most": 900, "smallest": "1", "fewest": 45, "ratio": 20.0}
    assert judged["scores"]["metrics"]["balanced_accuracy"] == found

    assert here("report", "run", cwd=tmp_path, capsys=capsys).code == 0
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "There are 20.0 times as many training pictures of 0 as of 1" in page


def test_a_set_in_balance_is_not_talked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("train", "--epochs", "1", "--json", cwd=tmp_path, capsys=capsys)
    found = json.loads(done.out)
    assert found["imbalance"] is None
    assert found["test"]["balanced_accuracy"]["value"] == pytest.approx(found["test"]["accuracy"])
    assert "balance" not in done.err


# Weights


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_weights_are_scikit_learns_and_1_on_average(labels: list[int]) -> None:
    weights = class_weights(np.bincount(labels, minlength=5))
    present = np.unique(labels)
    assert weights[present] == pytest.approx(compute_class_weight("balanced", classes=present, y=labels))
    assert weights[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("name", LOSSES)
def test_a_weighted_loss_is_the_mean_of_the_pictures_losses_times_the_weights_of_their_classes(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    columns = 3 if name in ("cross_entropy", "mse_loss") else 1
    predictions = torch.randn((12, columns), generator=random)
    targets = torch.randint(0, max(columns, 2), (12,), generator=random)
    weight = torch.tensor([0.5, 4.0, 1.5][: max(columns, 2)])
    found = LOSSES[name](predictions, targets, weight=weight)  # type: ignore[call-arg]
    alone = [float(LOSSES[name](predictions[row : row + 1], targets[row : row + 1])) for row in range(12)]
    assert float(found) == pytest.approx(np.mean(np.array(alone) * weight[targets].numpy()), rel=1e-5)
    assert float(LOSSES[name](predictions, targets, weight=torch.ones_like(weight))) == pytest.approx(  # type: ignore[call-arg]
        float(LOSSES[name](predictions, targets)), rel=1e-6
    )
    assert torch.equal(found, LOSSES[name](predictions, targets[:, None], weight=weight))  # type: ignore[call-arg]


def test_the_weighted_cross_entropies_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 5, 2])
    scores = random.normal(size=(37, 3))
    sample = compute_sample_weight("balanced", labels)
    weight = torch.from_numpy(class_weights(np.bincount(labels)))
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    ours = cross_entropy(torch.from_numpy(scores), torch.from_numpy(labels), weight=weight)
    assert float(ours) == pytest.approx(log_loss(labels, shares, sample_weight=sample))


@pytest.mark.parametrize("name", LOSSES)
def test_the_formula_of_a_weighted_loss_is_autograds(name: str) -> None:
    random = torch.Generator().manual_seed(1)
    columns = 4 if name in ("cross_entropy", "mse_loss") else 1
    model = nn.Linear(7, columns).double()
    x = torch.randn((20, 7), generator=random, dtype=torch.float64)
    targets = torch.randint(0, max(columns, 2), (20,), generator=random)
    settings: dict[str, Any] = {"weight": torch.rand(max(columns, 2), generator=random) + 0.1}
    for more in ({}, {"label_smoothing": 0.2}) if name == "cross_entropy" else ({},):
        loss_func = functools.partial(LOSSES[name], **settings, **more)
        by_formula = formula(model, loss_func)
        assert by_formula is not None
        found = []
        for calculate in (by_formula, autograd(model)):
            predictions = model(x)
            calculate(x, targets, predictions, loss_func(predictions, targets))
            found.append([parameter.grad for parameter in model.parameters()])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_weights_are_of_classes_and_not_of_numbers() -> None:
    with unchecked(), pytest.raises(ShapeError, match="Class weights need one label"):
        mse_loss(torch.zeros((4, 2)), torch.zeros((4, 2)), weight=torch.ones(2))


def test_a_learner_and_its_file_keep_the_weights(tmp_path: Path) -> None:
    for loss_func in (LOSSES["binary_cross_entropy_with_logits"], mse_loss):
        learn = learner("linear", None, functools.partial(loss_func, weight=torch.tensor([0.5, 2.0])))
        assert learn.gradient == "formula"
        learn.fit(1, show=False)
        learn.export(tmp_path / "model.safetensors")
        again = load_learner(tmp_path / "model.safetensors")
        assert again.objective.name == loss_func.__name__
        assert again.objective.activation is learn.objective.activation
        assert again.loss_func.keywords["weight"].tolist() == [0.5, 2.0]
        picture = learn.dls.train.images.pixels[0]  # type: ignore[attr-defined]
        assert torch.equal(again.predict(picture)[2], learn.predict(picture)[2])


@pytest.mark.slow
def test_training_with_weights_finds_what_logistic_regression_finds(splits: Splits) -> None:
    from sklearn.linear_model import LogisticRegression

    train = some(splits.train, (300, 30))
    x = train.pixels.reshape(len(train), -1)[:, ::28] / 255.0  # few pixels, so that there is one best answer
    weight = torch.from_numpy(class_weights(np.bincount(train.labels))).float()
    with unchecked():
        batches = [(torch.from_numpy(x).float(), torch.from_numpy(train.labels))]
        model = nn.Linear(x.shape[1], 1)
        learn = Learner(
            DataLoaders(batches),
            model,
            functools.partial(LOSSES["binary_cross_entropy_with_logits"], weight=weight),
            lr=1.0,
        )
        learn.fit(3000, show=False)
    theirs = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-8, max_iter=10_000).fit(x, train.labels)
    ours = torch.sigmoid(model(torch.from_numpy(x).float()))[:, 0].detach().numpy()
    assert np.abs(ours - theirs.predict_proba(x)[:, 1]).mean() < 0.02


# Sampling


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(0, 2**40),
    st.integers(0, 9),
)
@hypothesis.settings(max_examples=50)
def test_an_epoch_has_as_many_of_each_class_and_pictures_take_turns(labels: list[int], seed: int, epoch: int) -> None:
    array = np.array(labels, dtype=np.int64)
    seen = np.zeros(len(array), dtype=np.int64)
    for number in range(epoch + 1):
        rows = balanced_rows(array, 4, seed, number)
        assert len(rows) == len(array)
        per_class = np.bincount(array[rows], minlength=4)[np.unique(array)]
        assert per_class.max() - per_class.min() <= 1
        seen += np.bincount(rows, minlength=len(array))
        for label in np.unique(array):
            assert np.ptp(seen[array == label]) <= 1
    assert rows.tolist() == balanced_rows(array, 4, seed, epoch).tolist()


def test_two_seeds_and_two_epochs_draw_differently() -> None:
    labels = np.repeat([0, 1], [100, 10])
    drawn = [balanced_rows(labels, 2, seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(rows) for rows in drawn}) == 4


def test_balanced_batches_are_entered_at_any_place(splits: Splits) -> None:
    images = some(splits.train, (200, 10))
    loader = Batches(images, 32, shuffle=True, balanced=True)
    whole = list(loader.epoch_batches(5, 3))
    labels = torch.cat([y for _, y in whole])
    assert (len(whole), len(labels), labels.sum()) == (len(loader), 210, 105)
    for (x, y), (again, y_again) in zip(whole[4:], loader.epoch_batches(5, 3, start=4), strict=True):
        assert torch.equal(x, again)
        assert torch.equal(y, y_again)
    assert images.labels[loader.order(5, 3)].tolist() == labels.tolist()


def test_what_cannot_be_drawn_in_balance_is_refused(lopsided: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(UsageError, match="need shuffle=True and cannot come from a store"):
        Batches(Images(np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 1]), ("a", "b")), balanced=True)
    assert here("prepare", str(lopsided), "--out", "set.store", cwd=tmp_path, capsys=capsys).code == 0
    done = here("train", "set.store", "--balance", "sampling", cwd=tmp_path, capsys=capsys)
    assert (done.code, done.out) == (2, "")
    assert "a store is read block by block" in done.err
    assert "Set --balance loss" in done.err
    assert here("train", "set.store", "--balance", "loss", "--epochs", "1", cwd=tmp_path, capsys=capsys).code == 0


# The flag


def test_the_flag_raises_the_recall_of_the_small_class_and_says_what_it_does_to_probabilities(
    lopsided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for balance in ("none", "loss", "sampling"):
        done = trained(lopsided, tmp_path, capsys, "--balance", balance, "--out", balance, "--json")
        found[balance] = json.loads(done.out)
        assert found[balance]["gradient"] == "formula"
        if balance == "none":
            assert "--balance loss makes small classes count" in done.err
        else:
            assert "probabilities are as if each class came equally often" in done.err
            assert f"--balance {balance} --recipe" in done.err
    figures = {name: run["test"]["balanced_accuracy"]["value"] for name, run in found.items()}
    assert min(figures["loss"], figures["sampling"]) > figures["none"] + 0.05
    assert [finding["code"] for finding in found["none"]["findings"]] == ["class_imbalance"]
    assert found["loss"]["findings"] == found["sampling"]["findings"] == []
    assert here("report", "none", cwd=tmp_path, capsys=capsys).code == 0
    assert "sevensteps train --recipe none --balance loss" in (tmp_path / "none" / "report.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["loss", "sampling"])
def test_a_balanced_run_is_gone_on_with_exactly_and_repeats(
    balance: str, lopsided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ("--balance", balance, "--schedule", "constant")
    trained(lopsided, tmp_path, capsys, *how, "--epochs", "4", "--out", "whole")
    trained(lopsided, tmp_path, capsys, *how, "--epochs", "2", "--out", "parts")
    assert here("resume", "parts", "--epochs", "2", cwd=tmp_path, capsys=capsys).code == 0
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    assert here("verify", "parts", "--rerun", cwd=tmp_path, capsys=capsys).code == 0
