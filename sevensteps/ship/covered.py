"""Explain an answer by covering: how much its probability falls when one patch of the picture is covered.

A model of features does not see pixels, so that no pixel has a share in its score. But it can be asked about the
picture with a patch covered (Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014). Each
drop can be checked: save the covered picture, and let `predict` answer. docs/decisions/0038-explained-by-covering.md
compares grids and colors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 7  # patches in a row and in a column


Box = tuple[int, int, int, int]  # left, top, right and bottom, in pixels of the picture in its own size


Color = tuple[int, int, int]


@dataclass(frozen=True)
class Patch:
    """A part of a picture, and the probability of the answer while it is covered."""

    box: Box
    probability: float
    drop: float  # from the probability of the whole picture; below 0 if covering helps

    def as_json(self) -> dict[str, Any]:
        """Return the keys that `predict --explain --json` promises."""
        return {"box": list(self.box), "probability": self.probability, "drop": self.drop}


@dataclass(frozen=True)
class Covered:
    """The patches of a picture, row by row, and the color that covered each in turn."""

    name: str  # of the class
    size: tuple[int, int]  # width and height of the picture
    color: Color
    patches: tuple[Patch, ...]

    @property
    def drops(self) -> Float64[np.ndarray, "rows columns"]:
        """The drop of each patch, as a map."""
        rows = len({patch.box[1] for patch in self.patches})
        return np.array([patch.drop for patch in self.patches]).reshape(rows, -1)

    @property
    def strongest(self) -> Patch:
        """The patch that the answer needs most."""
        return max(self.patches, key=lambda patch: patch.drop)

    def as_json(self) -> dict[str, Any]:
        """Return the keys that `predict --explain --json` promises."""
        return {
            "class": self.name,
            "size": list(self.size),
            "cover": list(self.color),
            "patches": [patch.as_json() for patch in self.patches],
        }


def cover(picture: Image, name: str, probability: float, predict: Callable[[Image], Mapping[str, float]]) -> Covered:
    """Cover each patch of a picture in turn with the picture's mean color.

    Args:
        picture: The whole picture in RGB and in its own size. It is painted on, and is afterwards as before.
        name: The class that the model answers.
        probability: Of that class, for the whole picture.
        predict: Returns the probability of each class for a picture.
    """
    color = _mean_color(picture)
    columns, rows = (_bounds(length) for length in picture.size)
    patches = []
    for (top, bottom), (left, right) in itertools.product(rows, columns):
        box = left, top, right, bottom
        before = picture.crop(box)
        picture.paste(color, box)
        covered = float(predict(picture)[name])
        picture.paste(before, box)  # in place: of a large photograph, a copy for each patch takes longer
        patches.append(Patch(box, covered, probability - covered))
    return Covered(name, picture.size, color, tuple(patches))


def _bounds(length: int) -> list[tuple[int, int]]:
    """Return where each patch begins and ends along a side; at least a pixel belongs to each."""
    count = min(SIDE, length)
    ends = [round(place * length / count) for place in range(count + 1)]
    return list(itertools.pairwise(ends))


def _mean_color(picture: Image) -> Color:
    """Return the mean color of a picture."""
    from PIL import ImageStat

    red, green, blue = (round(mean) for mean in ImageStat.Stat(picture).mean)
    return red, green, blue
