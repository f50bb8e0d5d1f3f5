"""Layers of `ship.architecture` as nodes of an ONNX graph, as they compute when a model predicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import ModelError
from .nodes import Nodes

Layer = Mapping[str, Any]


def write_layers(nodes: Nodes, layer: Layer, x: str, root: str = "") -> str:
    """Add a layer, or a list of layers, and return the name of what it returns.

    Args:
        nodes: The graph so far.
        layer: The layer, as `architecture.describe` returns it.
        x: The name of its input.
        root: Precedes the names of its tensors in `nodes.arrays`.

    Raises:
        ModelError: A layer cannot be written, or has a setting that cannot.
    """
    described: dict[str, Layer] = {}
    return _written(nodes, layer, root, x, described, root)


def _written(nodes: Nodes, layer: Layer, place: str, x: str, described: dict[str, Layer], root: str) -> str:
    """Add a layer.

    Args:
        nodes: The graph so far.
        layer: The layer.
        place: Where it stands in the model, such as "3.0.1.": its tensors' names begin with it.
        x: The name of its input.
        described: The layers before, by their places.
        root: The place of the whole model.
    """
    kind = layer["layer"]
    if kind in ("Sequential", "Residual"):
        y, padding = x, (0, 0, 0, 0)
        parts = [(str(number), part) for number, part in enumerate(layer.get("layers", ()))]
        for name, part in [*parts, *layer.get("named", ())]:
            if part["layer"] == "ZeroPad2d":  # the next convolution pads by itself, in one pass over memory
                padding = _four(part["padding"])
                continue
            if any(padding) and part["layer"] != "Conv2d":
                raise ModelError("A ZeroPad2d can be written as ONNX only in front of a Conv2d.")
            y = _written(
                nodes, {**part, "margins": padding} if any(padding) else part, f"{place}{name}.", y, described, root
            )
            padding = (0, 0, 0, 0)
        if any(padding):
            raise ModelError("A ZeroPad2d can be written as ONNX only in front of a Conv2d.")
        return nodes.add("Add", x, y) if kind == "Residual" else y
    if kind == "Again":
        place = f"{root}{layer['at']}."
        layer, kind = described[place], described[place]["layer"]
    if kind not in _WRITERS:
        raise ModelError(f"A layer {kind!r:.80} cannot be written as ONNX.")
    described[place] = layer
    return _WRITERS[kind](nodes, layer, place, x)


def _four(padding: Any) -> tuple[int, int, int, int]:
    """Return the margins of a ZeroPad2d: left, right, top and bottom."""
    left, right, top, bottom = (padding,) * 4 if isinstance(padding, int) else padding
    return left, right, top, bottom


def _pair(size: Any) -> list[int]:
    """Return a size for height and one for width."""
    return [size, size] if isinstance(size, int) else list(size)


def _normalize(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    centered = nodes.add("Sub", x, nodes.tensor(f"{place}mean"))
    return nodes.add("Div", centered, nodes.tensor(f"{place}std"))


def _convolution(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    """Add a convolution; ONNX wants margins in the order top, left, bottom, right."""
    left, right, top, bottom = layer.get("margins", (0, 0, 0, 0))
    if isinstance(layer["padding"], str):
        raise ModelError(f"A Conv2d with padding {layer['padding']!r:.20} cannot be written as ONNX.")
    height, width = _pair(layer["padding"])
    inputs = [x, *(nodes.tensor(f"{place}{name}") for name in ("weight", "bias")[: 1 + layer["bias"]])]
    return nodes.add(
        "Conv",
        *inputs,
        kernel_shape=_pair(layer["kernel_size"]),
        strides=_pair(layer["stride"]),
        dilations=_pair(layer["dilation"]),
        group=layer["groups"],
        pads=[height + top, width + left, height + bottom, width + right],
    )


def _linear(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    weight = nodes.constant(f"{place}weight", np.ascontiguousarray(nodes.arrays[f"{place}weight"].T))
    product = nodes.add("MatMul", x, weight)
    return nodes.add("Add", product, nodes.tensor(f"{place}bias")) if layer["bias"] else product


def _batch_norm(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    names = ("weight", "bias", "running_mean", "running_var")
    tensors = [nodes.tensor(f"{place}{name}") for name in names]
    return nodes.add("BatchNormalization", x, *tensors, epsilon=float(layer["eps"]))


def _pool(kind: str, **settings: Any) -> Callable[[Nodes, Layer, str, str], str]:
    """Return the function that adds a pooling layer."""

    def written(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
        height, width = _pair(layer["padding"])
        return nodes.add(
            kind,
            x,
            kernel_shape=_pair(layer["kernel_size"]),
            strides=_pair(layer["stride"]),
            pads=[height, width, height, width],
            **settings,
        )

    return written


def _global_pool(kind: str) -> Callable[[Nodes, Layer, str, str], str]:
    """Return the function that adds a pooling layer over the whole picture."""

    def written(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
        if _pair(layer["output_size"]) != [1, 1]:
            raise ModelError(f"An {layer['layer']} can be written as ONNX only if its output_size is 1.")
        return nodes.add(kind, x)

    return written


def _max_and_mean(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    pooled = nodes.add("Concat", nodes.add("GlobalMaxPool", x), nodes.add("GlobalAveragePool", x), axis=1)
    return nodes.add("Flatten", pooled, axis=1)


def _flatten(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    if (layer["start_dim"], layer["end_dim"]) not in ((1, -1), (1, 3)):
        raise ModelError("A Flatten can be written as ONNX only if it keeps pictures and flattens all else.")
    return nodes.add("Flatten", x, axis=1)


def _relu6(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    least, most = (nodes.constant(name, np.array(value, np.float32)) for name, value in (("zero", 0), ("six", 6)))
    return nodes.add("Clip", x, least, most)


def _gelu(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    """Add x * (1 + erf(x / sqrt(2))) / 2."""
    numbers = {"root_of_two": math.sqrt(2), "one": 1.0, "half": 0.5}
    root, one, half = (nodes.constant(name, np.array(value, np.float32)) for name, value in numbers.items())
    share = nodes.add("Mul", nodes.add("Add", nodes.add("Erf", nodes.add("Div", x, root)), one), half)
    return nodes.add("Mul", x, share)


def _root_of_share(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    mean = nodes.add("ReduceMean", x, axes=[1], keepdims=1)
    least = nodes.constant(f"{place}eps", np.array(layer["eps"], np.float32))
    share = nodes.add("Div", x, nodes.add("Max", mean, least))
    return nodes.add("Sqrt", nodes.add("Relu", share))


def _with_mirror(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    """Add all pictures followed by their mirror images: the columns from the last to the first."""
    ends = {"last_column": -1, "before_the_first": np.iinfo(np.int64).min, "columns": 3, "backward": -1}
    start, end, axis, step = (nodes.constant(name, np.array([value], np.int64)) for name, value in ends.items())
    return nodes.add("Concat", x, nodes.add("Slice", x, start, end, axis, step), axis=0)


def _mean_with_mirror(nodes: Nodes, layer: Layer, place: str, x: str) -> str:
    both = nodes.add("Add", *nodes.halves(x))
    return nodes.add("Div", both, nodes.constant("two", np.array(2, np.float32)))


_WRITERS: dict[str, Callable[[Nodes, Layer, str, str], str]] = {
    "Normalize": _normalize,
    "Conv2d": _convolution,
    "Linear": _linear,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "Dropout": lambda nodes, layer, place, x: x,
    "Flatten": _flatten,
    "MaxPool2d": _pool("MaxPool"),
    "AvgPool2d": _pool("AveragePool", count_include_pad=1),
    "AdaptiveAvgPool2d": _global_pool("GlobalAveragePool"),
    "AdaptiveMaxPool2d": _global_pool("GlobalMaxPool"),
    "MaxAndMeanPool": _max_and_mean,
    "ReLU": lambda nodes, layer, place, x: nodes.add("Relu", x),
    "ReLU6": _relu6,
    "GELU": _gelu,
    "SiLU": lambda nodes, layer, place, x: nodes.add("Mul", x, nodes.add("Sigmoid", x)),
    "Tanh": lambda nodes, layer, place, x: nodes.add("Tanh", x),
    "Sigmoid": lambda nodes, layer, place, x: nodes.add("Sigmoid", x),
    "Softmax": lambda nodes, layer, place, x: nodes.add("Softmax", x, axis=layer["dim"]),
    "LogSoftmax": lambda nodes, layer, place, x: nodes.add("LogSoftmax", x, axis=layer["dim"]),
    "LeakyReLU": lambda nodes, layer, place, x: nodes.add("LeakyRelu", x, alpha=float(layer["negative_slope"])),
    "RootOfShare": _root_of_share,
    "WithMirror": _with_mirror,
    "MeanWithMirror": _mean_with_mirror,
    # Of `fold`:
    "Center": lambda nodes, layer, place, x: nodes.add("Sub", x, nodes.tensor(f"{place}mean")),
    "SumWithMirror": lambda nodes, layer, place, x: nodes.add("Add", *nodes.halves(x)),
}
