"""Find outliers: pictures unlike all others of their set, such as noise, or a digit among clothes.

The distance of a picture from its fifth nearest neighbor (Ramaswamy, Rastogi and Shim, "Efficient algorithms for mining
outliers from large data sets", 2000) is compared with the usual distance in its class. Usual means the median of the
logarithm and the median deviation from it, which outliers do not move (Hampel, "The influence curve and its role in
robust estimation", 1974).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from ...records.audit import Outlier
from .quick_model import Pictures, blocks

# Robust standard deviations. Up to 1 in 1,000 real clothes and digits exceed it, and most planted pictures of noise and
# most inverted ones do (bench/audit.py outliers).
LIMIT = 4.0


FEWEST = 10  # pictures: with fewer nothing is usual; a smaller class is compared with all classes


_NEIGHBOR = 5


_OTHERS = 10_000  # pictures at most that each one is compared with, chosen at random


_AT_ONCE, _ROWS = 64, 20  # pictures that are compared with all others at once; rows of the table of their distances


_LEAST_DEVIATION = 0.05  # of the logarithm: where distances agree within 5 %, no picture is an outlier


_FLAT = 4.0  # of 255: a picture with a smaller standard deviation counts as one color


def outliers(pictures: Pictures) -> list[Outlier] | None:
    """Find pictures unlike all others.

    Copies of a picture do not count as others. Pictures of one color are not outliers if half of their class are such.

    Args:
        pictures: The pictures of all splits.

    Returns:
        The outliers, those of one color first, then the farthest; None for fewer than ten pictures.
    """
    is_flat = np.concatenate([pictures.pixels[rows].std((1, 2, 3)) for rows in blocks(len(pictures))]) < _FLAT
    rows = np.flatnonzero(~is_flat)
    if len(rows) < FEWEST:
        return None
    flat_of = np.bincount(pictures.labels[is_flat], minlength=len(pictures.classes))
    few_flat = 2 * flat_of < np.bincount(pictures.labels, minlength=len(pictures.classes))
    found = [(row, None) for row in np.flatnonzero(is_flat & few_flat[pictures.labels]).tolist()]
    scores = deviations(np.log(distances(*pictures.components_of(rows), pictures.copies[rows])), pictures.labels[rows])
    far = np.flatnonzero(scores > LIMIT)
    far = far[np.argsort(-scores[far], kind="stable")]
    found += zip(rows[far].tolist(), scores[far].tolist(), strict=True)
    return [Outlier(pictures.id_of(row), pictures.classes[pictures.labels[row]], score) for row, score in found]


def distances(
    points: Float32[np.ndarray, "n components"], rest: Float32[np.ndarray, " n"], copies: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Return the distance of each picture from its fifth nearest neighbor, among at most 10,000 others.

    Outside the main components, all pictures are taken to differ at right angles; most of what noise consists of lies
    there.

    Args:
        points: The pictures in their main components.
        rest: The squared length of what the components leave out.
        copies: The group of copies of each picture, -1 for none.
    """
    firsts = np.arange(len(points))  # the row of each picture, or of its first copy
    _, heads, which = np.unique(copies, return_index=True, return_inverse=True)
    firsts[copies >= 0] = heads[which][copies >= 0]
    others = np.unique(firsts)
    others = np.sort(np.random.default_rng(0).permutation(others)[:_OTHERS])
    place = np.full(len(points), -1)
    place[others] = np.arange(len(others))
    nearest = min(_NEIGHBOR, len(others) - 1)
    squared = np.empty(len(points))
    if nearest < 1:
        return np.ones(len(points))
    lengths = (points[others] ** 2).sum(1) + rest[others]
    doubled = np.ascontiguousarray(-2 * points[others].T)
    for start in range(0, len(points), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        squares = points[some] @ doubled
        squares += lengths
        own = place[firsts[some]]
        is_among = own >= 0
        squares[np.flatnonzero(is_among), own[is_among]] = np.inf
        own_lengths = (points[some] ** 2).sum(1) + rest[some]
        squared[some] = _smallest(squares, nearest) + own_lengths
    return np.sqrt(np.maximum(squared, 1e-12))


def _smallest(values: Float32[np.ndarray, "n others"], place: int) -> Float32[np.ndarray, " n"]:
    """Return the value at a place of each sorted row, the first being 1.

    It is in one of the columns whose smallest value is among the smallest of all columns, so only those are searched.
    """
    columns = values.shape[1] // _ROWS
    if columns <= place:
        return _partitioned(values, place)
    table = values[:, : columns * _ROWS].reshape(len(values), _ROWS, columns)
    chosen = np.argpartition(table.min(1), place - 1, axis=1)[:, :place]
    among = np.take_along_axis(table, chosen[:, None], axis=2).reshape(len(values), -1)
    return _partitioned(np.hstack([among, values[:, columns * _ROWS :]]), place)


def _partitioned(values: Float32[np.ndarray, "n others"], place: int) -> Float32[np.ndarray, " n"]:
    """Return the value at a place of each sorted row, the first being 1."""
    inorder: Float32[np.ndarray, "n others"] = np.partition(values, place - 1, axis=1)
    return inorder[:, place - 1]


def deviations(values: Float64[np.ndarray, " n"], labels: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return how many robust standard deviations each value is above the median of its class.

    Args:
        values: One value for each picture.
        labels: The class of each picture; a class with fewer than ten is compared with all pictures.
    """
    scores = _deviations(values, np.ones(len(values), dtype=bool))
    for label in np.flatnonzero(np.bincount(labels) >= FEWEST).tolist():
        is_in = labels == label
        scores[is_in] = _deviations(values, is_in)[is_in]
    return scores


def _deviations(values: Float64[np.ndarray, " n"], usual: Bool[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return how far all values are from the median of the usual ones, in their robust standard deviations."""
    middle = np.median(values[usual])
    deviation = 1.4826 * np.median(
        np.abs(values[usual] - middle)
    )  # equals the standard deviation of a normal distribution
    return np.asarray((values - middle) / max(deviation, _LEAST_DEVIATION))
