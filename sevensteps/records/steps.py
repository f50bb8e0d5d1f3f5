"""One batch through the seven steps, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class StepView:
    """One of the seven steps as it went for one batch: its name, a line in words, and its numbers."""

    number: int
    name: str
    line: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.number} {self.name:<10} {self.line}"


@dataclass(frozen=True, slots=True)
class XRay:
    """The seven steps of one batch with every number; see `Learner.xray`."""

    steps: tuple[StepView, ...]

    def __getitem__(self, number: int) -> StepView:
        """The step by its number, from 1."""
        return self.steps[number - 1]

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))

    __repr__ = __str__


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """One picture of a batch all the way: pixels, score, probability, loss, slope, gradient. Arrays are NumPy's.

    `slopes` says for each score what the loss of this picture would change by for one more of it; `gradients` are
    those of this picture's own loss, of which the batch's are the mean.
    """

    number: int  # its place in the batch, from 1
    size: int  # of the batch
    classes: tuple[str, ...]
    label: int | float | np.ndarray  # its class, or its shares of the classes; a number for a model that fits numbers
    pixels: np.ndarray  # (c, h, w), or (pixels,) where pictures are flat
    layers: Sequence[tuple[str, np.ndarray]]  # what each layer makes of it, the first first
    contributions: np.ndarray | None  # (scores, *pixels): weight times pixel, of a linear model, which add up to ...
    bias: np.ndarray | None  # ... the score less this
    scores: np.ndarray  # (scores,)
    probabilities: np.ndarray | None  # (classes,)
    activation: str  # what makes probabilities of scores
    loss: float
    loss_name: str
    slopes: np.ndarray  # (scores,)
    gradients: Mapping[str, np.ndarray]  # of the parameters
    on_pixels: np.ndarray  # in the shape of the pixels: what the loss would change by for one more of each


def largest_moves(
    before: Mapping[str, Any], gradients: Mapping[str, Any], after: Mapping[str, Any], count: int = 3
) -> list[tuple[str, float, float, float]]:
    """The numbers with the largest gradient: the name of each, what it was, its gradient, and what it is."""
    import numpy as np

    found = []
    for name, gradient in gradients.items():
        flat = np.abs(np.nan_to_num(gradient.flatten()))
        for at in np.argsort(-flat, kind="stable")[:count].tolist():
            place = ",".join(map(str, np.unravel_index(at, gradient.shape)))
            was, slope, now = (float(array.flatten()[at]) for array in (before[name], gradient, after[name]))
            found.append((f"{name}[{place}]", was, slope, now))
    return sorted(found, key=lambda one: -abs(one[2]))[:count]
