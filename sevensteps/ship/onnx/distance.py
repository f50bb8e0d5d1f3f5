"""The distance of "none of these" as nodes of an ONNX graph, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from ..abstention import SIDE, Abstention
from .nodes import DISTANCE, Nodes


def write_distance(nodes: Nodes, abstention: Abstention, seen: str, shape: tuple[int, int, int]) -> None:
    """Add the distance from the nearest class, as `Abstention.distances` computes it.

    For each class it is `precision * |x - mean|^2 - |directions @ (x - mean)|^2`, divided by the number of values. Its
    parts are three products of x, or of its squares, with matrices; so a picture costs few nodes.

    Args:
        nodes: The graph so far.
        abstention: What the distance is computed from.
        seen: The name of the bytes on which it is measured.
        shape: Their shape without the number of pictures.
    """
    from onnx import TensorProto

    def number(name: str, value: Any) -> str:
        return nodes.constant(name, np.asarray(value, np.float64))

    means, directions, precision = (
        array.astype(np.float64) for array in (abstention.means, abstention.directions, abstention.precision)
    )
    count, values = means.shape
    by_value = precision / values
    x = nodes.add("Reshape", _averaged(nodes, seen, shape, values), _row(nodes, values))
    # A product and a sum instead of one Gemm, which tract does not compute in double precision; onnxruntime joins them.
    far = nodes.add("MatMul", x, number("class_means", -2 * by_value * means.T / 255))
    far = nodes.add("Add", far, number("means_squared", by_value * (means**2).sum(1)))
    precisions = np.broadcast_to(by_value / 255**2, (values, count))
    far = nodes.add("Add", nodes.add("MatMul", nodes.add("Mul", x, x), number("precision", precisions)), far)
    if most := directions.shape[1]:
        flat = directions.reshape(count * most, values) / np.sqrt(values)
        start = np.einsum("cmv,cv->cm", directions, means).reshape(-1) / np.sqrt(values)
        along = nodes.add("MatMul", x, number("directions", np.ascontiguousarray(flat.T / 255)))
        along = nodes.add("Sub", along, number("directions_start", start))
        by_class = number("by_class", np.repeat(np.eye(count), most, axis=0))
        far = nodes.add("Sub", far, nodes.add("MatMul", nodes.add("Mul", along, along), by_class))
    nearest = nodes.add("ReduceMin", far, axes=[1], keepdims=0)
    nearest = nodes.add("Max", nearest, number("no_distance", 0))
    nodes.add("Cast", nearest, to=TensorProto.FLOAT, output=DISTANCE)


def _row(nodes: Nodes, values: int) -> str:
    """Keep the shape of pictures as rows of numbers."""
    return nodes.constant("as_rows", np.array([-1, values], np.int64))


def _averaged(nodes: Nodes, seen: str, shape: tuple[int, int, int], values: int) -> str:
    """Add the averages over squares, as `abstention.reduced` takes them, and return the name of the doubles."""
    from onnx import TensorProto

    whole = values == shape[0]
    steps = [size if whole else -(-size // SIDE) for size in shape[1:]]
    if steps != [1, 1] and all(
        size % step == 0 and step in (1, 2, 4, 8, 16) for size, step in zip(shape[1:], steps, strict=True)
    ):
        # Sums of bytes, divided by a power of two, are exact in single precision.
        means = nodes.add("AveragePool", nodes.as_float(seen), kernel_shape=steps, strides=steps)
        return nodes.add("Cast", means, to=TensorProto.DOUBLE)
    x = nodes.add("Cast", seen, to=TensorProto.DOUBLE)
    for name, size, step, is_first in (("rows", shape[1], steps[0], True), ("columns", shape[2], steps[1], False)):
        if step > 1:
            averages = _averages(size, step)
            matrix = nodes.constant(f"averages_of_{name}", averages if is_first else np.ascontiguousarray(averages.T))
            x = nodes.add("MatMul", *((matrix, x) if is_first else (x, matrix)))
    return x


def _averages(size: int, step: int) -> Float64[np.ndarray, "fewer size"]:
    """Return the matrix that averages stretches of a side; the last one may be shorter."""
    places = np.arange(size) // step
    matrix: np.ndarray = (places == np.arange(-(-size // step))[:, None]) / np.bincount(places)[:, None]
    return matrix
