"""The lesson: seven screens with the numbers of a real training, which a terminal and a page show alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

COLUMNS = 30  # of a line of sums, so that a picture of 28 columns fits beside it


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A picture (gray, 0 to 1) or a map of signed numbers, and what stands under it."""

    kind: Literal["picture", "map"]
    numbers: Float[np.ndarray, "height width"]
    caption: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Screen:
    """One of the seven steps: a question, the sums of four pixels, the same in the real training, and pictures."""

    number: int
    name: str
    question: str
    sums: tuple[str, ...]
    real: str
    pictures: tuple[Shown, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `lesson --json` prints of it: its texts."""
        return {
            "number": self.number,
            "name": self.name,
            "question": self.question,
            "sums": list(self.sums),
            "real": self.real,
            "pictures": [picture.caption for picture in self.pictures],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """The seven screens."""

    screens: tuple[Screen, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `lesson --json` prints."""
        return {"screens": [screen.as_json() for screen in self.screens]}
