"""A quick model, trained in a second or two, with which an audit examines pictures.

It is a multinomial logistic regression on random Fourier features of the pictures' principal components (Rahimi and
Recht, "Random features for large-scale kernel machines", 2007). The models of all folds are trained together, each
without its fold, by Newton-like steps with a fixed bound on the curvature (Böhning, "Multinomial logistic regression
algorithm", 1992) and Nesterov's momentum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped

from ...data.images import Splits
from ...data.joined import Joined
from ...data.near_copies import groups_of
from ...data.near_pairs import Pairs, main_directions, smaller

# Pictures that a model learns from, chosen at random from more: with all 70,000 of Fashion-MNIST no more of the planted
# errors were found (bench/audit.py), and each takes 4 kB of memory.
MOST = 30_000


_COMPONENTS, _FEATURES = 64, 512  # with more, no more of the planted errors were found


_STEPS, _DECAY = 8, 3e-3  # with less decay the model memorizes wrong labels, and finds fewer of them


_SAMPLE, _BLOCK = 5000, 4096


Probabilities = Float32[np.ndarray, "n classes"]


Components = tuple[Float32[np.ndarray, "n components"], Float32[np.ndarray, " n"]]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The pictures of all splits, one split after the other."""

    pixels: Joined  # at most 32 a side
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...]
    splits: Shaped[np.ndarray, " n"]  # the name of each picture's split
    copies: Int64[np.ndarray, " n"]  # the number of each picture's group of copies, -1 for none
    groups: Int64[np.ndarray, " n"] | None  # the same for copies and user-defined groups together
    all_ids: Sequence[Sequence[str]]  # of each split

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def components(self) -> Components:
        """The principal components of all pictures."""
        return components(self.pixels)

    def components_of(self, rows: Int64[np.ndarray, " m"]) -> Components:
        """Return the principal components of some pictures; those of all are computed once.

        Args:
            rows: The pictures, in order.
        """
        if len(rows) == len(self):
            return self.components
        if len(rows) <= MOST:
            return components(self.pixels.take(rows))
        points, rest = self.components
        return points[rows], rest[rows]

    def id_of(self, row: int) -> str:
        """Return the name of a picture.

        Args:
            row: Its place.
        """
        for ids in self.all_ids:
            if row < len(ids):
                break
            row -= len(ids)
        return ids[row]


def pictures_of(splits: Splits, copies: Iterable[Int64[np.ndarray, " _"]] = ()) -> Pictures:
    """Collect the pictures of a source, without copying their pixels if they are small.

    Args:
        splits: The pictures.
        copies: Groups of pictures that are copies, as places over all splits.

    Returns:
        All pictures.
    """
    present = list(splits.present().values())
    counts = [len(images) for images in present]
    copies = list(copies)
    firsts = [np.full(len(group) - 1, group[0]) for group in copies]
    alike = _pairs(firsts, [group[1:] for group in copies])
    numbers = np.concatenate([np.full(len(one), -1) if one.groups is None else one.groups[one.rows] for one in present])
    named = np.flatnonzero(numbers >= 0)
    _, heads, which = np.unique(numbers[named], return_index=True, return_inverse=True)
    together = _pairs([*firsts, named[heads[which]]], [*(group[1:] for group in copies), named])
    return Pictures(
        pixels=Joined([smaller(images.inputs) for images in present]),
        labels=np.concatenate([images.labels for images in present]),
        classes=splits.classes,
        all_ids=[images.ids for images in present],
        splits=np.repeat(list(splits.present()), counts),
        copies=groups_of(alike, sum(counts)),
        groups=groups_of(together, sum(counts)) if len(together.first) else None,
    )


def _pairs(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Pairs:
    """Return pairs of rows that belong together."""
    nothing = np.zeros(0, dtype=np.int64)
    ours, others = np.concatenate([nothing, *first]), np.concatenate([nothing, *second])
    return Pairs(ours, others, np.ones(len(ours)))


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
    return probabilities_of(components(pixels)[0], labels, classes, folds)


def probabilities_of(
    points: Float32[np.ndarray, "n components"],
    labels: Int64[np.ndarray, " n"],
    classes: int,
    folds: Int64[np.ndarray, " n"],
    most: int | None = None,
    only: int | None = None,
) -> Probabilities:
    """Return the same as `out_of_fold`, from the pictures' principal components.

    Args:
        points: The components.
        labels: The class of each picture.
        classes: The number of classes.
        folds: The fold of each picture, numbered from 0.
        most: Pictures to learn from, chosen at random from more; None for all.
        only: With more than `most` pictures, the number of folds that are wanted, the first ones; None for all.

    Returns:
        The probabilities; 0 for pictures of folds that are not wanted.
    """
    n = len(labels)
    waves = _waves(points)
    if most is None or n <= most:
        features = _fourier(points, waves)
        weights = _trained(features, labels, classes, folds)
        probabilities = np.empty((n, classes), dtype=np.float32)
        for fold in range(weights.shape[1]):
            own = np.flatnonzero(folds == fold)
            probabilities[own] = _softmax(features[own] @ weights[:, fold])
        return probabilities
    some = np.sort(np.random.default_rng(2).permutation(n)[:most])
    count = int(folds.max()) + 1 if only is None else only
    weights = _trained(_fourier(points[some], waves), labels[some], classes, folds[some], count)
    probabilities = np.zeros((n, classes), dtype=np.float32)
    for fold in range(count):
        of_fold = np.flatnonzero(folds == fold)
        for part in blocks(len(of_fold)):
            own = of_fold[part]
            probabilities[own] = _softmax(_fourier(points[own], waves) @ weights[:, fold])
    return probabilities


def _trained(
    features: Float32[np.ndarray, "n width"],
    labels: Int64[np.ndarray, " n"],
    classes: int,
    folds: Int64[np.ndarray, " n"],
    count: int | None = None,
) -> Float32[np.ndarray, "width folds classes"]:
    """Return the weights of the models of all folds, or of the first `count`."""
    n, folds_in_all = len(labels), int(folds.max()) + 1
    count = folds_in_all if count is None else count
    width = features.shape[1]
    decay = np.full((width, 1), _DECAY, dtype=np.float32)
    decay[-1] = 0  # the intercept does not decay
    sizes = n - np.bincount(folds, minlength=count)[:count]
    squares = np.zeros((max(count, folds_in_all), width, width), dtype=np.float32)
    for fold in range(folds_in_all):
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
            held_out = np.flatnonzero(folds[rows] < count)
            left[held_out, folds[rows][held_out]] = 0  # this fold's model does not learn from it
            gradient += features[rows].T @ left.reshape(len(left), -1)
        before = weights
        slopes = gradient.reshape(weights.shape) - decay[:, None] * sizes[:, None].astype(np.float32) * ahead
        weights = ahead + np.stack([steps[fold] @ slopes[:, fold] for fold in range(count)], axis=1)
    return weights


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


def components(pixels: Shaped[np.ndarray, "n channels height width"] | Joined) -> Components:
    """Project pictures onto the (at most 64) principal components of a sample of them.

    Args:
        pixels: The pictures, with values from 0 to 255.

    Returns:
        The components, for values from 0 to 1 minus the sample's mean; and the squared length of what they leave out.
    """
    n = len(pixels)
    random = np.random.default_rng(0)
    some = np.sort(random.permutation(n)[:_SAMPLE])
    sample = pixels[some].reshape(len(some), -1).astype(np.float32) / 255
    mean = sample.mean(0)
    directions = main_directions(sample - mean, _COMPONENTS, random)
    points = np.empty((n, directions.shape[1]), dtype=np.float32)
    rest = np.empty(n, dtype=np.float32)
    for rows in blocks(n):
        block = pixels[rows]
        centered = block.reshape(len(block), -1).astype(np.float32) / 255 - mean
        points[rows] = centered @ directions
        rest[rows] = np.maximum((centered**2).sum(1) - (points[rows] ** 2).sum(1), 0)
    return points, rest


def _waves(points: Float32[np.ndarray, "n components"]) -> Float32[np.ndarray, "components waves"]:
    """Return the frequencies of random Fourier features of a Gaussian kernel as wide as the median distance."""
    random = np.random.default_rng(1)
    some = points[random.permutation(len(points))[:500]]
    distances = ((some[:, None] - some) ** 2).sum(-1)
    median = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
    waves: np.ndarray = random.standard_normal((points.shape[1], _FEATURES)) * np.sqrt(2 / median)
    return waves.astype(np.float32)


def _fourier(
    points: Float32[np.ndarray, "n components"], waves: Float32[np.ndarray, "components waves"]
) -> Float32[np.ndarray, "n features"]:
    """Return the random Fourier features, and an intercept."""
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
