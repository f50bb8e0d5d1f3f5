"""Step 1, initialize: choose the values that parameters start from.

An initializer takes one layer and fills its weight (and bias) in place. To add one, write it here and add it to
`INITIALIZERS`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..base.seeds import INITIALIZE, one_thread_draws, seed_of
from ..errors import UsageError, nearest

Initializer = Callable[[nn.Module, float], None]


def default(layer: nn.Module, std: float) -> None:
    """Draw as PyTorch does: uniformly between -1/sqrt(inputs) and 1/sqrt(inputs). `std` is ignored.

    Args:
        layer: A layer with `reset_parameters`.
        std: Ignored.
    """
    layer.reset_parameters()  # type: ignore[operator]


def normal(layer: nn.Module, std: float) -> None:
    """Draw weights and bias from a normal distribution: the walk-through's `randn * std`.

    Args:
        layer: A layer with parameters of its own.
        std: The standard deviation.
    """
    for parameter in layer.parameters(recurse=False):
        nn.init.normal_(parameter, std=std)


def zeros(layer: nn.Module, std: float) -> None:
    """Set everything to zero: fine for a single linear layer, useless for more, since all units would stay equal.

    Args:
        layer: A layer with parameters of its own.
        std: Ignored.
    """
    for parameter in layer.parameters(recurse=False):
        nn.init.zeros_(parameter)


def kaiming(layer: nn.Module, std: float) -> None:
    """Draw weights from a normal distribution of variance 2/inputs and set the bias to zero.

    This keeps the spread of the values from one ReLU layer to the next (He, Zhang, Ren and Sun, "Delving deep into
    rectifiers", 2015).

    Args:
        layer: A layer with parameters of its own, the weight first.
        std: Ignored.
    """
    weight, *bias = layer.parameters(recurse=False)
    nn.init.kaiming_normal_(weight, nonlinearity="relu")
    for parameter in bias:
        nn.init.zeros_(parameter)


INITIALIZERS: dict[str, Initializer] = {"default": default, "normal": normal, "zeros": zeros, "kaiming": kaiming}


def initialize(model: nn.Module, how: str = "default", *, std: float = 1.0, seed: int = 0) -> nn.Module:
    """Fill the linear and convolutional layers of a model in place.

    Torch's global generator is left as it was.

    Args:
        model: The model to initialize.
        how: A name in `INITIALIZERS`.
        std: The standard deviation for "normal"; the others ignore it.
        seed: Decides the numbers that are drawn.

    Returns:
        The same model.

    Raises:
        UsageError: `how` is not a known initializer, or `std` is negative.

    >>> initialize(nn.Linear(2, 1), "zeros").weight
    Parameter containing:
    tensor([[0., 0.]], requires_grad=True)
    """
    if how not in INITIALIZERS:
        raise UsageError(f"There is no initializer {how!r}.", hint=nearest(how, INITIALIZERS))
    if not std >= 0:
        raise UsageError(f"std is {std}; it must be 0 or more.", hint="Try std=0.01.")
    with one_thread_draws(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed_of(seed, INITIALIZE))
        for layer in model.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                INITIALIZERS[how](layer, std)
    return model
