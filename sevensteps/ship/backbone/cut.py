"""Cut a backbone in two: layers that stay as they are, and the last stages, which are trained with the linear model.

What the first part returns is kept in 8 bits, as features are: 0 to 255 stand for four standard deviations below and
above the mean of each channel. Both follow from the batch normalizations that end the first part, so they are the same
for all pictures. docs/decisions/0036-fine-tuning.md has the figures.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32

from ...errors import ModelError
from . import lite0
from .weights import Backbone, published

MOST = 3  # stages that can be trained: the first ones see edges and colors, which all photographs share


DEVIATIONS = 4.0  # that 8 bits reach below and above the mean: 0.2 % of the values are clipped


STAGES_FROM = 1  # the first layer normalizes pixels; the stem, seven stages and the head follow


@dataclass(frozen=True)
class Cut:
    """The place where a backbone is cut, and how its values there are kept in 8 bits.

    A value is kept as `255 * (value - mean) / std`, rounded: `mean` stands for 0, and `mean + std` for 255.
    """

    layers: int  # of the backbone's list, which stay as they are
    shape: tuple[int, int, int]  # of what they return: channels, height and width
    mean: Float32[np.ndarray, "channels 1 1"] = field(repr=False)
    std: Float32[np.ndarray, "channels 1 1"] = field(repr=False)

    def before(self, backbone: Backbone) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the layers before the cut and their tensors; what they return is from 0 to 1, in one row.

        Args:
            backbone: The network.
        """
        scale = {"layer": "Normalize", "mean": self.mean.ravel().tolist(), "std": self.std.ravel().tolist()}
        flat = {"layer": "Flatten", "start_dim": 1, "end_dim": -1}
        layers = [*backbone.description["layers"][: self.layers], scale, flat]
        own = {f"{self.layers}.mean": self.mean, f"{self.layers}.std": self.std}
        return {"layer": "Sequential", "layers": layers}, {**backbone.arrays, **own}

    def after(self, backbone: Backbone) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """Return the layers that take what `before` returns, and their tensors: with them, it is the whole network.

        Args:
            backbone: The network.
        """
        mean, std = -self.mean / self.std, 1 / self.std  # undoes the scale
        scale = {"layer": "Normalize", "mean": mean.ravel().tolist(), "std": std.ravel().tolist()}
        arrays = {"0.mean": mean, "0.std": std}
        for name, array in backbone.arrays.items():
            place, _, rest = name.partition(".")
            if int(place) >= self.layers:
                arrays[f"{int(place) - self.layers + 1}.{rest}"] = array
        return [scale, *backbone.description["layers"][self.layers :]], arrays


def layers_before(unfreeze: int) -> int:
    """Return how many layers stay as they are if the last stages are trained.

    Args:
        unfreeze: The number of stages that are trained.
    """
    return STAGES_FROM + len(list(lite0.convolutions())) - unfreeze


@functools.cache
def cut_at(layers: int, where: str = "The model") -> Cut:
    """Return the cut after some layers of EfficientNet-Lite0.

    Args:
        layers: The number of layers that stay as they are.
        where: The file that names the cut, for errors.

    Raises:
        ModelError: The network is not cut there, or the package with its weights is not installed.
    """
    if layers not in map(layers_before, range(1, MOST + 1)):
        raise ModelError(f"{where} is cut after {layers} layers, where no stage begins.", hint="Train again.")
    stages = list(lite0.convolutions())[: layers - STAGES_FROM]
    side = lite0.SIDE
    for stage in stages:
        for block in stage:
            for convolution in block:
                side = -(-side // convolution.stride)
    mean, variance = _spread(published(), stages[-1])
    deviation = np.sqrt(variance)
    lowest, width = mean - DEVIATIONS * deviation, 2 * DEVIATIONS * deviation
    as_channels = [values.astype(np.float32)[:, None, None] for values in (lowest, width)]
    return Cut(layers, (len(mean), side, side), *as_channels)


def _spread(tensors: Mapping[str, np.ndarray], stage: list[list[lite0.Convolution]]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each channel that a stage returns.

    A batch normalization gives its channels the mean `bias` and the standard deviation `weight`. Blocks with a residual
    connection add up, and so do their means and variances, as far as they are independent.
    """
    mean, variance = np.zeros(1), np.zeros(1)
    for block in reversed(stage):
        norm = block[-1].norm
        mean = mean + tensors[f"{norm}.bias"].astype(np.float64)
        variance = variance + tensors[f"{norm}.weight"].astype(np.float64) ** 2
        is_first = block is stage[0]  # it changes the number of channels, so nothing is added to its result
        if is_first:
            break
    return mean, variance
