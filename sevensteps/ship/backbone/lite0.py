"""EfficientNet-Lite0 as a list of layers, and the published weights with batch normalization folded into them.

The network is that of Google's EfficientNet-Lite (github.com/tensorflow/tpu, models/official/efficientnet/lite), which
is EfficientNet-B0 (Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019,
table 1) without squeeze-and-excitation, and with ReLU6 instead of swish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

SIDE = 224  # pixels; the network was trained on pictures of this size


FEATURES = 1280


# The network was trained on (pixel - 127) / 128, and not on ImageNet's mean and standard deviation.
MEAN, STD = float(np.float32(127 / 255)), float(np.float32(128 / 255))


EPSILON = 1e-3  # of the batch normalizations


class Stage(NamedTuple):
    """Blocks with the same number of output channels; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM = 32  # channels


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


_NORM = ("weight", "bias", "running_mean", "running_var")


Layer = dict[str, Any]


class Convolution(NamedTuple):
    """A convolution of the network: its names in the published file, and its settings."""

    weight: str
    norm: str
    channels_in: int
    channels: int
    kernel: int
    stride: int
    groups: int
    is_bounded: bool  # whether a ReLU6 follows


def description() -> Layer:
    """Return the network as `ship.architecture` describes one: a Sequential of the stem, each stage and the head.

    It takes pixels in [0, 1], `(n, 3, 224, 224)`, and returns `(n, 1280)` features. What the network itself has there
    is made comparable by `RootOfShare`: docs/decisions/0035-features-of-a-frozen-network.md has the figures.
    """
    side = SIDE
    parts: list[Layer] = []
    for stage in convolutions():
        blocks: list[Layer] = []
        for block in stage:
            layers: list[Layer] = []
            before = side
            for convolution in block:
                layers += _layers(convolution, side)
                side = -(-side // convolution.stride)
            keeps_shape = len(block) > 1 and before == side and block[0].channels_in == block[-1].channels
            blocks.append({"layer": "Residual" if keeps_shape else "Sequential", "layers": layers})
        parts.append({"layer": "Sequential", "layers": blocks})
    pool = [
        {"layer": "AdaptiveAvgPool2d", "output_size": 1},
        {"layer": "Flatten", "start_dim": 1, "end_dim": -1},
        {"layer": "RootOfShare", "eps": 1e-6},
    ]
    return {
        "layer": "Sequential",
        "layers": [{"layer": "Normalize", "mean": [MEAN] * 3, "std": [STD] * 3}, *parts, *pool],
    }


def convolutions() -> Iterator[list[list[Convolution]]]:
    """Yield the convolutions of each part of the network, block by block: the stem, seven stages, the head."""
    yield [[Convolution("_conv_stem", "_bn0", 3, STEM, 3, 2, 1, True)]]
    channels, number = STEM, 0
    for stage in STAGES:
        blocks = []
        for place in range(stage.blocks):
            name, wide = f"_blocks.{number}.", channels * stage.expansion
            stride = stage.stride if place == 0 else 1
            block = [
                Convolution(f"{name}_depthwise_conv", f"{name}_bn1", wide, wide, stage.kernel, stride, wide, True),
                Convolution(f"{name}_project_conv", f"{name}_bn2", wide, stage.channels, 1, 1, 1, False),
            ]
            if stage.expansion > 1:
                block.insert(0, Convolution(f"{name}_expand_conv", f"{name}_bn0", channels, wide, 1, 1, 1, True))
            blocks.append(block)
            channels, number = stage.channels, number + 1
        yield blocks
    yield [[Convolution("_conv_head", "_bn1", channels, FEATURES, 1, 1, 1, True)]]


def _layers(convolution: Convolution, side: int) -> list[Layer]:
    """Return the layers of a convolution on pictures of this side length, padded as TensorFlow's SAME pads.

    The result has `side / stride` pixels, rounded up; of an odd number of pixels to add, right and bottom get one more.
    """
    kernel, stride = convolution.kernel, convolution.stride
    missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    before, after = missing // 2, missing - missing // 2
    is_even = before == after
    layers: list[Layer] = [] if is_even else [{"layer": "ZeroPad2d", "padding": [before, after, before, after]}]
    layers.append(
        {
            "layer": "Conv2d",
            "in_channels": convolution.channels_in,
            "out_channels": convolution.channels,
            "kernel_size": [kernel, kernel],
            "stride": [stride, stride],
            "padding": [before, before] if is_even else [0, 0],
            "dilation": [1, 1],
            "groups": convolution.groups,
            "bias": True,
        }
    )
    return [*layers, {"layer": "ReLU6"}] if convolution.is_bounded else layers


def folded(published: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors of `description` from the published ones.

    In evaluation mode, batch normalization multiplies each channel by a number and adds another, so that it can be part
    of the convolution before it. This is computed in float64.

    Args:
        published: Weights and running statistics, float32, by the names of the published file.

    Raises:
        KeyError: A tensor is missing.
    """
    channels = np.ones((3, 1, 1), dtype=np.float32)
    tensors = {"0.mean": channels * np.float32(MEAN), "0.std": channels * np.float32(STD)}
    parts = description()["layers"]
    for part, blocks in enumerate(convolutions(), start=1):
        for place, block in enumerate(blocks):
            layers = parts[part]["layers"][place]["layers"]
            places = [number for number, layer in enumerate(layers) if layer["layer"] == "Conv2d"]
            for number, convolution in zip(places, block, strict=True):
                weight, bias = _without_norm(published, convolution)
                tensors[f"{part}.{place}.{number}.weight"] = weight
                tensors[f"{part}.{place}.{number}.bias"] = bias
    return tensors


def _without_norm(published: Mapping[str, np.ndarray], convolution: Convolution) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a convolution that does what it and its batch normalization did."""
    norm = {name: published[f"{convolution.norm}.{name}"].astype(np.float64) for name in _NORM}
    scale = norm["weight"] / np.sqrt(norm["running_var"] + EPSILON)
    weight = published[f"{convolution.weight}.weight"] * scale[:, None, None, None]
    bias = norm["bias"] - norm["running_mean"] * scale
    return np.ascontiguousarray(weight, np.float32), bias.astype(np.float32)
