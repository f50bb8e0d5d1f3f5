"""Suspects: wrong labels that were planted among real pictures are found, as cleanlab finds them."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from typed import here, three_classes, write_idx

from sevensteps.data.folds import USUAL, folds_of
from sevensteps.data.images import Images, Splits
from sevensteps.records.audit import Suspect
from sevensteps.trust.audit.audit import audited, known
from sevensteps.trust.audit.quick_model import components, out_of_fold, pictures_of, probabilities_of
from sevensteps.trust.audit.wrong_labels import agreed, confident_learning, suspects


def digits() -> tuple[np.ndarray, np.ndarray]:
    loaded = load_digits()
    return (loaded.images * 255 / 16).round().astype(np.uint8)[:, None], loaded.target.astype(np.int64)


def suspects_of(splits: Splits, copies: Iterable[np.ndarray] = ()) -> list[Suspect] | None:
    pictures = pictures_of(splits, copies)
    found, why = suspects(pictures)
    assert why is None or not found
    return found if why is None else None


def answers(pixels: np.ndarray, labels: np.ndarray, classes: int, groups: np.ndarray | None = None) -> np.ndarray:
    """What a quick model says of each picture that it has not learned from."""
    return out_of_fold(pixels, labels, classes, folds_of(labels, classes, USUAL, 0, groups))


def planted(labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The labels with 3 % of them wrong, and which."""
    random = np.random.default_rng(0)
    rows = random.choice(len(labels), round(0.03 * len(labels)), replace=False)
    wrong = labels.copy()
    wrong[rows] = (labels[rows] + random.integers(1, classes, len(rows))) % classes
    return wrong, rows


def found_of(splits: Splits, rows: np.ndarray) -> float:
    """The share of the first so many suspects that were planted."""
    found = suspects_of(splits)
    assert found is not None
    first = {one.id for one in found[: len(rows)]}
    return len(first & {f"train/{row}" for row in rows}) / len(rows)


def test_planted_wrong_labels_are_the_first_suspects(splits: Splits) -> None:
    pixels, labels = digits()
    wrong, rows = planted(labels, 10)
    names = tuple("0123456789")
    assert found_of(Splits(Images(pixels, wrong, names)), rows) > 0.8
    some = splits.train.take(np.arange(4000))
    wrong, rows = planted(some.labels, 2)
    assert found_of(Splits(Images(some.pixels, wrong, some.classes)), rows) > 0.75
    found = suspects_of(Splits(Images(some.pixels, wrong, some.classes)))
    assert found is not None
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(0 <= one.score <= 1 and one.label != one.likely for one in found)
    clean = suspects_of(Splits(Images(pixels, labels, names)))
    assert clean is not None
    assert len(clean) < 0.01 * len(labels)


@pytest.mark.parametrize("which", ["digits", "pullovers and dresses"])
def test_they_are_those_of_cleanlab_on_the_same_probabilities(which: str, splits: Splits) -> None:
    pytest.importorskip("cleanlab", reason="cleanlab is what this is held against: pip install '.[dev-full]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanlab.count import num_label_issues
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores

    pixels, labels = digits() if which == "digits" else (splits.train.pixels[:4000], splits.train.labels[:4000])
    classes = int(labels.max()) + 1
    wrong, rows = planted(labels, classes)
    probabilities = answers(pixels, wrong, classes)
    found, likely, scores = confident_learning(probabilities, wrong)
    theirs = num_label_issues(wrong, probabilities, estimation_method="off_diagonal_calibrated")
    assert abs(len(found) - theirs) <= 1  # theirs is cut, ours is rounded
    np.testing.assert_allclose(1 - scores, get_label_quality_scores(wrong, probabilities)[found], atol=1e-6)
    for rule in ("confident_learning", "prune_by_noise_rate"):
        for by in ("normalized_margin", "self_confidence"):
            ranked = find_label_issues(wrong, probabilities, filter_by=rule, return_indices_ranked_by=by, n_jobs=1)
            assert np.isin(found[: len(rows)], rows).sum() >= np.isin(ranked[: len(rows)], rows).sum(), (rule, by)
    assert (likely != wrong[found]).all()


def test_probabilities_are_as_good_as_those_of_scikit_learn() -> None:
    pixels, labels = digits()
    ours = answers(pixels, labels, 10)
    assert ours.shape == (len(labels), 10)
    np.testing.assert_allclose(ours.sum(1), 1, atol=1e-5)
    flat = pixels.reshape(len(labels), -1) / 255
    theirs = cross_val_predict(LogisticRegression(max_iter=300), flat, labels, cv=5, method="predict_proba")
    assert (ours.argmax(1) == labels).mean() > (theirs.argmax(1) == labels).mean()
    place = np.arange(len(labels))
    assert np.log(ours[place, labels]).mean() > np.log(theirs[place, labels]).mean()


def test_no_label_is_vouched_for_by_a_copy_of_its_picture() -> None:
    """Pictures of noise, whose labels nothing can tell but the same picture with the same label."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (200, 1, 12, 12), dtype=np.uint8)
    labels = np.tile(np.arange(200, dtype=np.int64) % 2, 5)
    pixels = np.tile(pixels, (5, 1, 1, 1))
    own = np.arange(len(labels))
    apart = answers(pixels, labels, 2)[own, labels].mean()
    together = answers(pixels, labels, 2, own % 200)[own, labels].mean()
    assert apart > 0.9
    assert together < 0.55
    splits = Splits(Images(pixels, labels, ("a", "b")))
    assert suspects_of(splits) == []
    copies = [row + 200 * np.arange(5) for row in range(200)]
    assert suspects_of(splits, copies) is None, "the model knows nothing, and says so"
    assert suspects_of(Splits(Images(pixels, labels, ("a", "b"), groups=own % 200))) is None


def test_too_few_are_not_looked_at() -> None:
    pixels, labels = digits()
    assert suspects_of(Splits(Images(pixels[labels < 1], labels[labels < 1], ("0",)))) is None
    assert suspects_of(Splits(Images(pixels[:18], labels[:18], tuple("0123456789")))) is None
    rare = np.concatenate([np.flatnonzero(labels < 2), np.flatnonzero(labels == 2)[:9]])
    found = suspects_of(Splits(Images(pixels[rare], labels[rare], ("0", "1", "2"))))
    assert found is not None
    assert not any("2" in (one.label, one.likely) for one in found)
    flat = suspects_of(Splits(Images(np.zeros((40, 1, 8, 8), dtype=np.uint8), np.arange(40) % 2, ("a", "b"))))
    assert flat is None


def test_a_model_that_agrees_with_fewer_than_half_of_the_labels_lists_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = three_classes(tmp_path / "noise")
    write_idx(tmp_path / "labels", "train", np.random.default_rng(1).integers(0, 3, 300))
    name = "train-labels-idx1-ubyte"
    (source / name).write_bytes((tmp_path / "labels" / name).read_bytes())
    found = json.loads(here("data", "noise", "--json", cwd=tmp_path, capsys=capsys).out)
    assert found["suspects"] == []
    assert "suspects" in found["not_looked_for"]
    assert found["not_looked_for_because"]["suspects"].startswith("a rough model agrees with fewer than half")
    assert "fewer than half of your labels: too weak" in here("data", "noise", cwd=tmp_path, capsys=capsys).out


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1)])
def test_a_model_that_agrees_no_more_than_a_guess_lists_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shares: tuple[float, float]
) -> None:
    labels = np.random.default_rng(1).choice(2, 400, p=shares)
    write_idx(tmp_path / "noise", "train", np.zeros(400))
    write_idx(tmp_path / "labels", "train", labels)
    name = "train-labels-idx1-ubyte"
    (tmp_path / "noise" / name).write_bytes((tmp_path / "labels" / name).read_bytes())
    found = json.loads(here("data", "noise", "--json", cwd=tmp_path, capsys=capsys).out)
    assert found["suspects"] == []
    assert "too weak to judge them" in found["not_looked_for_because"]["suspects"]
    suggested = here("data", "noise", "--suggest", "fix.csv", cwd=tmp_path, capsys=capsys)
    assert "looks like" not in suggested.out


def test_agreement_beyond_chance_is_cohens() -> None:
    assert agreed(np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1]), 2) == (1.0, 1.0)
    assert agreed(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), 2) == (0.5, 0.0)
    assert agreed(np.zeros(10, dtype=np.int64), np.array([0] * 9 + [1]), 2) == pytest.approx((0.9, 0.0))
    # Cohen's own kind of example: 45 and 25 of 100 agree, 60 and 70 of each side are yes.
    answers = np.array([0] * 45 + [1] * 25 + [0] * 15 + [1] * 15)
    labels = np.array([0] * 45 + [1] * 25 + [1] * 15 + [0] * 15)
    assert agreed(answers, labels, 2) == pytest.approx((0.7, (0.7 - 0.52) / 0.48))


def test_doubts_of_an_older_version_are_dropped_where_the_model_was_too_weak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path))
    splits = Splits(Images(np.zeros((40, 1, 8, 8), dtype=np.uint8), np.arange(40) % 2, ("a", "b")))
    assert "copies of one another" in audited(splits).not_looked_for["suspects"]
    (kept,) = (tmp_path / "audits").iterdir()
    before = json.loads(kept.read_text())
    doubts = [{"id": f"train/{row}", "label": "a", "likely": "b", "score": 1.0} for row in range(30)]
    kept.write_text(json.dumps({**before, "suspects": doubts, "not_looked_for": {}}))
    found = audited(splits)
    assert found.suspects == []
    assert "too weak" in found.not_looked_for["suspects"]


def test_the_command_gives_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = three_classes(tmp_path / "source")
    labels = np.arange(300) % 3
    labels[7] = 2  # its picture is of 1
    write_idx(tmp_path / "labels", "train", labels)
    name = "train-labels-idx1-ubyte"
    (source / name).write_bytes((tmp_path / "labels" / name).read_bytes())
    found = json.loads(here("data", "source", "--json", cwd=tmp_path, capsys=capsys).out)
    (suspect,) = found["suspects"]
    assert {**suspect, "score": 1} == {"picture": "train/7", "label": "2", "likely": "1", "score": 1}
    assert 0.5 < suspect["score"] <= 1
    assert found["not_looked_for"] == []
    words = here("data", "source", cwd=tmp_path, capsys=capsys).out
    assert (
        "suspicious labels, found by a rough model (it may be wrong): 1, the most suspicious first (score, picture):"
        in words
    )
    assert "train/7: labeled 2, looks like 1" in words
    assert "not looked for" not in words
    (source / name).write_bytes((tmp_path / "labels" / name).read_bytes())
    few = write_idx(tmp_path / "few", "train", np.arange(12) % 3)
    write_idx(few, "t10k", np.arange(3))
    assert json.loads(here("data", "few", "--json", cwd=tmp_path, capsys=capsys).out)["not_looked_for"] == [
        "suspects",
        "train_against_test",
    ]
    assert "suspicious labels: not looked for" in here("data", "few", cwd=tmp_path, capsys=capsys).out


@pytest.mark.parametrize(("share", "is_listed"), [(0.25, True), (0.3, False)])
def test_labels_are_judged_while_the_quick_model_agrees_well_beyond_chance(
    splits: Splits, share: float, is_listed: bool
) -> None:
    labels = splits.train.labels.copy()
    exchanged = np.random.default_rng(0).permutation(len(labels))[: int(share * len(labels))]
    labels[exchanged] = 1 - labels[exchanged]
    pictures = pictures_of(Splits(dataclasses.replace(splits.train, labels=labels)))
    found, why = suspects(pictures)
    assert (bool(found), why is None) == (is_listed, is_listed)


def test_a_model_that_learns_from_some_of_the_pictures_ranks_as_one_that_learns_from_all(splits: Splits) -> None:
    some = splits.train[:6000]
    wrong = some.labels.copy()
    planted = np.random.default_rng(0).choice(len(wrong), 180, replace=False)
    wrong[planted] = 1 - wrong[planted]
    points, folds = components(some.pixels)[0], np.arange(len(wrong)) % 5
    areas = []
    for most in (None, 3000):
        found = probabilities_of(points, wrong, 2, folds, most)
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
        areas.append(roc_auc_score(wrong != some.labels, 1 - found[np.arange(len(wrong)), wrong]))
    assert areas[0] - areas[1] < 0.01
    again = probabilities_of(points, wrong, 2, folds, 3000)
    np.testing.assert_array_equal(again, found)


def test_an_audit_that_gave_up_on_many_pictures_is_made_again(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path))
    monkeypatch.setattr("sevensteps.trust.audit.audit._FIRST_GAVE_UP", 100)
    some = Splits(splits.train[:300])
    found = audited(some)
    (kept,) = tmp_path.glob("audits/*.json")
    saved = json.loads(kept.read_text())
    assert known(some) == found
    del saved["computation"]
    kept.write_text(
        json.dumps({**saved, "outliers": [], "not_looked_for": {"outliers": "there are more than 100,000"}})
    )
    assert known(some) is None
    assert audited(some).outliers == found.outliers
    fewer = Splits(splits.train[:90])
    of_fewer = audited(fewer)
    (kept,) = set(tmp_path.glob("audits/*.json")) - {kept}
    saved = json.loads(kept.read_text())
    del saved["computation"], saved["near_reach"]
    kept.write_text(json.dumps(saved))
    assert known(fewer) == of_fewer
