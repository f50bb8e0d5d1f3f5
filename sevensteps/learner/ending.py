"""Find out whether a model ends in a sigmoid or softmax, so that its outputs are probabilities already."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

Activation = Callable[[Tensor], Tensor]


def as_they_are(scores: Float[Tensor, "n scores"]) -> Float[Tensor, "n scores"]:
    """Return outputs that are probabilities.

    Args:
        scores: The outputs.

    Returns:
        The same.
    """
    return scores


# What makes probabilities of the outputs of a model, by the name of its last operation.
_PROBABILITIES: dict[str, Activation] = {
    **dict.fromkeys(("sigmoid", "softmax", "softmax2d", "hardsigmoid", "softmin"), as_they_are),
    **dict.fromkeys(("logsoftmax", "log_softmax"), torch.exp),
    **dict.fromkeys(("logsigmoid", "log_sigmoid"), torch.exp),
}

# Operations that change the shape only, or nothing.
_SHAPES = {"squeeze", "unsqueeze", "view", "reshape", "flatten", "contiguous", "float", "double", "to", "identity"}
_SHAPES |= {"dropout", "clone", "transpose", "permute"}


def probabilities_of(model: nn.Module) -> Activation | None:
    """Return what turns the outputs of a model into probabilities, if its last operation says so.

    The operations are read from the model's code without running it on pictures. A model whose code cannot be read
    that way, because it decides by the numbers, counts by its last layer. Code that names no such operation is not
    read, since reading calls it, and what it counts or keeps would then be wrong.

    Args:
        model: The model.

    Returns:
        A function of the outputs; None for a model that gives raw scores.
    """
    if not any(map(_names_one, model.modules())):
        return None
    try:
        return _PROBABILITIES.get(_last_operation(model))
    except Exception:  # the code of a foreign model may do anything
        layers = [layer for layer in model.modules() if not list(layer.children())]
        return _PROBABILITIES.get(_name(type(layers[-1]).__name__)) if layers else None


def _names_one(layer: nn.Module) -> bool:
    """Return whether a layer is, holds or calls an operation that gives probabilities."""
    code = getattr(getattr(type(layer), "forward", None), "__code__", None)
    held = (getattr(value, "__name__", "") for value in vars(layer).values())
    names = (type(layer).__name__, *getattr(code, "co_names", ()), *held)
    return any(_name(str(name)) in _PROBABILITIES for name in names)


def _last_operation(model: nn.Module) -> str:
    """Return the name of the last operation that changes a number; "" if there is none."""
    layers = dict(model.named_modules())
    nodes = fx.Tracer().trace(model)
    node = next(node for node in reversed(nodes.nodes) if node.op == "output").args[0]
    while isinstance(node, fx.Node) and node.op.startswith("call"):
        called = type(layers[str(node.target)]) if node.op == "call_module" else node.target
        name = _name(called if isinstance(called, str) else getattr(called, "__name__", ""))
        if name not in _SHAPES:
            return name
        node = node.args[0]
    return ""


def _name(operation: str) -> str:
    """Return the name of an operation in one spelling: `Sigmoid`, `sigmoid` and `sigmoid_` are the same."""
    return operation.lower().strip("_")
