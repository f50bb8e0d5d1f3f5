"""A whole model as one ONNX file: from the pixels of any number of pictures to scores, probabilities and distances.

Everything is inside: the pretrained network of a model of features, normalization, the mirror image, temperature,
softmax, and the distance from which "none of these" follows. So every runtime that reads ONNX gives the same answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...base.version import __version__
from ...errors import ModelError
from ..abstention import Abstention, never_says
from ..facts import Facts
from ..writable import UNWRITABLE, refuse_unwritable
from .distance import write_distance
from .fold import fold
from .graph import as_shares
from .layers import write_layers
from .nodes import DISTANCE, KEY, LOGITS, PIXELS, PROBABILITIES, Nodes, as_model
from .resize import resized

if TYPE_CHECKING:
    import onnx

    from ..backbone.weights import Backbone


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a model's file holds, and what it says besides, ready to be written in another format."""

    facts: Facts
    arrays: Mapping[str, np.ndarray]
    abstention: Abstention | None
    sha256: str  # of the model's file
    more: Mapping[str, Any]  # recipe and fingerprints of the pictures, where a run says them
    backbone: Backbone | None = None  # of a model of features
    any_size: bool = False  # whether the graph resizes pictures
    folded: bool = True  # whether layers become part of their neighbors, see `fold`
    single: bool = True  # whether the distance may be computed in single precision, see `squares`

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the pictures that go in."""
        shape = self.backbone.shape if self.backbone is not None else self.facts.shape
        assert shape is not None
        return shape


def onnx_model(source: Source, where: str) -> onnx.ModelProto:
    """Return the ONNX model of a model's file. It needs no PyTorch, and the same file gives the same bytes.

    Inputs: `pixels`, uint8 (n, channels, height, width), of any height and width if the source says so. Outputs:
    `logits` (n, scores), `probabilities` (n, classes), and `distance` (n) if the model may answer "none of these".

    Args:
        source: The model.
        where: Its file, for errors.

    Raises:
        ModelError: The model has a layer, an activation or a precision that cannot be written, or onnx is missing.
    """
    facts, abstention = source.facts, source.abstention
    classes, _ = facts.pictures(where)
    hint = "torch.onnx.export(learn.model, ...) writes any model, without the answers of this file."
    refuse_unwritable(facts, source.arrays, where, "ONNX", hint)
    from onnx import TensorProto

    assert facts.shape is not None
    nodes = Nodes({})
    seen = _inputs(nodes, source)
    folded = fold(facts.model, source.arrays, facts.shape) if source.folded else None
    layers, arrays = folded or (facts.model, source.arrays)
    x = nodes.as_float(seen) if folded else as_shares(nodes, seen)
    if facts.flat:
        x = nodes.add("Flatten", x, axis=1)
    try:
        scores = _network(nodes, layers, arrays, x, "model.")
    except ModelError as error:
        raise ModelError(f"{where}: {error.message}", hint=error.hint, kind=UNWRITABLE) from error
    logits = nodes.renamed(scores, LOGITS)
    count = _scores_of(facts.model) or len(classes)
    _probabilities(nodes, facts, logits, count)
    outputs = [
        (LOGITS, TensorProto.FLOAT, ["n", count]),
        (PROBABILITIES, TensorProto.FLOAT, ["n", len(classes)]),
    ]
    if abstention is not None:
        _distance(nodes, abstention, seen, source)
        outputs.append((DISTANCE, TensorProto.FLOAT, ["n"]))
    channels, *sides = source.input_shape
    shape = (channels, *(("height", "width") if source.any_size else sides))
    return as_model(nodes, shape, outputs, metadata(source))


def metadata(source: Source) -> dict[str, str]:
    """Return what the file says of the model: for people, and under one key what we read again.

    Args:
        source: The model.
    """
    facts, abstention, backbone = source.facts, source.abstention, source.backbone
    assert facts.classes is not None
    channels, height, width = source.input_shape
    limits = None
    if abstention is not None:
        limits = {**abstention.facts(), "never_says": list(never_says(abstention.confidence, abstention.distance))}
    about = {
        "version": __version__,
        "classes": list(facts.classes),
        "shape": [channels, height, width],
        "any_size": source.any_size,
        "fit": facts.fit or "squash",
        "on_white": backbone is not None,
        "range": facts.range.as_json() if facts.range is not None else None,
        "abstention": limits,
        "features": dict(facts.features) if facts.features else None,
        "model_sha256": source.sha256,
        **source.more,
    }
    kind = "gray" if channels == 1 else "RGB"
    size = "any size" if source.any_size else f"{width} by {height} pixels"
    return {
        "description": f"An image classifier. Input: {kind} pixels from 0 to 255 of pictures of {size}.",
        "classes": json.dumps(list(facts.classes), ensure_ascii=False),
        **({"license": f"The pretrained network {backbone.name}: {backbone.license}"} if backbone else {}),
        KEY: json.dumps(about, sort_keys=True, ensure_ascii=False),
    }


def _scores_of(layer: Any) -> int | None:
    """Return how many scores a model gives: what the last layer with weights gives; None without any."""
    for part in reversed([*layer.get("layers", ()), *(part for _, part in layer.get("named", ()))]):
        if (count := _scores_of(part)) is not None:
            return count
    own: int | None = layer.get("out_features", layer.get("out_channels"))
    return own


def _inputs(nodes: Nodes, source: Source) -> str:
    """Add what turns pixels into what the model takes, and return the name of these bytes."""
    facts, backbone, pixels = source.facts, source.backbone, PIXELS
    if source.any_size:
        pixels = resized(nodes, PIXELS, source.input_shape, facts.fit or "squash")
    if backbone is None:
        return pixels
    from ..backbone.cut import cut_at
    from ..backbone.extract import LARGEST

    assert facts.features is not None
    assert facts.shape is not None
    layers = facts.features.get("layers")
    cut = None if layers is None else cut_at(layers)
    description, arrays = cut.before(backbone) if cut else (backbone.description, backbone.arrays)
    row = _network(nodes, description, arrays, as_shares(nodes, pixels), "network.")
    return _eight_bits(nodes, row, 1.0 if cut else LARGEST, facts.shape)


def _network(nodes: Nodes, description: Any, arrays: Mapping[str, np.ndarray], x: str, root: str) -> str:
    """Add layers with tensors of their own."""
    nodes.arrays = {**nodes.arrays, **{f"{root}{name}": array for name, array in arrays.items()}}
    return write_layers(nodes, description, x, root)


def _eight_bits(nodes: Nodes, row: str, largest: float, shape: tuple[int, int, int]) -> str:
    """Add the rounding of features to whole numbers from 0 to 255, in the shape that the model takes."""
    scale = nodes.constant(f"steps_{largest:g}", np.array(255 / largest, np.float32))
    least, most = (nodes.constant(f"byte_{value}", np.array(value, np.float32)) for value in (0, 255))
    whole = nodes.add("Clip", nodes.add("Round", nodes.add("Mul", row, scale)), least, most)
    return nodes.add("Reshape", whole, nodes.constant(f"shape_{math.prod(shape)}", np.array([-1, *shape], np.int64)))


def _probabilities(nodes: Nodes, facts: Facts, logits: str, count: int) -> None:
    """Add the probabilities of the classes, as `steps.predict.probabilities` gives them."""
    if facts.loss != "mse_loss":
        if count > 1:
            temperature = nodes.constant("temperature", np.array(facts.temperature, np.float32))
            scaled = logits if facts.temperature == 1 else nodes.add("Div", logits, temperature)
            nodes.add("Softmax", scaled, axis=1, output=PROBABILITIES)
            return
        both = nodes.constant("minus_and_plus", (np.array([[-1.0, 1.0]]) / facts.temperature).astype(np.float32))
        nodes.add("Sigmoid", nodes.add("Mul", logits, both), output=PROBABILITIES)
        return
    one = nodes.constant("a_whole", np.array(1, np.float32))
    none = nodes.constant("none", np.array(0, np.float32))
    share = nodes.add("Div", nodes.add("Add", logits, one), nodes.constant("of_two", np.array(2, np.float32)))
    if count == 1:
        share = nodes.add("Clip", share, none, one)
        nodes.add("Concat", nodes.add("Sub", one, share), share, axis=1, output=PROBABILITIES)
        return
    share = nodes.add("Max", share, none)
    least = nodes.constant("least_total", np.array(1e-6, np.float32))
    total = nodes.add("ReduceSum", share, nodes.constant("over_classes", np.array([1], np.int64)), keepdims=1)
    shares = nodes.add("Div", share, nodes.add("Max", total, least))
    instead = nodes.add("Softmax", logits, axis=1)
    nodes.add("Where", nodes.add("Greater", total, least), shares, instead, output=PROBABILITIES)


def _distance(nodes: Nodes, abstention: Abstention, seen: str, source: Source) -> None:
    """Add the distance, for a model that has the last stages of a network measured on what these return."""
    shape = source.facts.shape
    assert shape is not None
    if abstention.finish is not None:
        from ..backbone.cut import cut_at
        from ..backbone.extract import LARGEST

        assert source.backbone is not None
        assert source.facts.features is not None
        layers, arrays = cut_at(source.facts.features["layers"]).after(source.backbone)
        rest = {"layer": "Sequential", "layers": layers}
        row = _network(nodes, rest, arrays, as_shares(nodes, seen), "rest.")
        shape = (source.backbone.features, 1, 1)
        seen = _eight_bits(nodes, row, LARGEST, shape)
    write_distance(nodes, abstention, seen, shape, single=source.single)
