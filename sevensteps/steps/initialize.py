"""Step 1, initialize: how parameters start.

An initializer takes the weight (and bias) of one layer and fills it in place. To add one, write it here and name it
in `INITIALIZERS`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..base.seeds import INITIALIZE, seed_of
from ..errors import UsageError, nearest

Initializer = Callable[[nn.Module, float], None]


def default(layer: nn.Module, std: float) -> None:
    """PyTorch's own: uniform within plus or minus 1/sqrt(inputs)."""
    layer.reset_parameters()  # type: ignore[operator]


def normal(layer: nn.Module, std: float) -> None:
    """Normal with standard deviation `std`, weights and bias alike: the walk-through's `randn * std`."""
    for parameter in layer.parameters(recurse=False):
        nn.init.normal_(parameter, std=std)


def zeros(layer: nn.Module, std: float) -> None:
    """All zero: fine for a single linear layer, useless for more, whose units would never come to differ."""
    for parameter in layer.parameters(recurse=False):
        nn.init.zeros_(parameter)


def kaiming(layer: nn.Module, std: float) -> None:
    """Normal with variance 2/inputs, bias zero: keeps the spread through ReLU layers.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015).
    """
    weight, *bias = layer.parameters(recurse=False)
    nn.init.kaiming_normal_(weight, nonlinearity="relu")
    for parameter in bias:
        nn.init.zeros_(parameter)


INITIALIZERS: dict[str, Initializer] = {"default": default, "normal": normal, "zeros": zeros, "kaiming": kaiming}


def initialize(model: nn.Module, how: str = "default", *, std: float = 1.0, seed: int = 0) -> nn.Module:
    """Fill the linear and convolutional layers of `model` in place, as the seed says; torch's own state is left alone.

    Raises:
        UsageError: no initializer of this name, or a negative `std`.

    >>> initialize(nn.Linear(2, 1), "zeros").weight
    Parameter containing:
    tensor([[0., 0.]], requires_grad=True)
    """
    if how not in INITIALIZERS:
        raise UsageError(f"There is no initializer {how!r}.", hint=nearest(how, INITIALIZERS))
    if not std >= 0:
        raise UsageError(f"std is {std}, and must be 0 or more.", hint="Try std=0.01.")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed_of(seed, INITIALIZE))
        for layer in model.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                INITIALIZERS[how](layer, std)
    return model
