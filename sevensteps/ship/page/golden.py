"""Made-up pictures with which a page checks itself, and the model's answers to them.

`answer.js` makes the same pictures, from whole numbers alone, so the page holds only their sizes and the answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from ..agreement import image_of, other_sizes
from ..backbone.extract import LARGEST as LARGEST
from ..facts import Facts
from ..predict import load_model

if TYPE_CHECKING:
    from ..backbone.weights import Backbone

COUNT = 16  # pictures, half of them in sizes that have to be fitted; a quarter for a pretrained network, which is slow


def backbone_of(facts: Facts) -> Backbone | None:
    """Return the pretrained network of a model of features; None for other models.

    Args:
        facts: The checked facts of the model's file.

    Raises:
        ModelError: It is not installed.
    """
    if facts.features is None:
        return None
    from ..backbone.networks import load_network

    return load_network(facts.features["name"], facts.features["sha256"])


def made_up(number: int, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "height width channels"]:
    """Return a picture: noise, waves, bars or a spot.

    Args:
        number: Which one.
        shape: Its channels, height and width.
    """
    channels, height, width = shape
    y, x = np.arange(height)[:, None], np.arange(width)
    planes = []
    for channel in range(channels):
        seed = int(_mixed(np.array([number * 4 + channel + 1]))[0])
        low, span, pace = seed & 127, (seed >> 8) & 127, 1 + ((seed >> 16) & 7)
        match number % 4:
            case 0:
                share = _mixed(seed + y * width + x).astype(np.int64) & 255
            case 1:
                share = np.abs((x * 256 * pace // width + y * 256 // height & 511) - 255)
            case 2:
                share = 255 * (np.floor(x * pace / width + y * 2 / height).astype(np.int64) & 1)
            case _:
                far, near = 2 * x - width, 2 * y - height
                share = np.maximum(255 - 255 * (far * far + near * near) // (width * width + height * height), 0)
        planes.append(low + (share * (span + 1) >> 8))
    return np.stack(planes, axis=2).astype(np.uint8)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return a number of 32 bits for each of some others, spread over all of them."""
    values = (values & 0xFFFFFFFF).astype(np.uint64)
    for _ in range(2):
        values = ((values ^ (values >> np.uint64(16))) * np.uint64(0x45D9F3B)) & np.uint64(0xFFFFFFFF)
    mixed: np.ndarray = values ^ (values >> np.uint64(16))
    return mixed


def golden(file: Path, shape: tuple[int, int, int], backbone: Backbone | None) -> list[dict[str, Any]]:
    """Return sizes of made-up pictures with a model's answers to them.

    Args:
        file: A `model.safetensors`.
        shape: Channels, height and width of what the model takes.
        backbone: The pretrained network that makes this of pictures, if any.

    Raises:
        ModelError: The model cannot be loaded.
    """
    model = load_model(file)
    channels, height, width = backbone.shape if backbone else shape
    count = COUNT // 4 if backbone else COUNT
    sizes = [(height, width)] * (count // 2) + other_sizes(height, width)[: count // 2]
    answers = []
    for number, (high, wide) in enumerate(sizes):
        pixels = made_up(number, (channels, high, wide))
        seen = model.pixels_of(image_of(pixels.transpose(2, 0, 1)))[None]
        distance = None if model.abstention is None else float(model.abstention.distances(seen, each_alone=True)[0])
        probabilities = model.probabilities(seen)[0].tolist()
        answers.append({"size": [high, wide], "probabilities": probabilities, "distance": distance})
    return answers
