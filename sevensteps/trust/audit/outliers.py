"""Outliers: pictures that are unlike all others of their set, as noise is, or a digit among clothes.

How far a picture is from the fifth nearest of the others is held against what is usual in its class (Ramaswamy, Rastogi
and Shim, "Efficient algorithms for mining outliers from large data sets", 2000), by the median of its logarithm and the
median deviation from it, which outliers do not move (Hampel, "The influence curve and its role in robust estimation",
1974).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from ...records.audit import Outlier
from .quick_model import Pictures, blocks, components

# Deviations from what is usual in the class, of which up to 1 in 1,000 of real clothes and digits have more
# (bench/audit.py outliers): of the pictures that are planted there most noise has more, and most inverted ones.
LIMIT = 4.0


FEWEST = 10  # pictures, below which nothing is usual; of a class, below which it is held against all classes


_NEIGHBOR = 5


_OTHERS = 10_000  # pictures at most that each is compared with, chosen at random


_LEAST_DEVIATION = 0.05  # of the logarithm: distances of a class that are all alike to 5 % make none of them an outlier


_FLAT = 4.0  # of 255: a picture with a smaller standard deviation has one color


def outliers(pictures: Pictures) -> list[Outlier] | None:
    """Pictures unlike all others, those of one color first, then the farthest; None of fewer than ten.

    Copies of a picture do not count as others. Those of one color are none where half of their class are such.
    """
    is_flat = np.concatenate([pictures.pixels[rows].std((1, 2, 3)) for rows in blocks(len(pictures.ids))]) < _FLAT
    rows = np.flatnonzero(~is_flat)
    if len(rows) < FEWEST:
        return None
    flat_of = np.bincount(pictures.labels[is_flat], minlength=len(pictures.classes))
    few_flat = 2 * flat_of < np.bincount(pictures.labels, minlength=len(pictures.classes))
    found = [(row, None) for row in np.flatnonzero(is_flat & few_flat[pictures.labels]).tolist()]
    scores = deviations(
        np.log(distances(*components(pictures.pixels[rows]), pictures.copies[rows])), pictures.labels[rows]
    )
    far = np.flatnonzero(scores > LIMIT)
    far = far[np.argsort(-scores[far], kind="stable")]
    found += zip(rows[far].tolist(), scores[far].tolist(), strict=True)
    return [Outlier(pictures.ids[row], pictures.classes[pictures.labels[row]], score) for row, score in found]


def distances(
    points: Float32[np.ndarray, "n components"], rest: Float32[np.ndarray, " n"], copies: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """How far each is from the fifth nearest of the others, or of at most 10,000 of them.

    Directions that are no components count as if all pictures differed there at right angles: of noise they hold most.
    """
    firsts = np.arange(len(points))  # of each its own row, of copies that of the first
    _, heads, which = np.unique(copies, return_index=True, return_inverse=True)
    firsts[copies >= 0] = heads[which][copies >= 0]
    others = np.unique(firsts)
    others = np.sort(np.random.default_rng(0).permutation(others)[:_OTHERS])
    place = np.full(len(points), -1)
    place[others] = np.arange(len(others))
    nearest = min(_NEIGHBOR, len(others) - 1)
    found = np.empty(len(points))
    if nearest < 1:
        return np.ones(len(points))
    lengths = (points[others] ** 2).sum(1) + rest[others]
    for some in blocks(len(points)):
        squares = lengths - 2 * (points[some] @ points[others].T)
        own = place[firsts[some]]
        is_among = own >= 0
        squares[np.flatnonzero(is_among), own[is_among]] = np.inf
        of_some = (points[some] ** 2).sum(1) + rest[some]
        found[some] = np.partition(squares, nearest - 1, axis=1)[:, nearest - 1] + of_some
    return np.sqrt(np.maximum(found, 1e-12))


def deviations(values: Float64[np.ndarray, " n"], labels: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """How many robust standard deviations each is above the median of its class, or of all where it has few."""
    found = _deviations(values, np.ones(len(values), dtype=bool))
    for label in np.flatnonzero(np.bincount(labels) >= FEWEST).tolist():
        is_in = labels == label
        found[is_in] = _deviations(values, is_in)[is_in]
    return found


def _deviations(values: Float64[np.ndarray, " n"], usual: Bool[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    middle = np.median(values[usual])
    deviation = 1.4826 * np.median(np.abs(values[usual] - middle))  # of a normal distribution, its standard deviation
    return np.asarray((values - middle) / max(deviation, _LEAST_DEVIATION))
