"""Layers of `ship.architecture` as lines of a program: in NumPy where that is enough, in PyTorch otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ...errors import ModelError
from ..writable import kinds_in

Layer = Mapping[str, Any]

# Layers that PyTorch lacks, with what each computes.
OWN = {
    "Normalize": '''
class Normalize(nn.Module):
    """Center and scale each channel."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std
''',
    "MaxAndMeanPool": '''
class MaxAndMeanPool(nn.Module):
    """Return the maximum of each channel, then the mean of each."""

    def forward(self, x):
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], dim=1)
''',
    "WithMirror": '''
class WithMirror(nn.Module):
    """Add the mirror image of each picture."""

    def forward(self, x):
        return torch.cat([x, x.flip(3)])
''',
    "MeanWithMirror": '''
class MeanWithMirror(nn.Module):
    """Return the mean of the scores of each picture and its mirror image."""

    def forward(self, x):
        return (x[: len(x) // 2] + x[len(x) // 2 :]) / 2
''',
    "Residual": '''
class Residual(nn.Sequential):
    """Add what the layers return to what they get."""

    def forward(self, x):
        return x + super().forward(x)
''',
    "RootOfShare": '''
class RootOfShare(nn.Module):
    """Divide each number by the mean of its row, and take the root."""

    def __init__(self, eps):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return (x / x.mean(1, keepdim=True).clamp(min=self.eps)).clamp(min=0).sqrt()
''',
}


def has_names(layer: Layer) -> bool:
    """Return whether layers of a sequence have names of their own.

    Args:
        layer: The sequence.
    """
    return "named" in layer or any(has_names(part) for part in layer.get("layers", ()))


def by_numpy(layers: list[dict[str, Any]], is_sequence: bool) -> str:
    """Return a function that computes the scores of a model of linear layers.

    Args:
        layers: As `predict.numpy_layers` returns them.
        is_sequence: Whether the names of the tensors begin with the place of their layer.
    """
    lines = ["x = x.reshape(len(x), -1)"] if layers[0]["layer"] == "Linear" else []
    prefixes = [f"{place}." if is_sequence else "" for place in range(len(layers))]
    for prefix, layer in zip(prefixes, layers, strict=True):
        match layer["layer"]:
            case "Normalize":
                lines.append(f'x = (x - WEIGHTS["{prefix}mean"]) / WEIGHTS["{prefix}std"]')
            case "Flatten":
                lines.append("x = x.reshape(len(x), -1)")
            case "Linear":
                bias = f' + WEIGHTS["{prefix}bias"]' if layer["bias"] else ""
                lines.append(f'x = x @ WEIGHTS["{prefix}weight"].T{bias}')
            case "ReLU":
                lines.append("x = np.maximum(x, 0)")
    body = "\n    ".join(lines)
    return f'''
def scores(x):
    """Return the scores of pictures with pixels from 0 to 1, (n, channels, height, width)."""
    {body}
    return x
'''


def by_torch(description: Layer) -> str:
    """Return classes of layers that PyTorch lacks, and the network.

    Args:
        description: The layers, checked by `architecture.build`.

    Raises:
        ModelError: A layer occurs twice.
    """
    kinds = set(kinds_in(description))
    if "Again" in kinds:
        raise ModelError("A layer that occurs twice cannot be written as plain Python.")
    network = _expression(description, "")
    channels_last = ".to(memory_format=torch.channels_last)" if description.get("channels_last") else ""
    classes = "\n".join(text for name, text in OWN.items() if name in kinds)
    return f"""{classes}

NETWORK = {network}
NETWORK.load_state_dict({{name: tensor for name, tensor in WEIGHTS.items() if not name.startswith("abstain.")}})
NETWORK.eval(){channels_last}
"""


def _expression(layer: Layer, indent: str) -> str:
    """Return the code that makes a layer."""
    kind = layer["layer"]
    if kind in ("Sequential", "Residual"):
        name = "nn.Sequential" if kind == "Sequential" else kind
        deeper = f"{indent}    "
        if "named" in layer:
            inside = [f"({part!r}, {_expression(of, deeper)})" for part, of in layer["named"]]
            return f"{name}(OrderedDict([\n{deeper}" + f",\n{deeper}".join(inside) + f",\n{indent}]))"
        inside = [_expression(of, deeper) for of in layer.get("layers", ())]
        return f"{name}(\n{deeper}" + f",\n{deeper}".join(inside) + f",\n{indent})"
    if kind == "Normalize":
        return f"Normalize({len(layer['mean'])})"
    if kind in OWN:
        settings = ", ".join(f"{name}={value!r}" for name, value in layer.items() if name != "layer")
        return f"{kind}({settings})"
    return f"nn.{kind}({_settings(layer)})"


def _settings(layer: Layer) -> str:
    """Return the arguments of a layer of PyTorch, in their order, without those that are the default."""
    from torch import nn

    words = []
    for name, parameter in inspect.signature(getattr(nn, layer["layer"])).parameters.items():
        value = layer.get(name)
        if isinstance(value, list):
            value = value[0] if len(set(value)) == 1 else tuple(value)
        if name in layer and parameter.default is parameter.empty:
            words.append(repr(value))
        elif name in layer and value != parameter.default:
            words.append(f"{name}={value!r}")
    return ", ".join(words)
