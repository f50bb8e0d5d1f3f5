"""A model as a list of layers, and back: what a saved model names is looked up in a closed table and is never code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..steps.predict import MaxAndMeanPool, MeanWithMirror, Normalize, WithMirror

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
    WithMirror: (),
    MeanWithMirror: (),
}


LAYERS = {layer.__name__: layer for layer in _NAMES}


DEEPEST = 8  # sequences within sequences


MOST_LAYERS = 1000  # a name and a module each, whatever they do


LARGEST = 1 << 31  # of a number of features or channels, which the tensors must bear out


LARGEST_OTHER = 1024  # of a kernel, a padding or an output size, which a forward pass pays for


MOST_VALUES = 1 << 28  # that a layer makes of one picture: 1 GiB


MOST_UNFOLDED = 1 << 28  # that a convolution may unfold a small picture to


MOST_WORK = 10**11  # multiplications for one picture, some seconds: nine times a ResNet-152's at 224x224


TAKES_LONGER = 8  # what is not a matrix product takes so many times as long for each value


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _number(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and least <= value <= most  # NaN is not, either


def _pair(least: int) -> Callable[[Any], bool]:
    """One size, or one for height and one for width."""
    size = _whole(least, LARGEST_OTHER)
    return lambda value: size(value) or (isinstance(value, Sequence) and len(value) == 2 and all(map(size, value)))


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= 4096 and all(map(_number(-1e9, 1e9), value))


# What each argument may be, from a file that anybody may have written.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("in_features", "out_features", "in_channels", "out_channels", "num_features", "groups"), _whole(1, LARGEST)
    ),
    **dict.fromkeys(("kernel_size", "stride", "dilation", "output_size"), _pair(1)),
    "padding": lambda value: value in ("same", "valid") if isinstance(value, str) else _pair(0)(value),
    "bias": lambda value: type(value) is bool,
    **dict.fromkeys(("start_dim", "end_dim", "dim"), _whole(-4, 3)),
    **dict.fromkeys(("p", "momentum"), _number(0.0, 1.0)),
    "eps": _number(0.0, 1e9),
    "negative_slope": _number(-1e9, 1e9),
    **dict.fromkeys(("mean", "std"), _numbers),
}


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
        _check_mirrors(again)
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


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], str]]:
    """The shape of each tensor, and what it holds: numbers, of whichever precision, or whole numbers of one type."""
    return {
        name: (tuple(tensor.shape), "numbers" if tensor.is_floating_point() else str(tensor.dtype))
        for name, tensor in tensors.items()
    }


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
        _check_mirrors(model)
    except (TypeError, ValueError, RuntimeError, OverflowError, KeyError, AttributeError) as error:
        raise ModelError(
            f"The model's description makes no model: {error!s:.300}", hint="The file is damaged."
        ) from error
    wanted, there = _shapes(model.state_dict()), _shapes(tensors)
    if wanted != there:
        name = min(wanted.items() ^ there.items())[0]
        raise ModelError(
            f"The model's description and its tensors differ at {name!r:.80}: {_tensor_in_words(wanted.get(name))} is "
            f"described and {_tensor_in_words(there.get(name))} is there.",
            hint="The file is damaged, or was put together from two.",
        )
    model.load_state_dict(dict(tensors), assign=True)  # the very tensors, so that their precision is kept
    return model.to(memory_format=torch.channels_last) if channels_last else model  # type: ignore[call-overload]


def _check_mirrors(model: nn.Module) -> None:
    """Rows that are doubled at the beginning must be halved at the end: a row is a picture.

    Raises:
        ValueError: one is without the other, or stands elsewhere.
    """
    kinds = [type(layer) for layer in model.modules()]
    doubled, halved = kinds.count(WithMirror), kinds.count(MeanWithMirror)
    if doubled or halved:
        ends = list(model) if isinstance(model, nn.Sequential) else []
        if (doubled, halved) != (1, 1) or (type(ends[0]), type(ends[-1])) != (WithMirror, MeanWithMirror):
            raise ValueError("WithMirror must be the first layer and MeanWithMirror the last, each once")


def _tensor_in_words(tensor: tuple[tuple[int, ...], str] | None) -> str:
    return "nothing" if tensor is None else f"{tensor[1]} of shape {tensor[0]}"


def _build(description: Any, depth: int, left: Iterator[int] | None = None) -> nn.Module:
    left = iter(range(MOST_LAYERS)) if left is None else left
    if not isinstance(description, dict) or depth == 0 or next(left, None) is None:
        raise ValueError(f"a layer must be a table, not nested too deep, and one of {MOST_LAYERS:,} at most")
    arguments = dict(description)
    name = arguments.pop("layer", None)
    if name == "Sequential":
        layers, named = arguments.pop("layers", []), arguments.pop("named", [])
        if arguments or not isinstance(layers, list) or not isinstance(named, list):
            raise ValueError("a Sequential has layers and nothing else")
        model = nn.Sequential(*(_build(layer, depth - 1, left) for layer in layers))
        for name, layer in named:
            model.add_module(name, _build(layer, depth - 1, left))
        return model
    if not isinstance(name, str) or name not in LAYERS:
        raise ValueError(f"{name!r:.80} is not a layer that can be loaded")
    layer = LAYERS[name]
    if set(arguments) != set(_NAMES[layer]):
        raise ValueError(f"{name} takes {', '.join(_NAMES[layer]) or 'nothing'}, not {', '.join(arguments):.80}")
    for key, value in arguments.items():
        if not _CHECKS[key](value):
            raise ValueError(f"{value!r:.80} is no {key} of a layer")
    # As a tuple where it came as a list: layers compare and repeat their arguments.
    return layer(**{key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()})


def _plain(value: Any) -> Any:
    """An argument as JSON holds it. A bias that is there is True, one that is not is None and becomes False."""
    if isinstance(value, nn.Parameter) or value is None:
        return value is not None
    if isinstance(value, Tensor):
        return value.flatten().tolist()
    return list(value) if isinstance(value, tuple) else value


def check_work(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Hold what the model would do with one picture of this shape against what a prediction may take.

    A few bytes can ask for hours or fill the memory: a padding of 1024 around 28x28 pixels, a pool of 1024x1024
    around each of a million. It is found out without numbers, on PyTorch's meta device.

    Raises:
        ModelError: more than `MOST_WORK`, or more memory than a layer may take; or the shape does not go through.
    """
    work = 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal work
        x = given[0]
        values, each = made.numel(), TAKES_LONGER
        if isinstance(layer, nn.Linear):
            each = layer.in_features
        elif isinstance(layer, nn.Conv2d):
            each = layer.weight[0].numel()
            # PyTorch unfolds small pictures for a plain matrix product, and large ones not.
            if x.numel() <= MOST_UNFOLDED >> 8 and each * values // layer.out_channels > MOST_UNFOLDED:
                raise ValueError(f"a convolution would unfold a picture to {each * values // layer.out_channels:,}")
        elif isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
            size = layer.kernel_size
            each = TAKES_LONGER * (size * size if isinstance(size, int) else math.prod(size))
        elif isinstance(layer, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
            # A cell reaches over its share of the picture, and a pixel beyond on each side.
            height, width = made.shape[-2:]
            each = TAKES_LONGER * (x.shape[-2] // height + 2) * (x.shape[-1] // width + 2)
        work += max(values * each, TAKES_LONGER * x.numel())
        if values > MOST_VALUES:
            raise ValueError(f"a layer would make {values:,} numbers of one picture, and at most {MOST_VALUES:,} fit")
        if work > MOST_WORK:
            raise ValueError(f"one picture would take more than {MOST_WORK:,} multiplications")

    hooks = [layer.register_forward_hook(count) for layer in model.modules() if not isinstance(layer, nn.Sequential)]
    try:
        there = {name: torch.empty_like(tensor, device="meta") for name, tensor in model.state_dict().items()}
        with torch.inference_mode():
            torch.func.functional_call(model, there, torch.empty((1, *shape), device="meta"))
    except (TypeError, ValueError, RuntimeError, IndexError, OverflowError, ArithmeticError) as error:
        raise ModelError(
            f"The model cannot take a picture of shape {shape}: {error!s:.200}", hint="The file is damaged."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
