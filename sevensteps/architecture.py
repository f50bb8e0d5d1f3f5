"""A model as a list of layers, and back: what a saved model names is looked up in a closed table and is never code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .errors import ModelError
from .steps.predict import MaxAndMeanPool, Normalize

# The arguments that make each layer, read from its attributes of the same name.
_NAMES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features", "bias"),
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"),
    nn.BatchNorm1d: ("num_features", "eps", "momentum"),
    nn.BatchNorm2d: ("num_features", "eps", "momentum"),
    nn.Dropout: ("p",),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding"),
    nn.AvgPool2d: ("kernel_size", "stride", "padding"),
    nn.AdaptiveAvgPool2d: ("output_size",),
    nn.AdaptiveMaxPool2d: ("output_size",),
    nn.ReLU: (),
    nn.GELU: (),
    nn.SiLU: (),
    nn.Tanh: (),
    nn.Sigmoid: (),
    nn.LogSoftmax: ("dim",),
    nn.Softmax: ("dim",),
    nn.LeakyReLU: ("negative_slope",),
    Normalize: ("mean", "std"),
    MaxAndMeanPool: (),
}
LAYERS = {layer.__name__: layer for layer in _NAMES}
DEEPEST = 8  # sequences within sequences
LARGEST = 1 << 31  # of a number in a description


def describe(model: nn.Module) -> dict[str, Any] | None:
    """The model as names and numbers that JSON can hold, or None where it has a layer that is not in the table."""
    if type(model) is nn.Sequential:
        layers = [describe(layer) for layer in model]
        return None if None in layers else {"layer": "Sequential", "layers": layers}
    names = _NAMES.get(type(model))
    if names is None:
        return None
    return {"layer": type(model).__name__, **{name: _plain(getattr(model, name)) for name in names}}


def build(description: Any, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The model that `describe` described, with these parameters and buffers.

    Nothing large is made before the shapes in the description have been held against the tensors.

    Raises:
        ModelError: an unknown layer, impossible arguments, or tensors that do not fit.
    """
    try:
        with torch.device("meta"):
            model = _build(description, DEEPEST)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ModelError(f"The model's description makes no model: {error}", hint="The file is damaged.") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    there = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != there:
        name = min(set(wanted.items()) ^ set(there.items()))[0]
        raise ModelError(
            f"The model's description and its tensors differ at {name!r}: {wanted.get(name)} is described and "
            f"{there.get(name)} is there.",
            hint="The file is damaged, or was put together from two.",
        )
    model = model.to_empty(device="cpu")
    model.load_state_dict(dict(tensors))
    return model


def _build(description: Any, depth: int) -> nn.Module:
    if not isinstance(description, dict) or depth == 0:
        raise ValueError("a layer must be a table, and not nested too deep")
    arguments = dict(description)
    name = arguments.pop("layer", None)
    if name == "Sequential":
        layers = arguments.pop("layers", None)
        if arguments or not isinstance(layers, list):
            raise ValueError("a Sequential has layers and nothing else")
        return nn.Sequential(*(_build(layer, depth - 1) for layer in layers))
    if name not in LAYERS:
        raise ValueError(f"{name!r} is not a layer that can be loaded")
    layer = LAYERS[name]
    if set(arguments) != set(_NAMES[layer]):
        raise ValueError(f"{name} takes {', '.join(_NAMES[layer]) or 'nothing'}, not {', '.join(arguments)}")
    return layer(**{key: _checked(value) for key, value in arguments.items()})


def _plain(value: Any) -> Any:
    """An argument as JSON holds it. A bias that is there is True, one that is not is None and becomes False."""
    if isinstance(value, nn.Parameter) or value is None:
        return value is not None
    if isinstance(value, Tensor):
        return value.flatten().tolist()
    return list(value) if isinstance(value, tuple) else value


def _checked(value: Any) -> Any:
    """An argument from outside: a number of a sane size, a truth value, or a short list of numbers."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > 4096 or any(isinstance(part, (list, dict, str)) for part in value):
            raise ValueError("an argument is a number or a short list of numbers")
        return tuple(_checked(part) for part in value)
    if not isinstance(value, (bool, int, float)) or abs(value) > LARGEST:
        raise ValueError(f"{value!r} is no argument of a layer")
    return value
