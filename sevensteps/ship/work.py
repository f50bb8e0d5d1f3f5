"""How much work a model of a foreign file would be, counted before anything is computed."""

from __future__ import annotations

import copy
import itertools
import math

import torch
from torch import Tensor, nn

from ..errors import ModelError

MOST_VALUES = 1 << 28  # that a layer makes of one picture: 1 GiB


MOST_UNFOLDED = 1 << 28  # that a convolution may unfold a small picture to


MOST_WORK = 10**11  # multiplications for one picture, some seconds: nine times a ResNet-152's at 224x224


TAKES_LONGER = 8  # times as long for each value if it is not a matrix product


def check_work(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Check how much work one picture of this shape would be.

    A few bytes can ask for hours of work or all memory: a padding of 1024 around 28x28 pixels, a pool of 1024x1024
    around each of a million. PyTorch's meta device counts without computing.

    Args:
        model: The model.
        shape: Of one picture, as the model takes it.

    Raises:
        ModelError: A prediction would take more than `MOST_WORK`, a layer too much memory, or the model cannot take
            the shape.
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

    tensors = itertools.chain(model.parameters(), model.buffers())
    memo = {id(tensor): torch.empty_like(tensor, device="meta") for tensor in tensors}
    there = copy.deepcopy(model, memo)  # the layers alone; `functional_call` loses tensors that layers share
    for layer in there.modules():
        if not isinstance(layer, nn.Sequential):
            layer.register_forward_hook(count)
    try:
        with torch.inference_mode():
            there(torch.empty((1, *shape), device="meta"))
    except (TypeError, ValueError, RuntimeError, IndexError, OverflowError, ArithmeticError) as error:
        raise ModelError(
            f"The model cannot take a picture of shape {shape}: {error!s:.200}", hint="The file is damaged."
        ) from error
