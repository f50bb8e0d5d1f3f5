"""Suspects: pictures whose labels look wrong, from what a fast model says of pictures that it has not learned from.

The model is a multinomial logistic regression on random Fourier features of the pictures' principal components (Rahimi
and Recht, "Random features for large-scale kernel machines", 2007). Five of them are trained at once, each without one
fold, by Newton-like steps under a fixed bound of the curvature (Böhning, "Multinomial logistic regression algorithm",
1992) with Nesterov's momentum. Then comes confident learning (Northcutt, Jiang and Chuang, "Confident learning:
estimating uncertainty in dataset labels", Journal of Artificial Intelligence Research 70, 2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from ..data.folds import USUAL, folds_of
from ..data.images import Images, Splits
from ..data.near import Pairs, groups_of, main_directions, smaller
from ..records import Suspect

MOST = 100_000  # pictures: 60,000 take 2.5 s on two cores (bench/audit.py), and each 4 kB of memory
FEWEST = 10  # pictures of a class, of which two are in each fold; those of smaller classes are not looked at
_COMPONENTS, _FEATURES = 64, 512  # more found no more of what was planted, when tried
_STEPS, _DECAY = 8, 3e-3  # with less decay the model learns wrong labels by heart, and finds fewer of them
_SAMPLE, _BLOCK = 5000, 4096

Probabilities = Float32[np.ndarray, "n classes"]


def suspects(splits: Splits, copies: Iterable[Sequence[str]] = ()) -> list[Suspect] | None:
    """Pictures of any split whose labels look wrong, the likeliest first; `copies` are ids of pictures that are alike.

    Copies, and pictures of one group, are in one fold, so that no wrong label is vouched for by its own copy. It is
    None where nothing could be looked for: of more than 100,000 pictures, or where fewer than two classes have ten.
    """
    present = [images for images in (splits.train, splits.valid, splits.test) if images is not None]
    labels = np.concatenate([images.labels for images in present])
    counts = np.bincount(labels, minlength=len(splits.classes))
    rows, known = np.flatnonzero(counts[labels] >= FEWEST), np.flatnonzero(counts >= FEWEST)
    if len(labels) > MOST or len(known) < 2:
        return None
    ids = [name for images in present for name in images.ids]
    groups = _together(present, ids, copies)
    pixels = np.concatenate([smaller(images.pixels) for images in present])[rows]
    of_known = np.searchsorted(known, labels[rows])
    probabilities = out_of_fold(pixels, of_known, len(known), None if groups is None else groups[rows])
    found, likely, scores = confident_learning(probabilities, of_known)
    return [
        Suspect(ids[row], splits.classes[labels[row]], splits.classes[known[other]], float(score))
        for row, other, score in zip(rows[found].tolist(), likely.tolist(), scores.tolist(), strict=True)
    ]


def confident_learning(
    probabilities: Probabilities, labels: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"], Float32[np.ndarray, " found"]]:
    """Rows whose labels look wrong, the likeliest first, the class that each looks like, and a score in [0, 1].

    A picture is counted for a class where its probability is at least the mean over the pictures that have that label,
    and for the most probable of these. So many as are counted for another class than their label (off the diagonal of
    the calibrated joint, equation 3 of the paper) are suspects: those whose labels have the lowest probabilities, of
    the ones for which the model answers another class. Taking them by cleanlab's rules, which leave out others, found
    no more of what was planted: bench/audit.py. The score is one less the label's probability.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    # A class without labels has no mean, and nothing is counted for it.
    thresholds = np.where(counts, np.bincount(labels, own, classes) / np.maximum(counts, 1), np.inf)
    confident = np.where(probabilities >= thresholds - 1e-6, probabilities, -1)
    is_counted = confident.max(1) >= 0
    joint = np.bincount((labels * classes + confident.argmax(1))[is_counted], minlength=classes**2)
    joint = joint.reshape(classes, classes).astype(np.float64)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    joint *= (counts / joint.sum(1))[:, None]
    likely = probabilities.argmax(1)
    found = np.flatnonzero(likely != labels)
    found = found[np.argsort(own[found], kind="stable")][: round(joint.sum() - joint.trace())]
    return found, likely[found], 1 - own[found]


def out_of_fold(
    pixels: Shaped[np.ndarray, "n channels height width"],
    labels: Int64[np.ndarray, " n"],
    classes: int,
    groups: Int64[np.ndarray, " n"] | None = None,
) -> Probabilities:
    """The probability of each class for each picture, from a model trained without its fold. The same each time."""
    n = len(labels)
    folds = folds_of(labels, classes, USUAL, 0, groups)
    features = _fourier(components(pixels))
    width = features.shape[1]
    decay = np.full((width, 1), _DECAY, dtype=np.float32)
    decay[-1] = 0  # none on the intercept
    sizes = n - np.bincount(folds, minlength=USUAL)
    squares = np.zeros((USUAL, width, width), dtype=np.float32)
    for fold in range(USUAL):
        part = features[folds == fold]
        squares[fold] = part.T @ part
    total = squares.sum(0)
    steps = []  # the inverse of the curvature's bound: half of the sum of squares, and the decay
    for fold, size in enumerate(sizes.tolist()):
        bound = (total - squares[fold]).astype(np.float64) / 2
        bound[np.diag_indices(width)] += size * (decay[:, 0] + 1e-6)
        steps.append(np.linalg.inv(bound).astype(np.float32))

    weights = before = np.zeros((width, USUAL, classes), dtype=np.float32)
    for step in range(_STEPS):
        ahead = weights + step / (step + 3) * (weights - before)
        ahead = ahead.astype(np.float32)
        gradient = np.zeros((width, USUAL * classes), dtype=np.float32)
        for rows in _blocks(n):
            scores = (features[rows] @ ahead.reshape(width, -1)).reshape(-1, USUAL, classes)
            left = -_softmax(scores)
            places = np.arange(len(left))
            left[places, :, labels[rows]] += 1
            left[places, folds[rows]] = 0  # this fold's model does not learn from it
            gradient += features[rows].T @ left.reshape(len(left), -1)
        before = weights
        slopes = gradient.reshape(weights.shape) - decay[:, None] * sizes[:, None].astype(np.float32) * ahead
        weights = ahead + np.stack([steps[fold] @ slopes[:, fold] for fold in range(USUAL)], axis=1)
    found = np.empty((n, classes), dtype=np.float32)
    for fold in range(USUAL):
        own = np.flatnonzero(folds == fold)
        found[own] = _softmax(features[own] @ weights[:, fold])
    return found


def components(pixels: Shaped[np.ndarray, "n channels height width"]) -> Float32[np.ndarray, "n components"]:
    """The pictures in the directions in which a sample of them differs most, at most 64."""
    flat = pixels.reshape(len(pixels), -1)
    random = np.random.default_rng(0)
    sample = flat[np.sort(random.permutation(len(flat))[:_SAMPLE])].astype(np.float32) / 255
    mean = sample.mean(0)
    directions = main_directions(sample - mean, _COMPONENTS, random)
    blocks = [(flat[rows].astype(np.float32) / 255 - mean) @ directions for rows in _blocks(len(flat))]
    return np.concatenate(blocks).astype(np.float32)


def _fourier(points: Float32[np.ndarray, "n components"]) -> Float32[np.ndarray, "n features"]:
    """Cosines and sines whose products are a Gaussian of the distance, as wide as the median one; and an intercept."""
    random = np.random.default_rng(1)
    some = points[random.permutation(len(points))[:500]]
    distances = ((some[:, None] - some) ** 2).sum(-1)
    median = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
    waves = (random.standard_normal((points.shape[1], _FEATURES)) * np.sqrt(2 / median)).astype(np.float32)
    features = np.ones((len(points), 2 * _FEATURES + 1), dtype=np.float32)
    for rows in _blocks(len(points)):
        angles = points[rows] @ waves
        features[rows, :_FEATURES], features[rows, _FEATURES:-1] = np.cos(angles), np.sin(angles)
    return features


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return shares


def _together(
    present: Sequence[Images], ids: Sequence[str], copies: Iterable[Sequence[str]]
) -> Int64[np.ndarray, " n"] | None:
    """The group of each picture over all splits, -1 for none: copies of one another, and those of a group."""
    pairs: list[tuple[int, int]] = []
    place = {name: row for row, name in enumerate(ids)}
    for names in copies:
        first, *others = (place[name] for name in names)
        pairs += [(first, other) for other in others]
    heads: dict[int, int] = {}
    numbers = [
        number
        for images in present
        for number in ([-1] * len(images) if images.groups is None else images.groups[images.rows].tolist())
    ]
    pairs += [(heads.setdefault(number, row), row) for row, number in enumerate(numbers) if number >= 0]
    if not pairs:
        return None
    first, second = np.array(pairs, dtype=np.int64).T
    return groups_of(Pairs(first, second, np.ones(len(pairs))), len(ids))


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, first + _BLOCK) for first in range(0, count, _BLOCK))
