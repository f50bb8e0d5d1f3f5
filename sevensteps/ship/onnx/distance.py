"""The distance of "none of these" as nodes of an ONNX graph, in double precision unless single precision is enough."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from ..abstention import SIDE, Abstention
from .nodes import DISTANCE, Nodes
from .squares import squares, write_squares


def write_distance(
    nodes: Nodes, abstention: Abstention, seen: str, shape: tuple[int, int, int], *, single: bool = False
) -> None:
    """Add the distance from the nearest class, as `Abstention.distances` computes it.

    For each class it is `precision * |x - mean|^2 - |directions @ (x - mean)|^2`, divided by the number of values. That
    is written as products of x and of its squares with matrices, so that a picture costs few nodes.

    Args:
        nodes: The graph so far.
        abstention: What the distance is computed from.
        seen: The name of the bytes on which it is measured.
        shape: Their shape without the number of pictures.
        single: Whether to compute in single precision if the distance can be written as a sum of squares.
    """
    from onnx import TensorProto

    def number(name: str, value: Any) -> str:
        return nodes.constant(name, np.asarray(value, np.float64))

    means, directions, precision = (
        array.astype(np.float64) for array in (abstention.means, abstention.directions, abstention.precision)
    )
    count, values = means.shape
    exact = _exact_averages(nodes, seen, shape, values) if single else None
    if exact is not None and (numbers := squares(abstention)) is not None:
        write_squares(nodes, numbers, nodes.add("Flatten", exact, axis=1))
        return
    by_value = precision / values
    x = nodes.add("Reshape", _averaged(nodes, seen, shape, values), _row(nodes, values))
    # precision * |x - mean|^2 - |directions @ (x - mean)|^2 = weights @ (x, directions @ x)^2 + slopes @ x + start
    weights = [np.broadcast_to(by_value / 255**2, (values, count))]
    slopes, start, squared = -2 * by_value * means.T, by_value * (means**2).sum(1), x
    if most := directions.shape[1]:
        scaled = directions / np.sqrt(values)
        along = np.einsum("cmv,cv->cm", scaled, means)
        slopes = slopes + 2 * np.einsum("cmv,cm->vc", scaled, along)
        start = start - (along**2).sum(1)
        weights.append(-np.repeat(np.eye(count), most, axis=0) / 255**2)
        by_row = np.ascontiguousarray(scaled.reshape(count * most, values).T)
        squared = nodes.add("Concat", x, nodes.add("MatMul", x, number("directions", by_row)), axis=1)
    # Products and sums instead of Gemm, which tract does not compute in double precision.
    far = nodes.add("MatMul", nodes.add("Mul", squared, squared), number("precision", np.concatenate(weights)))
    far = nodes.add("Add", far, nodes.add("MatMul", x, number("slopes", slopes / 255)))
    far = nodes.add("Add", far, number("start", start))
    nearest = nodes.add("ReduceMin", far, axes=[1], keepdims=0)
    nearest = nodes.add("Max", nearest, number("no_distance", 0))
    nodes.add("Cast", nearest, to=TensorProto.FLOAT, output=DISTANCE)


def _row(nodes: Nodes, values: int) -> str:
    """Keep the shape of pictures as rows of numbers."""
    return nodes.constant("as_rows", np.array([-1, values], np.int64))


def _averaged(nodes: Nodes, seen: str, shape: tuple[int, int, int], values: int) -> str:
    """Add the averages over squares, as `abstention.reduced` takes them, and return the name of the doubles."""
    from onnx import TensorProto

    steps = _steps(shape, values)
    if steps != [1, 1] and (means := _exact_averages(nodes, seen, shape, values)) is not None:
        return nodes.add("Cast", means, to=TensorProto.DOUBLE)
    x = nodes.add("Cast", seen, to=TensorProto.DOUBLE)
    for name, size, step, is_first in (("rows", shape[1], steps[0], True), ("columns", shape[2], steps[1], False)):
        if step > 1:
            averages = _averages(size, step)
            matrix = nodes.constant(f"averages_of_{name}", averages if is_first else np.ascontiguousarray(averages.T))
            x = nodes.add("MatMul", *((matrix, x) if is_first else (x, matrix)))
    return x


def _steps(shape: tuple[int, int, int], values: int) -> list[int]:
    """Return the height and the width of the squares that are averaged."""
    return [size if values == shape[0] else -(-size // SIDE) for size in shape[1:]]


def _exact_averages(nodes: Nodes, seen: str, shape: tuple[int, int, int], values: int) -> str | None:
    """Add averages in single precision, and return the name of the floats; None if they would not be exact.

    Sums of bytes, divided by a power of two, are.
    """
    steps = _steps(shape, values)
    if any(size % step or step not in (1, 2, 4, 8, 16) for size, step in zip(shape[1:], steps, strict=True)):
        return None
    pixels = nodes.as_float(seen)
    return pixels if steps == [1, 1] else nodes.add("AveragePool", pixels, kernel_shape=steps, strides=steps)


def _averages(size: int, step: int) -> Float64[np.ndarray, "fewer size"]:
    """Return the matrix that averages stretches of a side; the last one may be shorter."""
    places = np.arange(size) // step
    matrix: np.ndarray = (places == np.arange(-(-size // step))[:, None]) / np.bincount(places)[:, None]
    return matrix
