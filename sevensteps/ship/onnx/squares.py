"""The distance of "none of these" as a sum of squares, for which single precision is enough.

`precision * |x - mean|^2 - |directions @ (x - mean)|^2` is a difference of large sums, for which single precision is
too coarse. The directions of all classes and the differences of their means span a small space. Outside it, all classes
have the same distance but for its scale; inside it, each has a quadratic form, whose Cholesky factor makes squares of
it. So the distance from each class is a sum of squares of `x @ matrix + start`, and nothing is subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ..abstention import Abstention
from .nodes import DISTANCE, Nodes

# With more classes or values, the matrix is so large that double precision is faster (docs/decisions/0046).
MOST_CLASSES, MOST_VALUES = 2, 256


@dataclass(frozen=True)
class Squares:
    """What the distance is computed from: `(x @ matrix + start)^2 @ weights`, for pixels from 0 to 255."""

    matrix: Float32[np.ndarray, "values squares"]
    start: Float32[np.ndarray, " squares"]
    weights: Float32[np.ndarray, "squares classes"]


def squares(abstention: Abstention) -> Squares | None:
    """Return the distance of a model as sums of squares; None if there are too many numbers, or it is not one.

    Args:
        abstention: What the distance is computed from.
    """
    means, directions, precision = (
        array.astype(np.float64) for array in (abstention.means, abstention.directions, abstention.precision)
    )
    count, values = means.shape
    spanning = np.concatenate([*directions, means[1:] - means[0]])
    spanning = spanning[np.abs(spanning).max(1) > 0]
    if count > MOST_CLASSES or values > MOST_VALUES or not len(spanning) < values:
        return None
    basis, triangle = np.linalg.qr(spanning.T, mode="complete")
    basis[:, : len(spanning)] *= np.where(np.diag(triangle) < 0, -1.0, 1.0)  # which LAPACK leaves open
    inside, outside = basis[:, : len(spanning)], basis[:, len(spanning) :]
    matrices, starts = [outside], [-means[0] @ outside]
    weights = [np.broadcast_to(precision / values, (outside.shape[1], count))]
    for place in range(count):
        along = directions[place] @ inside
        try:
            factor = np.linalg.cholesky(precision[place] * np.eye(len(spanning)) - along.T @ along)
        except np.linalg.LinAlgError:  # the distance is negative along some direction
            return None
        matrices.append(inside @ factor)
        starts.append(-means[place] @ matrices[-1])
        weights.append(np.broadcast_to(np.eye(count)[place] / values, (len(spanning), count)))
    numbers = np.concatenate(matrices, axis=1) / 255, np.concatenate(starts), np.concatenate(weights)
    return Squares(*(np.ascontiguousarray(each, dtype=np.float32) for each in numbers))


def write_squares(nodes: Nodes, numbers: Squares, x: str) -> None:
    """Add the distance from the nearest class.

    Args:
        nodes: The graph so far.
        numbers: What it is computed from.
        x: The name of the averaged pixels from 0 to 255, as rows of float32.
    """
    roots = nodes.add("MatMul", x, nodes.constant("roots", numbers.matrix))
    roots = nodes.add("Add", roots, nodes.constant("roots_start", numbers.start))
    far = nodes.add("MatMul", nodes.add("Mul", roots, roots), nodes.constant("weights", numbers.weights))
    nodes.add("ReduceMin", far, axes=[1], keepdims=0, output=DISTANCE)
