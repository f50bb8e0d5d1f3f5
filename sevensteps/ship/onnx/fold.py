"""Fold layers into their neighbors: fewer nodes, the same function up to rounding.

A runtime needs about a microsecond for each node, and a small model has nodes that take less to compute. The scaling of
pixels, `Normalize` and `BatchNorm2d` become part of the weights beside them. Sums are in double precision, and the file
is compared with the model before it is written: if folding would change the answers too much, nothing is folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from .layers import Layer


@dataclass
class _Part:
    """A layer with its own tensors, in double precision."""

    layer: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.layer["layer"])

    @property
    def bias(self) -> Float64[np.ndarray, " out"]:
        """The bias; zeros where the layer has none."""
        return self.tensors["bias"] if self.layer["bias"] else np.zeros(len(self.tensors["weight"]))

    def scaled(self, factor: Any, add: Any = 0.0) -> _Part:
        """Return a linear or convolutional layer whose outputs are multiplied, and then added to."""
        weight = self.tensors["weight"]
        each = np.broadcast_to(factor, (len(weight),)).reshape(-1, *[1] * (weight.ndim - 1))
        return _Part({**self.layer, "bias": True}, {"weight": weight * each, "bias": self.bias * factor + add})


def fold(
    description: Layer, arrays: Mapping[str, np.ndarray], shape: tuple[int, int, int]
) -> tuple[Layer, dict[str, np.ndarray]] | None:
    """Return layers for pixels from 0 to 255 that compute what a model computes for pixels from 0 to 1.

    Args:
        description: The layers, as `architecture.describe` returns them, of a model that takes pictures.
        arrays: Their tensors, by the names of the description's places.
        shape: Channels, height and width of the pictures.

    Returns:
        Layers and tensors, float32; None for a model whose first layer with weights comes after another function.
    """
    parts = _parts(description, arrays)
    if parts is None or not _scale_folded(parts, shape):
        return None
    _norms_folded(parts)
    if len(parts) > 1 and (parts[-2].kind, parts[-1].kind) == ("Linear", "MeanWithMirror"):
        parts[-2:] = [parts[-2].scaled(0.5), _Part({"layer": "SumWithMirror"})]
    tensors = {
        f"{place}.{name}": np.ascontiguousarray(tensor, dtype=np.float32)
        for place, part in enumerate(parts)
        for name, tensor in part.tensors.items()
    }
    return {"layer": "Sequential", "layers": [part.layer for part in parts]}, tensors


def _parts(description: Layer, arrays: Mapping[str, np.ndarray]) -> list[_Part] | None:
    """Return the layers of a plain sequence without those that do nothing; None for any other description."""
    layers = description.get("layers", []) if description["layer"] == "Sequential" else [description]
    prefixes = [f"{place}." for place in range(len(layers))] if description["layer"] == "Sequential" else [""]
    if description.get("named") or any(layer["layer"] in ("Sequential", "Residual", "Again") for layer in layers):
        return None
    return [
        _Part(
            dict(layer),
            {
                name.removeprefix(prefix): array.astype(np.float64)
                for name, array in arrays.items()
                if name.startswith(prefix)
            },
        )
        for prefix, layer in zip(prefixes, layers, strict=True)
        if layer["layer"] != "Dropout"
    ]


def _scale_folded(parts: list[_Part], shape: tuple[int, int, int]) -> bool:
    """Fold the division by 255 and a `Normalize` into the first layer with weights, and return whether that is done."""
    at = next((place for place, part in enumerate(parts) if part.kind in ("Linear", "Conv2d")), None)
    if at is None or parts[at].layer.get("groups", 1) != 1:
        return False
    before, first = parts[:at], parts[at]
    if not {part.kind for part in before} <= {"WithMirror", "Normalize", "Flatten"}:
        return False
    mean, std = np.zeros(shape[0]), np.ones(shape[0])
    for part in before:
        if part.kind == "Normalize":
            own = np.broadcast_to(part.tensors["std"].reshape(-1), (shape[0],))
            mean, std = mean + std * part.tensors["mean"].reshape(-1), std * own
    weight = first.tensors["weight"]
    by_channel = weight.reshape(len(weight), shape[0], -1) / (255 * std[:, None])
    tensors = {"weight": by_channel.reshape(weight.shape)}
    left = [part for part in before if part.kind != "Normalize"]
    if mean.any() and first.kind == "Conv2d" and first.layer["padding"] not in (0, [0, 0]):
        # What surrounds the picture is 0 after the mean is subtracted, and not before.
        left.append(_Part({"layer": "Center"}, {"mean": (255 * mean)[:, None, None]}))
        tensors |= {"bias": first.bias} if first.layer["bias"] else {}
        parts[: at + 1] = [*left, _Part(first.layer, tensors)]
        return True
    offset = (by_channel.sum(2) * 255 * mean).sum(1)
    has_bias = first.layer["bias"] or bool(mean.any())
    tensors |= {"bias": first.bias - offset} if has_bias else {}
    parts[: at + 1] = [*left, _Part({**first.layer, "bias": has_bias}, tensors)]
    return True


def _norms_folded(parts: list[_Part]) -> None:
    """Fold each `BatchNorm2d` into the convolution before it, also across a maximum, and put a ReLU before a maximum.

    The largest of several numbers stays the largest if all are multiplied by one that is not negative.
    """
    place = 0
    while place < len(parts):
        kinds = [part.kind for part in parts[place : place + 3]]
        pooled = kinds[:2] == ["Conv2d", "MaxPool2d"]
        at = place + 1 + pooled
        if kinds[:1] == ["Conv2d"] and at < len(parts) and parts[at].kind == "BatchNorm2d":
            norm = parts[at].tensors
            factor = norm["weight"] / np.sqrt(norm["running_var"] + parts[at].layer["eps"])
            if not pooled or bool((factor >= 0).all()):
                parts[place] = parts[place].scaled(factor, norm["bias"] - norm["running_mean"] * factor)
                del parts[at]
        if [part.kind for part in parts[place + 1 : place + 3]] == ["MaxPool2d", "ReLU"]:
            parts[place + 1 : place + 3] = [parts[place + 2], parts[place + 1]]
        place += 1
