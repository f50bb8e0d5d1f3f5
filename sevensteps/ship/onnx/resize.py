"""Resizing inside an ONNX graph: the pixels that Pillow computes, for pictures of any size.

Pillow resizes in two passes, and rounds to bytes after each (`Resample.c`). The share of each old pixel in each new one
is a number from 0 to 2^22, so that the sums are whole numbers, and exact in double precision. The graph computes these
shares as a matrix for each side, and multiplies. The `Resize` of ONNX rounds in other places, and differs by up to 16
of 255: docs/decisions/0046-onnx-resizes-as-pillow-does.md has the figures.
"""

from __future__ import annotations

import numpy as np

from ...data.fit import Fit, way_of
from .nodes import Nodes

WHOLE = 1 << 22  # what the shares of a new pixel add up to


def resized(nodes: Nodes, pixels: str, shape: tuple[int, int, int], fit: Fit) -> str:
    """Add the resizing of pictures as `data.fit.fitted` does it, and return the name of the bytes.

    Args:
        nodes: The graph so far.
        pixels: The name of the bytes, (n, channels, height, width) of any height and width.
        shape: Channels, height and width of the result.
        fit: How pictures are fitted; a fit that ends in `-fast` is computed from all pixels.
    """
    from onnx import TensorProto

    height, width = (_side(nodes, pixels, axis) for axis in (2, 3))
    before = {height: shape[1], width: shape[2]}
    scales = []
    if way_of(fit) != "squash":
        scales = [nodes.add("Div", _number(nodes, after), side) for side, after in before.items()]
    by_side = {}
    for side, after in before.items():
        begin, end, count, first = _number(nodes, 0), side, _number(nodes, after), _number(nodes, 0)
        if way_of(fit) == "letterbox":
            scaled = nodes.add("Mul", side, nodes.add("Min", *scales))
            count = nodes.add("Max", _to_even(nodes, scaled), _number(nodes, 1))
            left_over = nodes.add("Sub", _number(nodes, after), count)
            first = nodes.add("Floor", nodes.add("Div", left_over, _number(nodes, 2)))
        elif way_of(fit) == "crop":
            kept = nodes.add("Div", _number(nodes, after), nodes.add("Max", *scales))
            cut = nodes.add("Div", nodes.add("Sub", side, kept), _number(nodes, 2))
            begin = nodes.add("Max", cut, _number(nodes, 0))
            end = nodes.add("Sub", side, begin)
        by_side[side] = _shares(nodes, side, begin, end, count, first, after), count
    (down, rows), (across, columns) = by_side.values()
    across = nodes.add("Transpose", across, perm=[1, 0])
    x = nodes.add("Cast", pixels, to=TensorProto.DOUBLE)

    def first_across(within: Nodes) -> str:
        return _rounded(within, "MatMul", down, _rounded(within, "MatMul", x, across))

    def first_down(within: Nodes) -> str:
        return _rounded(within, "MatMul", _rounded(within, "MatMul", down, x), across)

    # Pillow 13 begins with the height where it loses more than twice as many pixels as the width.
    lost = nodes.add("Sub", height, rows)
    lost_across = nodes.add("Max", nodes.add("Sub", width, columns), _number(nodes, 0))
    is_tall = nodes.add("Greater", lost, nodes.add("Mul", lost_across, _number(nodes, 2)))
    fitting = nodes.either(is_tall, first_down, first_across, TensorProto.DOUBLE, ["n", *shape])
    return nodes.add("Cast", fitting, to=TensorProto.UINT8)


def _number(nodes: Nodes, value: float | int) -> str:
    """Keep a number in double precision, and return its name."""
    return nodes.constant(f"number_{value:g}", np.array(value, np.float64))


def _side(nodes: Nodes, pixels: str, axis: int) -> str:
    """Add the length of a side as a number in double precision."""
    from onnx import TensorProto

    size = nodes.add("Gather", nodes.add("Shape", pixels), nodes.constant(f"axis_{axis}", np.array(axis, np.int64)))
    return nodes.add("Cast", size, to=TensorProto.DOUBLE)


def _to_even(nodes: Nodes, x: str) -> str:
    """Add the rounding of a number, a half to the even one, as Python rounds; tract has no `Round` for doubles."""
    half = _number(nodes, 0.5)
    up = nodes.add("Floor", nodes.add("Add", x, half))
    by_two = nodes.add("Div", up, _number(nodes, 2))
    is_odd = nodes.add("Greater", by_two, nodes.add("Floor", by_two))
    is_tie = nodes.add("Equal", nodes.add("Sub", up, x), half)
    down = nodes.add("Sub", up, _number(nodes, 1))
    return nodes.add("Where", nodes.add("And", is_odd, is_tie), down, up)


def _shares(nodes: Nodes, side: str, begin: str, end: str, count: str, first: str, after: int) -> str:
    """Add the matrix (after, side) of how much each old pixel counts in each new one, as `precompute_coeffs` of Pillow.

    Args:
        nodes: The graph so far.
        side: The old length.
        begin: Where the part begins that is resized.
        end: Where it ends.
        count: The new length of that part.
        first: The place of its first pixel; those before it, and behind it, stay black.
        after: The new length, with what stays black.
    """
    from onnx import TensorProto

    # Pillow has the box in single precision.
    begin, end = (nodes.add("Cast", place, to=TensorProto.FLOAT) for place in (begin, end))
    scale = nodes.add("Div", nodes.add("Cast", nodes.add("Sub", end, begin), to=TensorProto.DOUBLE), count)
    per_step = nodes.add("Div", _number(nodes, 1), nodes.add("Max", scale, _number(nodes, 1)))
    places = nodes.constant(f"places_{after}", np.arange(after, dtype=np.float64)[:, None])
    places = nodes.add("Sub", places, first)
    middle = nodes.add("Mul", nodes.add("Add", places, _number(nodes, 0.5)), scale)
    middle = nodes.add("Add", nodes.add("Cast", begin, to=TensorProto.DOUBLE), middle)
    old = nodes.add("Range", _number(nodes, 0), side, _number(nodes, 1))
    away = nodes.add("Add", nodes.add("Sub", old, middle), _number(nodes, 0.5))
    near = nodes.add("Sub", _number(nodes, 1), nodes.add("Abs", nodes.add("Mul", away, per_step)))
    near = nodes.add("Max", near, _number(nodes, 0))
    total = nodes.add("ReduceSum", near, nodes.constant("by_old_pixel", np.array([1], np.int64)), keepdims=1)
    is_inside = nodes.add(
        "And", nodes.add("GreaterOrEqual", places, _number(nodes, 0)), nodes.add("Less", places, count)
    )
    total = nodes.add("Max", total, _number(nodes, 2**-20))  # 0 far outside
    share = nodes.add("Where", is_inside, nodes.add("Div", near, total), _number(nodes, 0))
    whole = nodes.add("Mul", share, _number(nodes, WHOLE))
    return nodes.add("Floor", nodes.add("Add", whole, _number(nodes, 0.5)))


def _rounded(nodes: Nodes, kind: str, *inputs: str) -> str:
    """Add a product of pixels and shares, rounded to bytes."""
    total = nodes.add(kind, *inputs)
    return nodes.add(
        "Floor", nodes.add("Div", nodes.add("Add", total, _number(nodes, WHOLE / 2)), _number(nodes, WHOLE))
    )
