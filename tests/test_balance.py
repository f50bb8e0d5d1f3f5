"""Classes that are not equally frequent: it is stated, and both ways to balance them do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, recall_score
from typed import Done, here, idx

from sevensteps.data.balance import imbalance_of
from sevensteps.data.images import Images, Splits
from sevensteps.judge.predictions import Predictions
from sevensteps.judge.scores import score_of


def some(images: Images, counts: tuple[int, ...]) -> Images:
    """So many pictures of each class."""
    rows = [np.flatnonzero(images.labels == label)[:count] for label, count in enumerate(counts)]
    return images.take(np.sort(np.concatenate(rows)))


@pytest.fixture(scope="module")
def lopsided(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """IDX files with 20 times as many pictures of class 0 as of class 1."""
    folder = tmp_path_factory.mktemp("lopsided")
    assert splits.test is not None
    for name, images in (("train", some(splits.train, (1000, 50))), ("t10k", some(splits.test, (400, 20)))):
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(images.pixels[:, 0]))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(images.labels))
    return folder


def trained(lopsided: Path, folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """A short run, typed."""
    done = here("train", str(lopsided), "--epochs", "3", "--out", "run", *arguments, cwd=folder, capsys=capsys)
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
    score = score_of(Predictions("test", names, ("a", "b", "c", "d"), labels, shares, shares))
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
    assert "out of balance: 900 to train on of 0, 45 of 1, 20.0 to 1" in done.out
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
