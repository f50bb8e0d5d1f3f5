"""Baselines against slow arithmetic and scikit-learn, and kept in the cache for the same pictures only."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from small import images

import sevensteps as ss
from sevensteps.data.hold_out import held_out
from sevensteps.data.images import Images, Splits
from sevensteps.data.sources.load import load
from sevensteps.data.store.prepare import prepare
from sevensteps.data.store.streams import of_splits
from sevensteps.show.sentences import against_in_plain_words
from sevensteps.trust import baselines
from sevensteps.trust.baselines import (
    BASELINES,
    baseline_answers,
    baseline_scores,
    logistic_regression,
    most_frequent,
    nearest_neighbor,
    pixel_similarity,
    sample_of,
)


def nearest_by_hand(train: Images, test: Images) -> list[int]:
    """Pixel similarity, one picture and one class at a time, in exact numbers."""
    answers = []
    means = {
        label: train.pixels[train.labels == label].astype(np.float64).sum(0) / (train.labels == label).sum()
        for label in range(len(train.classes))
        if (train.labels == label).any()
    }
    for picture in test.pixels:
        distances = {label: float(np.abs(picture - mean).mean()) for label, mean in means.items()}
        answers.append(min(distances, key=distances.__getitem__))
    return answers


def rows(pictures: Images) -> np.ndarray:
    return pictures.pixels.reshape(len(pictures), -1).astype(np.float64)


@pytest.mark.parametrize(("count", "classes", "shape"), [(60, 2, (1, 8, 8)), (90, 5, (3, 4, 6)), (700, 3, (1, 3, 3))])
def test_pixel_similarity_is_what_slow_arithmetic_gives(count: int, classes: int, shape: tuple[int, int, int]) -> None:
    train, test = images(90, shape, classes), images(count, shape, classes, seed=1)
    np.testing.assert_array_equal(pixel_similarity(train, test), nearest_by_hand(train, test))


def test_pixel_similarity_of_the_first_job_is_the_bar_to_beat(splits: Splits) -> None:
    assert splits.test is not None
    some = splits.test.take(np.arange(0, 2000, 20))
    np.testing.assert_array_equal(pixel_similarity(splits.train, some), nearest_by_hand(splits.train, some))
    assert 0.91 < (pixel_similarity(splits.train, splits.test) == splits.test.labels).mean() < 0.92


def test_a_class_without_training_pictures_is_never_the_nearest() -> None:
    pictures = images(60, classes=3)
    without = pictures.take(np.flatnonzero(pictures.labels != 1))
    assert set(pixel_similarity(without, pictures).tolist()) == {0, 2}


def test_the_most_frequent_class_is_that_of_training() -> None:
    train = images(90, classes=3).take(np.array([1, 4, 7, 0, 2]))
    assert set(most_frequent(train, images(30, classes=3, seed=1)).tolist()) == {1}


@pytest.mark.parametrize("classes", [2, 5])
def test_the_nearest_neighbor_is_scikit_learns(classes: int) -> None:
    train, test = images(300, classes=classes), images(600, classes=classes, seed=1)
    theirs = KNeighborsClassifier(1, algorithm="brute").fit(rows(train), train.labels)
    np.testing.assert_array_equal(nearest_neighbor(train, test), theirs.predict(rows(test)))


def test_the_nearest_neighbor_is_looked_for_among_so_many_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MOST_NEIGHBORS", 30)
    train, test = images(300, classes=3), images(90, classes=3, seed=1)
    chosen = train.split(0.1)[1]
    assert list(chosen.counts.values()) == [10, 10, 10]
    theirs = KNeighborsClassifier(1, algorithm="brute").fit(rows(chosen), chosen.labels)
    np.testing.assert_array_equal(nearest_neighbor(train, test), theirs.predict(rows(test)))


def test_logistic_regression_is_as_good_as_scikit_learns(splits: Splits) -> None:
    assert splits.test is not None
    ours = logistic_regression(splits.train, splits.test) == splits.test.labels
    theirs = LogisticRegression(max_iter=40, C=0.01).fit(rows(splits.train) / 255, splits.train.labels)
    right = theirs.predict(rows(splits.test) / 255) == splits.test.labels
    assert abs(ours.mean() - right.mean()) < 0.006  # 96.95 % and 96.65 %: a third of a standard error of the difference


def test_each_baseline_has_a_score_with_its_split() -> None:
    train, test = images(60), images(20, seed=1)
    scores = baseline_scores(baseline_answers(train, test), train, test, "valid")
    assert list(scores) == list(BASELINES)
    for found in scores.values():
        assert (found.split, found.n) == ("valid", 20)
        assert found.accuracy in found.interval


def test_a_large_set_is_answered_from_samples_that_the_scores_state() -> None:
    train, test = images(110_000, (1, 2, 2)), images(12_000, (1, 2, 2), seed=1)
    answers = baseline_answers(train, test)
    answered = {name: column >= 0 for name, column in answers.items()}
    rows = np.flatnonzero(answered["nearest neighbor"])
    assert np.bincount(test.labels[rows]).tolist() == [5000, 5000]
    assert all((places == answered["nearest neighbor"]).all() for places in answered.values())
    some = train.take(np.flatnonzero(held_out(train.labels, 2, 60_000 / len(train), 0)))
    np.testing.assert_array_equal(answers["pixel similarity"][rows], pixel_similarity(some, test.take(rows)))
    scores = baseline_scores(answers, train, test, "test")
    assert {found.n for found in scores.values()} == {10_000}
    of_all = "a sample of the 12,000 pictures"
    assert {name: found.note for name, found in scores.items()} == {
        "most frequent class": of_all,
        "pixel similarity": f"learned from 60,000 of the 110,000 training pictures; {of_all}",
        "nearest neighbor": f"compared with 10,000 of the 110,000 training pictures; {of_all}",
        "logistic regression": f"learned from 60,000 of the 110,000 training pictures; {of_all}",
    }
    for name, column in baseline_answers(train, test).items():  # from the cache
        np.testing.assert_array_equal(column, answers[name])


def test_of_a_large_store_the_first_pictures_are_learned_from_and_not_copied(tmp_path: Path) -> None:
    prepare(of_splits(Splits(images(110_000, (1, 2, 2)), images(12_000, (1, 2, 2), seed=1))), tmp_path / "x.store")
    splits = load(tmp_path / "x.store")
    assert splits.test is not None
    answers = baseline_answers(splits.train, splits.test, ["pixel similarity"])["pixel similarity"]
    rows, some = np.flatnonzero(answers >= 0), splits.train[:60_000]
    assert np.shares_memory(some.pixels, splits.train.pixels)
    np.testing.assert_array_equal(answers[rows], pixel_similarity(some, splits.test.take(rows)))


def test_samples_of_large_pictures_have_256_mib() -> None:
    train = images(110_000, (1, 2, 2))
    large = dataclasses.replace(train, pixels=np.broadcast_to(np.uint8(0), (110_000, 3, 512, 512)))
    assert sample_of("logistic regression", large, train, "test") == 2**28 // (3 * 512 * 512)


def test_a_set_of_100_000_pictures_is_used_whole() -> None:
    train, test = images(80_000, (1, 2, 2)), images(20_000, (1, 2, 2), seed=1)
    scores = baseline_scores(baseline_answers(train, test, ["pixel similarity"]), train, test, "test")
    assert scores["pixel similarity"].n == 20_000
    assert scores["pixel similarity"].note == ""


@pytest.mark.slow
def test_a_run_on_a_large_set_says_that_the_baseline_is_from_a_sample(tmp_path: Path) -> None:
    train, test = images(110_000, (1, 2, 2)), images(12_000, (1, 2, 2), seed=1)
    both = {"x_train": train.pixels, "y_train": train.labels, "x_test": test.pixels, "y_test": test.labels}
    np.savez(tmp_path / "large.npz", **both, allow_pickle=False)  # noqa: TID251
    run = ss.train(tmp_path / "large.npz", "linear", epochs=1, lr=0.001, out=tmp_path / "run", observe=print)
    against = run.against
    assert against is not None
    assert run.test is not None
    assert (run.test.n, against.n, against.sample) == (
        12_000,
        10_000,
        60_000 if "logistic" in against.baseline else 10_000,
    )
    right = run.tables["test"].right
    sampled = held_out(test.labels, 2, 10_000 / 12_000, 0)
    theirs = run.baselines[against.baseline].accuracy
    assert against.difference == pytest.approx(right[sampled].mean() - theirs)
    stated = f"from a sample of {against.sample:,} training pictures"
    assert stated in against_in_plain_words(against, run.test)
    assert stated in repr(run)
    assert ss.judge(run).against == against


def test_the_same_pictures_are_answered_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path))
    train, test = images(60), images(20, seed=1)
    first = baseline_answers(train, test)
    (path,) = (tmp_path / "baselines").iterdir()
    kept = json.loads(path.read_text())
    kept["pixel similarity"] = [1 - answer for answer in kept["pixel similarity"]]
    path.write_text(json.dumps(kept))
    again = baseline_answers(train, test)
    np.testing.assert_array_equal(again["pixel similarity"], 1 - first["pixel similarity"])  # it was read
    baseline_answers(train.take(np.arange(59)), test)
    baseline_answers(train, test.take(np.arange(19)))
    assert len(list((tmp_path / "baselines").iterdir())) == 3


@pytest.mark.parametrize(
    "content", ["", "[]", '{"pixel similarity": [0, 1]}', '{"pixel similarity": "x"}', "\\u0000", "[" * 9999]
)
def test_a_damaged_cache_is_made_again(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path))
    train, test = images(60), images(20, seed=1)
    first = baseline_answers(train, test, ["pixel similarity"])
    (path,) = (tmp_path / "baselines").iterdir()
    path.write_text(content)
    again = baseline_answers(train, test, ["pixel similarity"])
    np.testing.assert_array_equal(again["pixel similarity"], first["pixel similarity"])
    assert json.loads(path.read_text())["pixel similarity"] == first["pixel similarity"].tolist()


def test_a_cache_that_cannot_be_written_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "file"))
    assert set(baseline_answers(images(60), images(20, seed=1))) == set(BASELINES)
