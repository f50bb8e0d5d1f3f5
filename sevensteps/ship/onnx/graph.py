"""Write a list of layers (`ship.architecture`) as an ONNX graph: without PyTorch, and the same bytes everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .layers import Layer, write_layers
from .nodes import PIXELS, Nodes, as_model

if TYPE_CHECKING:
    import onnx


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
    from onnx import TensorProto

    nodes = Nodes(arrays)
    write_layers(nodes, description, as_shares(nodes, PIXELS))
    nodes.nodes[-1].output[0] = output
    return as_model(nodes, shape, [(output, TensorProto.FLOAT, ["n", None])], facts)


def as_shares(nodes: Nodes, pixels: str) -> str:
    """Add the division of bytes by 255, and return its name.

    Args:
        nodes: The graph so far.
        pixels: The name of the bytes.
    """
    return nodes.add("Div", nodes.as_float(pixels), nodes.constant("largest", np.array(255, np.float32)))
