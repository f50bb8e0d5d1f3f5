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
LARGEST = 1 << 31  # of a number of features or channels, which the tensors must bear out
LARGEST_OTHER = 1024  # of a kernel, a padding or an output size, which no tensor bears out and a forward pass pays for
_COUNTED = ("in_features", "out_features", "in_channels", "out_channels", "num_features", "groups")


def describe(model: nn.Module) -> dict[str, Any] | None:
    """The model as names and numbers that JSON can hold, or None where they would not give the same model back.

    That is so for a layer that is not in the table, or with a setting that is not: another padding mode, a
    parametrization, a `forward` of its own.
    """
    description = _describe(model)
    if description is None:
        return None
    try:
        with torch.device("meta"):
            again = _build(description, DEEPEST)
    except (TypeError, ValueError, RuntimeError, KeyError):
        return None
    if not _same(model, again):
        return None
    return {**description, "channels_last": True} if _is_channels_last(model) else description


def _describe(model: nn.Module) -> dict[str, Any] | None:
    if type(model) is nn.Sequential:
        layers = {name: _describe(layer) for name, layer in model.named_children()}
        if None in layers.values() or len(layers) != len(model):  # a layer that stands twice has one name only
            return None
        if list(layers) == [str(place) for place in range(len(layers))]:
            return {"layer": "Sequential", "layers": list(layers.values())}
        return {"layer": "Sequential", "named": [[name, layer] for name, layer in layers.items()]}
    names = _NAMES.get(type(model))
    if names is None:
        return None
    return {"layer": type(model).__name__, **{name: _plain(getattr(model, name)) for name in names}}


def _same(model: nn.Module, again: nn.Module) -> bool:
    """Whether two models compute the same function, given the same numbers; hooks are not looked at."""
    modules, modules_again = dict(model.named_modules()), dict(again.named_modules())
    if modules.keys() != modules_again.keys() or _shapes(model.state_dict()) != _shapes(again.state_dict()):
        return False
    ignored = {"training", "inplace"}  # inplace saves memory and computes the same
    for name, module in modules.items():
        has, wanted = vars(module), vars(modules_again[name])
        settings = {key for key in wanted if not key.startswith("_")} - ignored
        if "forward" in has or any(has.get(key) != wanted[key] for key in settings):
            return False
    return True


def _is_channels_last(model: nn.Module) -> bool:
    """Whether weights lie in memory pixel by pixel, which is faster, and rounds differently in the last digit."""
    return any(weight.ndim == 4 and not weight.is_contiguous() for weight in model.parameters())


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], bool]]:
    """The shape of each tensor, and whether it holds floating-point numbers."""
    return {name: (tuple(tensor.shape), tensor.is_floating_point()) for name, tensor in tensors.items()}


def build(description: Any, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The model that `describe` described, with these parameters and buffers.

    Nothing large is made before the shapes in the description have been held against the tensors.

    Raises:
        ModelError: an unknown layer, impossible arguments, or tensors that do not fit.
    """
    channels_last = False
    if isinstance(description, dict):
        channels_last = description.get("channels_last") is True
        description = {name: value for name, value in description.items() if name != "channels_last"}
    try:
        with torch.device("meta"):
            model = _build(description, DEEPEST)
    except (TypeError, ValueError, RuntimeError, OverflowError, KeyError, AttributeError) as error:
        raise ModelError(f"The model's description makes no model: {error}", hint="The file is damaged.") from error
    wanted, there = _shapes(model.state_dict()), _shapes(tensors)
    if wanted != there:
        name = min(wanted.items() ^ there.items())[0]
        raise ModelError(
            f"The model's description and its tensors differ at {name!r}: {_tensor_in_words(wanted.get(name))} is "
            f"described and {_tensor_in_words(there.get(name))} is there.",
            hint="The file is damaged, or was put together from two.",
        )
    model.load_state_dict(dict(tensors), assign=True)  # the very tensors, so that their precision is kept
    return model.to(memory_format=torch.channels_last) if channels_last else model  # type: ignore[call-overload]


def _tensor_in_words(tensor: tuple[tuple[int, ...], bool] | None) -> str:
    return "nothing" if tensor is None else f"{'numbers' if tensor[1] else 'whole numbers'} of shape {tensor[0]}"


def _build(description: Any, depth: int) -> nn.Module:
    if not isinstance(description, dict) or depth == 0:
        raise ValueError("a layer must be a table, and not nested too deep")
    arguments = dict(description)
    name = arguments.pop("layer", None)
    if name == "Sequential":
        layers, named = arguments.pop("layers", []), arguments.pop("named", [])
        if arguments or not isinstance(layers, list) or not isinstance(named, list):
            raise ValueError("a Sequential has layers and nothing else")
        model = nn.Sequential(*(_build(layer, depth - 1) for layer in layers))
        for name, layer in named:
            model.add_module(name, _build(layer, depth - 1))
        return model
    if name not in LAYERS:
        raise ValueError(f"{name!r} is not a layer that can be loaded")
    layer = LAYERS[name]
    if set(arguments) != set(_NAMES[layer]):
        raise ValueError(f"{name} takes {', '.join(_NAMES[layer]) or 'nothing'}, not {', '.join(arguments)}")
    return layer(**{key: _checked(key, value) for key, value in arguments.items()})


def _plain(value: Any) -> Any:
    """An argument as JSON holds it. A bias that is there is True, one that is not is None and becomes False."""
    if isinstance(value, nn.Parameter) or value is None:
        return value is not None
    if isinstance(value, Tensor):
        return value.flatten().tolist()
    return list(value) if isinstance(value, tuple) else value


def _checked(key: str, value: Any) -> Any:
    """An argument from outside: a number of a sane size, a truth value, or a short list of numbers."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > 4096 or any(isinstance(part, (list, dict, str)) for part in value):
            raise ValueError("an argument is a number or a short list of numbers")
        return tuple(_checked(key, part) for part in value)
    if isinstance(value, str) and value in ("same", "valid"):
        return value
    largest = LARGEST if key in _COUNTED else LARGEST_OTHER
    if not isinstance(value, (bool, int, float)) or not abs(value) <= largest:  # NaN is not, either
        raise ValueError(f"{value!r:.80} is no {key} of a layer")
    return value
