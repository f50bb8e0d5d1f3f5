"""Whether what `export` wrote answers as its model: made-up pictures, and how far the answers to them are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from .predict import Model

if TYPE_CHECKING:
    from PIL.Image import Image

COUNT = 64  # pictures


MOST_APART = 1e-5  # of a probability, and of a distance as a share of it


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of some pictures."""

    probabilities: Float[np.ndarray, "n classes"]
    distances: Float[np.ndarray, " n"] | None = None  # of a model that may answer "none of these"


@dataclass(frozen=True)
class Agreement:
    """How far two answers to the same pictures are apart."""

    count: int
    probability: float  # the largest difference of a probability
    distance: float  # the largest difference of a distance, as a share of it
    classes: int  # pictures with another class
    refusals: int  # pictures that one refuses and the other does not

    @property
    def passed(self) -> bool:
        """Whether the answers are the same, as far as single precision allows."""
        return self.probability <= MOST_APART and self.distance <= MOST_APART and not (self.classes or self.refusals)

    @property
    def in_words(self) -> str:
        """What was compared, and how large the differences are."""
        words = f"{self.count} pictures: probabilities differ by at most {self.probability:.1e}"
        if self.distance:
            words += f", distances by at most {self.distance:.1e} (relative)"
        counts = {"of another class": self.classes, "refused by only one of the two": self.refusals}
        return ", ".join([words, *(f"{count} {what}" for what, count in counts.items() if count)])


def compare(wanted: Answers, given: Answers, refused: Callable[[Answers], np.ndarray]) -> Agreement:
    """Compare two answers to the same pictures.

    Args:
        wanted: Of the model.
        given: Of the file.
        refused: Returns which pictures get no answer.
    """
    distance = 0.0
    if wanted.distances is not None and given.distances is not None:
        distance = float((np.abs(given.distances - wanted.distances) / np.maximum(wanted.distances, 1)).max())
    return Agreement(
        len(wanted.probabilities),
        float(np.abs(given.probabilities - wanted.probabilities).max()),
        distance,
        int((given.probabilities.argmax(1) != wanted.probabilities.argmax(1)).sum()),
        int((refused(given) != refused(wanted)).sum()),
    )


def answers_of(model: Model, pictures: Sequence[UInt8[np.ndarray, "channels _ _"]]) -> Answers:
    """Return the answers of a model to pictures of any height and width.

    Args:
        model: The model.
        pictures: Their pixels.
    """
    inputs = np.stack([model.pixels_of(image_of(picture)) for picture in pictures])
    probabilities = np.concatenate([model.probabilities(each[None]) for each in inputs])
    return Answers(probabilities, None if model.abstention is None else model.abstention.distances(inputs))


def image_of(pixels: UInt8[np.ndarray, "channels height width"]) -> Image:
    """Return pixels as a PIL picture.

    Args:
        pixels: One channel for gray, or three for color.
    """
    from PIL import Image

    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def other_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return heights and widths of pictures that have to be fitted: wide and high, larger and smaller.

    Args:
        height: The height that a model takes.
        width: The width that it takes.
    """
    return [
        (height, 2 * width),
        (2 * height, width),
        (3 * height + 1, 2 * width + 1),
        (-(-height // 2), 3 * width),
        (3 * height, -(-width // 3)),
        (height + 5, width + 1),
        (-(-height // 3), -(-width // 2)),
        (1, 1),
    ]


def golden_of_other_sizes(shape: tuple[int, int, int]) -> dict[str, UInt8[np.ndarray, "channels height width"]]:
    """Return made-up pictures of other sizes than a model takes, by their size.

    Args:
        shape: Channels, height and width that the model takes.
    """
    channels, height, width = shape
    sizes = sorted({*other_sizes(height, width)} - {(height, width)})
    return {f"pixels of {wide}x{high}": golden_pictures((channels, high, wide), 2)[1] for high, wide in sizes}


def golden_pictures(shape: tuple[int, int, int], count: int = COUNT) -> UInt8[np.ndarray, "n channels height width"]:
    """Return made-up pictures, the same each time: noise, smooth patches, bars and flat ones, light and dark.

    They show nothing of the pictures that a model was trained on.

    Args:
        shape: Channels, height and width.
        count: The number of pictures.
    """
    random = np.random.Generator(np.random.PCG64(17))
    channels, height, width = shape
    down, across = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
    pictures = np.empty((count, *shape), dtype=np.uint8)
    for number in range(count):
        for channel in range(channels):
            level, contrast = random.uniform(0, 255), random.uniform(0, 200)
            angle, waves = random.uniform(0, np.pi), random.uniform(0.5, 6)
            along = down * np.cos(angle) + across * np.sin(angle)
            match number % 4:
                case 0:
                    pattern = random.uniform(-1, 1, (height, width))
                case 1:
                    pattern = np.sin(2 * np.pi * waves * along)
                case 2:
                    center = random.uniform(0, 1, 2)
                    pattern = 1 - 4 * ((down - center[0]) ** 2 + (across - center[1]) ** 2)
                case _:
                    pattern = np.sign(along - random.uniform(0, 1.4)) * (number % 8 > 3)
            pictures[number, channel] = np.clip(level + contrast * pattern, 0, 255).round()
    return pictures
