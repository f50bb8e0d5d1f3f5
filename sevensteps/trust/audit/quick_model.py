"""Quick: a model that is trained in a second or two, for what is asked of pictures before anybody trains on them.

It is a multinomial logistic regression on random Fourier features of the pictures' principal components (Rahimi and
Recht, "Random features for large-scale kernel machines", 2007). One for each fold is trained at once, each without its
fold, by Newton-like steps under a fixed bound of the curvature (Böhning, "Multinomial logistic regression algorithm",
1992) with Nesterov's momentum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, Shaped, UInt8

from ...data.images import Splits
from ...data.near_copies import groups_of
from ...data.near_pairs import Pairs, main_directions, smaller

MOST = 100_000  # pictures: 60,000 take 2.5 s on two cores (bench/audit.py), and each 4 kB of memory


_COMPONENTS, _FEATURES = 64, 512  # more found no more of what was planted, when tried


_STEPS, _DECAY = 8, 3e-3  # with less decay the model learns wrong labels by heart, and finds fewer of them


_SAMPLE, _BLOCK = 5000, 4096


Probabilities = Float32[np.ndarray, "n classes"]


@dataclass(frozen=True)
class Pictures:
    """The pictures of all splits, one after the other, as they are looked at here."""

    pixels: UInt8[np.ndarray, "n channels height width"]  # at most 32 a side
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...]
    ids: Sequence[str]
    splits: Shaped[np.ndarray, " n"]  # the name of each one's split
    copies: Int64[np.ndarray, " n"]  # the number of the group of copies that each is in, -1 for none
    groups: Int64[np.ndarray, " n"] | None  # the same of copies and of the groups that a user named, together


def pictures_of(splits: Splits, copies: Iterable[Sequence[str]] = ()) -> Pictures | None:
    """All pictures of a source; `copies` are groups of ids. None of more than 100,000."""
    present = list(splits.present().values())
    if sum(map(len, present)) > MOST:
        return None
    ids = [name for images in present for name in images.ids]
    place = {name: row for row, name in enumerate(ids)}
    alike = [(place[names[0]], place[name]) for names in copies for name in names[1:]]
    heads: dict[int, int] = {}
    numbers = [
        number
        for images in present
        for number in ([-1] * len(images) if images.groups is None else images.groups[images.rows].tolist())
    ]
    named = [(heads.setdefault(number, row), row) for row, number in enumerate(numbers) if number >= 0]
    return Pictures(
        np.concatenate([smaller(images.pixels) for images in present]),
        np.concatenate([images.labels for images in present]),
        splits.classes,
        ids,
        np.repeat(list(splits.present()), [len(images) for images in present]),
        _grouped(alike, len(ids)),
        _grouped(alike + named, len(ids)) if alike or named else None,
    )


def _grouped(pairs: Sequence[tuple[int, int]], count: int) -> Int64[np.ndarray, " count"]:
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return groups_of(Pairs(first, second, np.ones(len(pairs))), count)


def out_of_fold(
    pixels: Shaped[np.ndarray, "n channels height width"],
    labels: Int64[np.ndarray, " n"],
    classes: int,
    folds: Int64[np.ndarray, " n"],
) -> Probabilities:
    """The probability of each class for each picture, from a model trained without its fold. The same each time.

    Folds are numbered from 0.
    """
    n, count = len(labels), int(folds.max()) + 1
    features = _fourier(components(pixels)[0])
    width = features.shape[1]
    decay = np.full((width, 1), _DECAY, dtype=np.float32)
    decay[-1] = 0  # none on the intercept
    sizes = n - np.bincount(folds, minlength=count)
    squares = np.zeros((count, width, width), dtype=np.float32)
    for fold in range(count):
        part = features[folds == fold]
        squares[fold] = part.T @ part
    total = squares.sum(0)
    steps = []  # the inverse of the curvature's bound: half of the sum of squares, and the decay
    for fold, size in enumerate(sizes.tolist()):
        bound = (total - squares[fold]).astype(np.float64) / 2
        bound[np.diag_indices(width)] += size * (decay[:, 0] + 1e-6)
        steps.append(np.linalg.inv(bound).astype(np.float32))

    weights = before = np.zeros((width, count, classes), dtype=np.float32)
    for step in range(_STEPS):
        ahead = weights + step / (step + 3) * (weights - before)
        ahead = ahead.astype(np.float32)
        gradient = np.zeros((width, count * classes), dtype=np.float32)
        for rows in blocks(n):
            scores = (features[rows] @ ahead.reshape(width, -1)).reshape(-1, count, classes)
            left = -_softmax(scores)
            places = np.arange(len(left))
            left[places, :, labels[rows]] += 1
            left[places, folds[rows]] = 0  # this fold's model does not learn from it
            gradient += features[rows].T @ left.reshape(len(left), -1)
        before = weights
        slopes = gradient.reshape(weights.shape) - decay[:, None] * sizes[:, None].astype(np.float32) * ahead
        weights = ahead + np.stack([steps[fold] @ slopes[:, fold] for fold in range(count)], axis=1)
    found = np.empty((n, classes), dtype=np.float32)
    for fold in range(count):
        own = np.flatnonzero(folds == fold)
        found[own] = _softmax(features[own] @ weights[:, fold])
    return found


def components(
    pixels: Shaped[np.ndarray, "n channels height width"],
) -> tuple[Float32[np.ndarray, "n components"], Float32[np.ndarray, " n"]]:
    """The pictures in the directions in which a sample of them differs most, at most 64; and the square of the rest.

    Pixels count from 0 to 1, less their mean over the sample.
    """
    flat = pixels.reshape(len(pixels), -1)
    random = np.random.default_rng(0)
    sample = flat[np.sort(random.permutation(len(flat))[:_SAMPLE])].astype(np.float32) / 255
    mean = sample.mean(0)
    directions = main_directions(sample - mean, _COMPONENTS, random)
    points = np.empty((len(flat), directions.shape[1]), dtype=np.float32)
    rest = np.empty(len(flat), dtype=np.float32)
    for rows in blocks(len(flat)):
        centered = flat[rows].astype(np.float32) / 255 - mean
        points[rows] = centered @ directions
        rest[rows] = np.maximum((centered**2).sum(1) - (points[rows] ** 2).sum(1), 0)
    return points, rest


def _fourier(points: Float32[np.ndarray, "n components"]) -> Float32[np.ndarray, "n features"]:
    """Cosines and sines whose products are a Gaussian of the distance, as wide as the median one; and an intercept."""
    random = np.random.default_rng(1)
    some = points[random.permutation(len(points))[:500]]
    distances = ((some[:, None] - some) ** 2).sum(-1)
    median = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
    waves = (random.standard_normal((points.shape[1], _FEATURES)) * np.sqrt(2 / median)).astype(np.float32)
    features = np.ones((len(points), 2 * _FEATURES + 1), dtype=np.float32)
    for rows in blocks(len(points)):
        angles = points[rows] @ waves
        features[rows, :_FEATURES], features[rows, _FEATURES:-1] = np.cos(angles), np.sin(angles)
    return features


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return shares


def blocks(count: int) -> Iterator[slice]:
    """So many rows, in parts of which each fits into the processor's cache."""
    return (slice(first, first + _BLOCK) for first in range(0, count, _BLOCK))
