"""Write a list of layers (`ship.architecture`) as an ONNX graph: without PyTorch, and the same bytes everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...base.version import __version__
from ...errors import ModelError

if TYPE_CHECKING:
    import onnx


OPSET = 17  # of March 2022: every runtime in use reads it


IR_VERSION = 8  # which belongs to it


PIXELS = "pixels"  # the name of the input


Layer = Mapping[str, Any]


@dataclass
class _Nodes:
    """What has been written of a graph."""

    arrays: Mapping[str, np.ndarray]  # the tensors of the model
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)  # those that the nodes use, by name
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        from onnx import helper

        number = next(self.numbers)
        output = f"{kind.lower()}_{number}"
        self.nodes.append(helper.make_node(kind, [*inputs], [output], name=f"node_{number}", **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """Keep an array that nodes use, and return its name."""
        self.constants[name] = value
        return name

    def tensor(self, name: str) -> str:
        """Keep a tensor of the model, and return its name."""
        return self.constant(name, self.arrays[name])


def graph(
    description: Layer,
    arrays: Mapping[str, np.ndarray],
    shape: tuple[int, int, int],
    output: str,
    facts: Mapping[str, str],
) -> onnx.ModelProto:
    """Return the ONNX model of a list of layers. It takes uint8 pixels of any number of pictures.

    Args:
        description: The layers, as `architecture.describe` returns them.
        arrays: The tensors, float32, by the names of the description's places.
        shape: Channels, height and width of a picture.
        output: The name of the output, `(n, values)` float32.
        facts: Metadata, by name.

    Raises:
        ModelError: A layer cannot be written yet, or has a setting that cannot.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = _Nodes(arrays)
    x = nodes.add("Cast", PIXELS, to=TensorProto.FLOAT)
    x = nodes.add("Div", x, nodes.constant("largest", np.array(255, np.float32)))
    x = _written(nodes, description, "", x)
    nodes.nodes[-1].output[0] = output
    model = helper.make_model(
        helper.make_graph(
            nodes.nodes,
            "sevensteps",
            [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["n", *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", None])],
            [numpy_helper.from_array(value, name) for name, value in nodes.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sevensteps",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(facts))
    checker.check_model(model)
    return model


def _written(nodes: _Nodes, layer: Layer, place: str, x: str) -> str:
    """Add a layer, and return the name of what it returns.

    Args:
        nodes: The graph so far.
        layer: The layer.
        place: Where it stands in the model, such as "3.0.1": its tensors' names begin with it.
        x: The name of its input.
    """
    kind = layer["layer"]
    if kind in ("Sequential", "Residual"):
        y, padding = x, (0, 0, 0, 0)
        for number, part in enumerate(layer["layers"]):
            if part["layer"] == "ZeroPad2d":  # the next convolution pads by itself, in one pass over memory
                padding = tuple(part["padding"])
                continue
            y = _written(nodes, {**part, "margins": padding} if any(padding) else part, f"{place}{number}.", y)
            padding = (0, 0, 0, 0)
        return nodes.add("Add", x, y) if kind == "Residual" else y
    if kind not in _WRITERS:
        raise ModelError(f"A layer {kind!r:.80} cannot be written as ONNX.")
    return _WRITERS[kind](nodes, layer, place, x)


def _normalize(nodes: _Nodes, layer: Layer, place: str, x: str) -> str:
    centered = nodes.add("Sub", x, nodes.tensor(f"{place}mean"))
    return nodes.add("Div", centered, nodes.tensor(f"{place}std"))


def _convolution(nodes: _Nodes, layer: Layer, place: str, x: str) -> str:
    """Add a convolution; ONNX wants margins in the order top, left, bottom, right."""
    left, right, top, bottom = layer.get("margins", (0, 0, 0, 0))
    if isinstance(layer["padding"], str):
        raise ModelError(f"A Conv2d with padding {layer['padding']!r:.20} cannot be written as ONNX.")
    height, width = layer["padding"]
    inputs = [x, *(nodes.tensor(f"{place}{name}") for name in ("weight", "bias")[: 1 + layer["bias"]])]
    return nodes.add(
        "Conv",
        *inputs,
        kernel_shape=layer["kernel_size"],
        strides=layer["stride"],
        dilations=layer["dilation"],
        group=layer["groups"],
        pads=[height + top, width + left, height + bottom, width + right],
    )


def _relu6(nodes: _Nodes, layer: Layer, place: str, x: str) -> str:
    least, most = (nodes.constant(name, np.array(value, np.float32)) for name, value in (("zero", 0), ("six", 6)))
    return nodes.add("Clip", x, least, most)


def _mean_pool(nodes: _Nodes, layer: Layer, place: str, x: str) -> str:
    if layer["output_size"] not in (1, [1, 1]):
        raise ModelError("An AdaptiveAvgPool2d can be written as ONNX only if its output_size is 1.")
    return nodes.add("GlobalAveragePool", x)


def _root_of_share(nodes: _Nodes, layer: Layer, place: str, x: str) -> str:
    mean = nodes.add("ReduceMean", x, axes=[1], keepdims=1)
    least = nodes.constant(f"{place}eps", np.array(layer["eps"], np.float32))
    share = nodes.add("Div", x, nodes.add("Max", mean, least))
    return nodes.add("Sqrt", nodes.add("Relu", share))


_WRITERS: dict[str, Callable[[_Nodes, Layer, str, str], str]] = {
    "Normalize": _normalize,
    "Conv2d": _convolution,
    "ReLU6": _relu6,
    "AdaptiveAvgPool2d": _mean_pool,
    "RootOfShare": _root_of_share,
    "Flatten": lambda nodes, layer, place, x: nodes.add("Flatten", x, axis=layer["start_dim"]),
}
