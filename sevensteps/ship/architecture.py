"""Describe a model as a list of layers, and build it again: names are looked up in a fixed table and are never code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base.own_code import is_own
from ..errors import ModelError, SevenstepsError
from ..steps.own_model import SCORES, OwnModel, has_own_code, made_by, refuse_other_code
from ..steps.predict import MaxAndMeanPool, MeanWithMirror, Normalize, Residual, RootOfShare, WithMirror
from ..steps.saved_module import named_as, plain_name, without_compiler

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
    nn.ZeroPad2d: ("padding",),
    nn.ReLU: (),
    nn.ReLU6: (),
    nn.GELU: (),
    nn.SiLU: (),
    nn.Tanh: (),
    nn.Sigmoid: (),
    nn.LogSoftmax: ("dim",),
    nn.Softmax: ("dim",),
    nn.LeakyReLU: ("negative_slope",),
    Normalize: ("mean", "std"),
    MaxAndMeanPool: (),
    RootOfShare: ("eps",),
    WithMirror: (),
    MeanWithMirror: (),
    OwnModel: ("name", "shape", "outputs", "answers"),
}


LAYERS = {layer.__name__: layer for layer in _NAMES}


AGAIN = "Again"  # in a description: the layer that stands at another place, which shares its tensors


_CONTAINERS: dict[str, type[nn.Sequential]] = {"Sequential": nn.Sequential, "Residual": Residual}


DEEPEST = 8  # sequences within sequences


MOST_LAYERS = 1000  # each costs a name and a module


LARGEST = 1 << 31  # of a number of features or channels; the tensors must have that size


LARGEST_OTHER = 1024  # of a kernel, a padding or an output size, which cost time and memory


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    """Accept a whole number from `least` to `most`."""
    return lambda value: type(value) is int and least <= value <= most


def _number(least: float, most: float) -> Callable[[Any], bool]:
    """Accept a number from `least` to `most`."""
    return lambda value: type(value) in (int, float) and least <= value <= most  # also False for NaN


def _pair(least: int) -> Callable[[Any], bool]:
    """Accept one size, or one for height and one for width."""
    size = _whole(least, LARGEST_OTHER)
    return lambda value: size(value) or (isinstance(value, Sequence) and len(value) == 2 and all(map(size, value)))


def _padding(value: Any) -> bool:
    """Accept the padding of a convolution or a pool, or the four margins of a ZeroPad2d; PyTorch refuses a mix-up."""
    if isinstance(value, str):
        return value in ("same", "valid")
    margins = isinstance(value, Sequence) and len(value) == 4 and all(map(_whole(0, LARGEST_OTHER), value))
    return margins or _pair(0)(value)


def _numbers(value: Any) -> bool:
    """Return whether this is a list of numbers."""
    return isinstance(value, list) and 1 <= len(value) <= 4096 and all(map(_number(-1e9, 1e9), value))


# The valid values of each argument, in a file that anyone may have written.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("in_features", "out_features", "in_channels", "out_channels", "num_features", "groups"), _whole(1, LARGEST)
    ),
    **dict.fromkeys(("kernel_size", "stride", "dilation", "output_size"), _pair(1)),
    "padding": _padding,
    "bias": lambda value: type(value) is bool,
    **dict.fromkeys(("start_dim", "end_dim", "dim"), _whole(-4, 3)),
    **dict.fromkeys(("p", "momentum"), _number(0.0, 1.0)),
    "eps": _number(0.0, 1e9),
    "negative_slope": _number(-1e9, 1e9),
    **dict.fromkeys(("mean", "std"), _numbers),
    "name": lambda value: isinstance(value, str) and is_own(value),
    "shape": lambda value: isinstance(value, list) and len(value) == 3 and all(map(_whole(1, 1 << 16), value)),
    "outputs": _whole(1, 1 << 20),
    "answers": lambda value: value == [] or (_numbers(value) and len(value) <= 2 * SCORES),
}


def describe(model: nn.Module) -> dict[str, Any] | None:
    """Return the model as names and numbers that JSON can hold, or None where they would not give the same model back.

    That is the case for a layer that is not in the table, or that has a setting that is not: another padding mode, a
    parametrization, a `forward` of its own.

    Args:
        model: The model.
    """
    description = _describe(model)
    if description is None or has_own_code(model):  # which is not run to write a file
        return description
    try:
        with torch.device("meta"):
            again = _build(description, DEEPEST)
        _check_mirrors(again)
    except (TypeError, ValueError, RuntimeError, KeyError):
        return None
    if not _same(model, again):
        return None
    return {**description, "channels_last": True} if _is_channels_last(model) else description


def _describe(model: nn.Module, path: str = "", first: dict[nn.Module, str] | None = None) -> dict[str, Any] | None:
    """Return names and numbers, which may not be enough to build the same model.

    `first` has the layers with tensors of their own that came before, and where: such a layer may occur again.
    """
    model, first = without_compiler(model), {} if first is None else first
    if type(model) in _CONTAINERS.values():
        assert isinstance(model, nn.Sequential)
        within = f"{path}." if path else ""
        layers = {
            name: _describe(layer, within + name, first) for name, layer in model._modules.items() if layer is not None
        }
        if None in layers.values() or len(layers) != len(model):
            return None
        if list(layers) == [str(place) for place in range(len(layers))]:
            return {"layer": type(model).__name__, "layers": list(layers.values())}
        return {"layer": type(model).__name__, "named": [[name, layer] for name, layer in layers.items()]}
    names = _NAMES.get(type(model))
    if names is None:
        return None
    if model in first:
        return {"layer": AGAIN, "at": first[model]}
    if model.state_dict():
        first[model] = path
    return {"layer": type(model).__name__, **{name: _plain(getattr(model, name)) for name in names}}


def _same(model: nn.Module, again: nn.Module) -> bool:
    """Return whether two models with the same numbers compute the same function; hooks are ignored."""
    modules, modules_again = _by_name(model), _by_name(again)
    if modules.keys() != modules_again.keys() or _shapes(model.state_dict()) != _shapes(again.state_dict()):
        return False
    if _shared(model) != _shared(again):
        return False
    ignored = {"training", "inplace"}  # inplace saves memory and computes the same
    for name, module in modules.items():
        has, wanted = vars(module), vars(modules_again[name])
        settings = {key for key in wanted if not key.startswith("_")} - ignored
        if "forward" in has or any(has.get(key) != wanted[key] for key in settings):
            return False
    return True


def _by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module under its name without torch.compile's, a shared one under each of its names."""
    return {plain_name(name): module for name, module in model.named_modules(remove_duplicate=False)}


def _shared(model: nn.Module) -> dict[str, str]:
    """Return for each parameter the first name of the same one."""
    first: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {plain_name(name): first.setdefault(id(parameter), plain_name(name)) for name, parameter in named}


def _is_channels_last(model: nn.Module) -> bool:
    """Return whether weights are stored pixel by pixel, which is faster and rounds differently in the last digit."""
    return any(weight.ndim == 4 and not weight.is_contiguous() for weight in model.parameters())


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and the kind of each tensor: numbers of any precision, or whole numbers of one type."""
    return {
        plain_name(name): (tuple(tensor.shape), "numbers" if tensor.is_floating_point() else str(tensor.dtype))
        for name, tensor in tensors.items()
    }


def build(description: Any, tensors: Mapping[str, Tensor], where: str = "The model") -> nn.Module:
    """Build the model that `describe` described.

    The shapes in the description are compared with the tensors before anything large is allocated.

    Args:
        description: As `describe` returns it, from a file that anyone may have written.
        tensors: The parameters and buffers.
        where: The file, for the error of other code.

    Raises:
        ModelError: A layer is unknown, an argument is not valid, or the tensors do not fit; or a layer is code of its
            author, and was not given for this call, or other code was.
    """
    channels_last = False
    if isinstance(description, dict):
        channels_last = description.get("channels_last") is True
        description = {name: value for name, value in description.items() if name != "channels_last"}
    try:
        with torch.device("meta"):
            model = _build(description, DEEPEST)
        _check_mirrors(model)
    except SevenstepsError:  # about code of its author
        raise
    except (TypeError, ValueError, RuntimeError, OverflowError, KeyError, AttributeError) as error:
        raise ModelError(
            f"The model's description is not valid: {error!s:.300}", hint="The file is damaged."
        ) from error
    refuse_other_code(model, description, where)
    wanted, present = _shapes(model.state_dict()), _shapes(tensors)
    if wanted != present:
        name = min(wanted.items() ^ present.items())[0]
        raise ModelError(
            f"The model's description and its tensors differ at {name!r:.80}: the description says "
            f"{_tensor_in_words(wanted.get(name))}, the tensors say {_tensor_in_words(present.get(name))}.",
            hint="Its code changed." if has_own_code(model) else "The file is damaged, or was put together from two.",
        )
    _load(model, tensors)
    return model.to(memory_format=torch.channels_last) if channels_last else model  # type: ignore[call-overload]


def _load(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a model the very tensors, so that their precision is kept; a network of the user's own gets their numbers.

    So parameters that it shares between layers stay shared.
    """
    left = dict(tensors)
    for place, layer in model.named_modules():
        if isinstance(layer, OwnModel):
            prefix = f"{place}." if place else ""
            of_layer = {name: left.pop(name) for name in list(left) if name.startswith(prefix)}
            saved = {name.removeprefix(prefix): tensor for name, tensor in of_layer.items()}
            layer.load_state_dict(named_as(layer.state_dict(), saved))
    model.load_state_dict(left, assign=True, strict=len(left) == len(tensors))


def _check_mirrors(model: nn.Module) -> None:
    """Check that rows doubled at the beginning are halved at the end, so that a row is a picture.

    Raises:
        ValueError: One is without the other, or in another place.
    """
    kinds = [type(layer) for layer in model.modules()]
    doubled, halved = kinds.count(WithMirror), kinds.count(MeanWithMirror)
    if doubled or halved:
        ends = list(model) if isinstance(model, nn.Sequential) else []
        if (doubled, halved) != (1, 1) or (type(ends[0]), type(ends[-1])) != (WithMirror, MeanWithMirror):
            raise ValueError("WithMirror must be the first layer and MeanWithMirror the last, each once")


def _tensor_in_words(tensor: tuple[tuple[int, ...], str] | None) -> str:
    """Return the kind and shape of a tensor in words."""
    return "nothing" if tensor is None else f"{tensor[1]} of shape {tensor[0]}"


def _build(
    description: Any,
    depth: int,
    left: Iterator[int] | None = None,
    path: str = "",
    first: dict[str, nn.Module] | None = None,
) -> nn.Module:
    """Build a description, with at most `depth` levels and as many layers as `left` gives.

    `first` has the layers that came before, but no sequence of them: sequences that occur again within each other
    would let a few bytes ask for any number of layers.
    """
    left, first = iter(range(MOST_LAYERS)) if left is None else left, {} if first is None else first
    if not isinstance(description, dict) or depth == 0 or next(left, None) is None:
        raise ValueError(f"a layer must be a table, not nested too deep, and one of {MOST_LAYERS:,} at most")
    arguments = dict(description)
    name = arguments.pop("layer", None)
    if isinstance(name, str) and name in _CONTAINERS:
        layers, named = arguments.pop("layers", []), arguments.pop("named", [])
        if arguments or not isinstance(layers, list) or not isinstance(named, list):
            raise ValueError(f"a {name} has layers and nothing else")
        model, within = _CONTAINERS[name](), f"{path}." if path else ""
        for name, layer in [*((str(place), layer) for place, layer in enumerate(layers)), *named]:
            model.add_module(name, _build(layer, depth - 1, left, within + name, first))
        return model
    if name == AGAIN:
        return first[arguments["at"]]
    if not isinstance(name, str) or name not in LAYERS:
        raise ValueError(f"{name!r:.80} is not a layer that can be loaded")
    layer = LAYERS[name]
    if not set(_NAMES[layer]) - {"answers"} <= set(arguments) <= set(_NAMES[layer]):  # which came later
        raise ValueError(f"{name} takes {', '.join(_NAMES[layer]) or 'nothing'}, not {', '.join(arguments):.80}")
    for key, value in arguments.items():
        if not _CHECKS[key](value):
            raise ValueError(f"{value!r:.80} is not a valid {key} of a layer")
    if layer is OwnModel:
        with torch.device("cpu"):  # where its code may compute with what it makes
            return made_by(arguments["name"], tuple(arguments["shape"]), arguments["outputs"])
    # As a tuple where it came as a list: layers compare and repeat their arguments.
    built = layer(**{key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()})
    return first.setdefault(path, built)


def _plain(value: Any) -> Any:
    """Return an argument as JSON holds it: True for a layer with a bias, False for one without."""
    if isinstance(value, nn.Parameter) or value is None:
        return value is not None
    if isinstance(value, Tensor):
        return value.flatten().tolist()
    return list(value) if isinstance(value, tuple) else value
