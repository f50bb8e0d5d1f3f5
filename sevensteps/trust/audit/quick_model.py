"""A quick model, trained in a second or two, with which an audit examines pictures.

It is a multinomial logistic regression on random Fourier features of the pictures' principal components (Rahimi and
Recht, "Random features for large-scale kernel machines", 2007). The models of all folds are trained together, each
without its fold, by Newton-like steps with a fixed bound on the curvature (Böhning, "Multinomial logistic regression
algorithm", 1992) and Nesterov's momentum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8

from ...data.images import Splits
from ...data.near_copies import groups_of
from ...data.near_pairs import Pairs, main_directions, smaller

MOST = 100_000  # pictures: 60,000 take 2.5 s on two cores (bench/audit.py); each takes 4 kB of memory


_COMPONENTS, _FEATURES = 64, 512  # with more, no more of the planted errors were found


_STEPS, _DECAY = 8, 3e-3  # with less decay the model memorizes wrong labels, and finds fewer of them


_SAMPLE, _BLOCK = 5000, 4096


Probabilities = Float32[np.ndarray, "n classes"]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The pictures of all splits, one split after the other."""

    pixels: UInt8[np.ndarray, "n channels height width"]  # at most 32 a side
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...]
    ids: Sequence[str]
    splits: Shaped[np.ndarray, " n"]  # the name of each picture's split
    copies: Int64[np.ndarray, " n"]  # the number of each picture's group of copies, -1 for none
    groups: Int64[np.ndarray, " n"] | None  # the same for copies and user-defined groups together


def pictures_of(splits: Splits, copies: Iterable[Sequence[str]] = ()) -> Pictures | None:
    """Collect the pictures of a source.

    Args:
        splits: The pictures.
        copies: Groups of ids of pictures that are copies.

    Returns:
        All pictures, or None if there are more than 100,000.
    """
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
        pixels=np.concatenate([smaller(images.inputs) for images in present]),
        labels=np.concatenate([images.labels for images in present]),
        classes=splits.classes,
        ids=ids,
        splits=np.repeat(list(splits.present()), [len(images) for images in present]),
        copies=_grouped(alike, len(ids)),
        groups=_grouped(alike + named, len(ids)) if alike or named else None,
    )


def _grouped(pairs: Sequence[tuple[int, int]], count: int) -> Int64[np.ndarray, " count"]:
    """Return the number of each row's group, given pairs of rows that belong together; -1 for none."""
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return groups_of(Pairs(first, second, np.ones(len(pairs))), count)


def out_of_fold(
    pixels: Shaped[np.ndarray, "n channels height width"],
    labels: Int64[np.ndarray, " n"],
    classes: int,
    folds: Int64[np.ndarray, " n"],
) -> Probabilities:
    """Return the probability of each class for each picture, from a model trained without the picture's fold.

    Args:
        pixels: The pictures.
        labels: The class of each picture.
        classes: The number of classes.
        folds: The fold of each picture, numbered from 0.

    Returns:
        The probabilities; the same input gives the same result.
    """
    n, count = len(labels), int(folds.max()) + 1
    features = _fourier(components(pixels)[0])
    width = features.shape[1]
    decay = np.full((width, 1), _DECAY, dtype=np.float32)
    decay[-1] = 0  # the intercept does not decay
    sizes = n - np.bincount(folds, minlength=count)
    squares = np.zeros((count, width, width), dtype=np.float32)
    for fold in range(count):
        part = features[folds == fold]
        squares[fold] = part.T @ part
    total = squares.sum(0)
    steps = []  # the inverse of the bound on the curvature: half the sum of squares, plus the decay
    for fold, size in enumerate(sizes.tolist()):
        diagonal = size * (decay[:, 0].astype(np.float64) + 1e-6)
        if size < width // 2:
            inverse = _inverse_of_few(features[folds != fold].astype(np.float64), diagonal)
        else:
            bound = (total - squares[fold]).astype(np.float64) / 2
            bound[np.diag_indices(width)] += diagonal
            inverse = np.linalg.inv(bound)
        steps.append(inverse.astype(np.float32))

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
    probabilities = np.empty((n, classes), dtype=np.float32)
    for fold in range(count):
        own = np.flatnonzero(folds == fold)
        probabilities[own] = _softmax(features[own] @ weights[:, fold])
    return probabilities


def _inverse_of_few(
    rows: Float64[np.ndarray, "few width"], diagonal: Float64[np.ndarray, " width"]
) -> Float64[np.ndarray, "width width"]:
    """Return the inverse of half the rows' sum of squares plus a diagonal, faster where there are few rows.

    By the Woodbury identity (Golub and Van Loan, "Matrix Computations", section 2.1.4).
    """
    scaled = rows / diagonal
    inner = 2 * np.eye(len(rows)) + scaled @ rows.T
    inverse: np.ndarray = np.diag(1 / diagonal) - scaled.T @ np.linalg.solve(inner, scaled)
    return inverse


def components(
    pixels: Shaped[np.ndarray, "n channels height width"],
) -> tuple[Float32[np.ndarray, "n components"], Float32[np.ndarray, " n"]]:
    """Project pictures onto the (at most 64) principal components of a sample of them.

    Args:
        pixels: The pictures, with values from 0 to 255.

    Returns:
        The components, for values from 0 to 1 minus the sample's mean; and the squared length of what they leave out.
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
    """Return random Fourier features of a Gaussian kernel as wide as the median distance, and an intercept."""
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
    """Return the probabilities of scores, over the last axis."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return shares


def blocks(count: int) -> Iterator[slice]:
    """Divide rows into parts that each fit into the processor's cache.

    Args:
        count: The number of rows.
    """
    return (slice(first, first + _BLOCK) for first in range(0, count, _BLOCK))
