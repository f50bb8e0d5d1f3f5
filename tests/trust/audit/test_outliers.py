"""Outliers: pictures of something else, planted among real ones, are the farthest from all others."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from sevensteps.data.images import Images, Splits
from sevensteps.records.audit import Outlier
from sevensteps.trust.audit.outliers import deviations, distances, outliers
from sevensteps.trust.audit.quick_model import components, pictures_of


def digits() -> tuple[np.ndarray, np.ndarray]:
    loaded = load_digits()
    return (loaded.images * 255 / 16).round().astype(np.uint8)[:, None], loaded.target.astype(np.int64)


def found_in(pixels: np.ndarray, labels: np.ndarray, copies: list[np.ndarray] | None = None) -> list[Outlier] | None:
    names = tuple(str(label) for label in range(int(labels.max()) + 1))
    pictures = pictures_of(Splits(Images(pixels, labels, names)), copies or [])
    return outliers(pictures)


def planted(pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pictures with ten of noise, ten inverted and ten shuffled ones, and which these are."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (10, *pixels.shape[1:]))
    some = pixels[random.choice(len(pixels), 20, replace=False)]
    shuffled = np.stack([random.permutation(one.ravel()).reshape(one.shape) for one in some[10:]])
    made = np.concatenate([pixels, noise, 255 - some[:10], shuffled]).astype(np.uint8)
    return made, np.append(labels, random.choice(labels, 30)), np.arange(len(made)) >= len(pixels)


@pytest.mark.parametrize("which", ["digits", "clothes"])
def test_planted_pictures_are_farther_than_their_classes_and_ranked_as_by_peers(which: str, splits: Splits) -> None:
    pixels, labels = digits() if which == "digits" else (splits.train.pixels[:3000], splits.train.labels[:3000])
    made, of, is_planted = planted(pixels, labels)
    scores = deviations(np.log(distances(*components(made), np.full(len(made), -1))), of)
    ours = roc_auc_score(is_planted, scores)
    flat = made.reshape(len(made), -1)
    forest = IsolationForest(random_state=0).fit(flat)
    factor = LocalOutlierFactor(20).fit(flat)
    assert ours > roc_auc_score(is_planted, -forest.score_samples(flat)) - 0.001
    assert ours > roc_auc_score(is_planted, -factor.negative_outlier_factor_)
    found = found_in(made, of)
    assert found is not None
    rows = [int(one.id.removeprefix("train/")) for one in found]
    assert is_planted[rows].sum() >= (25 if which == "digits" else 12)  # seen: more, and 15
    assert (~is_planted[rows]).sum() <= 0.002 * len(pixels)
    assert [one.score for one in found] == sorted((one.score or 0 for one in found), reverse=True)


def test_distances_are_those_to_the_fifth_nearest_where_components_are_all_there_is() -> None:
    pixels, _ = digits()
    some = pixels[:600]
    ours = distances(*components(some), np.full(600, -1))
    flat = some.reshape(600, -1) / 255
    theirs = NearestNeighbors(n_neighbors=6).fit(flat).kneighbors(flat)[0][:, 5]
    np.testing.assert_allclose(ours, theirs, rtol=1e-2)


def test_a_picture_of_one_color_is_one_unless_half_of_its_class_are_such() -> None:
    pixels, labels = digits()
    pixels, labels = pixels[:300].copy(), labels[:300]
    pixels[7] = 30
    found = found_in(pixels, labels)
    assert found is not None
    assert found[0] == Outlier("train/7", str(labels[7]), None)
    pixels[labels == 3] = 0
    found = found_in(pixels, labels)
    assert found is not None
    assert {one.label for one in found if one.score is None} == {str(labels[7])}


def test_a_copy_of_it_does_not_vouch_for_an_outlier() -> None:
    pixels, labels = digits()
    noise = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 8)).astype(np.uint8)
    made, of = np.concatenate([pixels, *[noise] * 6]), np.append(labels, [0] * 6)
    rows = np.arange(len(pixels), len(made))
    copies = {f"train/{row}" for row in rows.tolist()}
    names = {one.id for one in found_in(made, of) or []}
    assert not names & copies
    names = {one.id for one in found_in(made, of, [rows]) or []}
    assert names >= copies


def test_few_pictures_and_those_that_are_all_alike() -> None:
    pixels, labels = digits()
    assert found_in(pixels[:9], labels[:9]) is None
    assert found_in(np.zeros((40, 1, 8, 8), dtype=np.uint8), np.arange(40) % 2) is None
    assert found_in(np.tile(pixels[:1], (40, 1, 1, 1)), np.arange(40) % 2) == []
    small = [len(found_in(*(of[rows] for of in (pixels, labels))) or []) for rows in _subsets(len(pixels))]
    assert np.mean(small) < 0.5  # of 30 pictures; seen: 0.1


def _subsets(count: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).permutation(count)[:30] for seed in range(20)]
